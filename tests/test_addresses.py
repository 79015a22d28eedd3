"""No password, token or signature is written or printed, wherever it was typed."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from fsspec import AbstractFileSystem
from fsspec.utils import infer_storage_options
from hypothesis import given
from hypothesis import strategies as st

from memtrace.errors import RunError
from memtrace.storage.address import public_address
from memtrace.storage.store import open_store

DEMO = Path(__file__).parents[1] / "data_manifests" / "demo" / "corpus" / "demo.bin"
SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("hf://datasets/o/n@main/document", "hf://datasets/o/n@main/document"),
        ("abfs://box@account.dfs.core.windows.net/runs", None),
        ("sftp://me:s3cr3t@host/runs", "sftp://me:***@host/runs"),
        ("sftp://me:p@s3cr3t@host/runs", "sftp://me:***@host/runs"),
        ("https://s3cr3t@host/a.bin", "https://***@host/a.bin"),
        ("https://me:s3cr3t@host/a@b.bin", "https://***@host/a@b.bin"),
        ("https://host/a.bin?X-Amz-Signature=s3cr3t&b=s3cr3t", "https://host/a.bin?***"),
        ("HTTPS://host/a.bin?sig=s3cr3t", "HTTPS://host/a.bin?***"),
        (
            "for 'https://host/a?s3cr3t' and s3://k:s3cr3t@b/c: no",
            "for 'https://host/a?***' and s3://k:***@b/c: no",
        ),
        ("what? a/b@c:d, really?", None),
    ],
)
def test_what_is_shown_of_an_address(typed, shown):
    assert public_address(typed) == (typed if shown is None else shown)


@given(st.text(alphabet="ab:/?#@='& \n", max_size=40))
def test_hiding_twice_hides_no_more(text):
    once = public_address(f"https://{text}")
    assert public_address(once) == once


@given(
    st.sampled_from(["http", "https", "s3", "sftp", "gs"]),
    st.text(alphabet="abc012%-_.~!$&()*+,;=:@", max_size=12),
)
def test_no_password_and_no_query_is_left(protocol, around):
    address = f"{protocol}://u:{around}{SECRET}{around}@host/p?k={around}{SECRET}"
    assert SECRET not in public_address(f"cannot read {address}: no")


@pytest.fixture
def corpus(hub):
    """The demo corpus behind an address with two kinds of secrets."""
    hub.files["/data/demo.bin"] = DEMO.read_bytes()
    host = hub.url.removeprefix("http://")
    return f"http://user:{SECRET}@{host}/data/demo.bin?sig={SECRET}"


def written(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_nothing_that_a_scan_writes_or_prints_has_a_secret(memtrace_cli, corpus, tmp_path):
    options = ["--step", "512", "--sequences", "0:64", "--runs", tmp_path / "runs"]
    scan = ["scan", "--model", "demo", "--corpus", corpus, *options]
    for command in (
        ["-v", *scan],
        ["status", tmp_path / "runs"],
    ):
        result = memtrace_cli(*command)
        assert SECRET not in result.output + result.stderr
    (record,) = (tmp_path / "runs").rglob("run.json")
    found = json.loads(record.read_text())
    assert found["corpus"]["name"].endswith("/data/demo.bin?***")
    assert any(word.endswith("/data/demo.bin?***") for word in found["command"])
    assert SECRET.encode() not in written(tmp_path)


def test_nothing_that_corpus_commands_write_or_print_has_a_secret(
    memtrace_cli, hub, corpus, tmp_path, write_megatron
):
    rows = np.arange(300 * 65).reshape(300, 65).astype(np.uint16)
    prefix = write_megatron(tmp_path / "document", rows)
    for ending in (".bin", ".idx"):
        hub.files[f"/data/document{ending}"] = prefix.with_suffix(ending).read_bytes()
    address = corpus.replace("demo.bin", "document")
    shutil.rmtree(tmp_path)
    (tmp_path / "terms.txt").parent.mkdir()
    (tmp_path / "terms.txt").write_text("15\n")
    count = ["--terms", tmp_path / "terms.txt", "--output", tmp_path / "counts.parquet"]
    for command in (
        ["info", address, "--all"],
        ["info", address, "--json"],
        ["verify", address],
        ["pack", address, "--output", tmp_path / "pack"],
        ["count", address, *count],
        ["count", address, "--suite", "demo", "--steps", "512", *count],
        ["info", address.replace("document", "nothing")],
        ["info", address.replace("document", "a/b/nothing.bin")],
    ):
        result = memtrace_cli("-v", "corpus", *command)
        assert SECRET not in result.output + result.stderr
    assert SECRET.encode() not in written(tmp_path)
    assert (tmp_path / "pack" / "pack.json").is_file()


class Guarded(AbstractFileSystem):
    """A file system that takes its password from the address, as SFTP and FTP do."""

    protocol = "sftp"
    cachable = False
    failing = False

    def __init__(self, host=None, username=None, password=None, **options):
        super().__init__(**options)
        self.login = host, username, password

    @classmethod
    def _strip_protocol(cls, path):
        return infer_storage_options(path)["path"]

    @staticmethod
    def _get_kwargs_from_urls(path):
        found = infer_storage_options(path)
        return {key: found[key] for key in ("host", "username", "password") if key in found}

    def ls(self, path, detail=True, **_):
        if self.failing:
            raise OSError(f"no route to sftp://me:{SECRET}@host{path}")
        return []


def test_a_store_keeps_the_password_and_does_not_show_it(monkeypatch):
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "sftp", Guarded)
    folder = open_store(f"sftp://me:{SECRET}@host/runs") / "suite=a"
    assert folder.fs.login == ("host", "me", SECRET)
    assert SECRET not in f"{folder} {folder!r} {folder.as_uri()}"
    monkeypatch.setattr(Guarded, "failing", True)
    with pytest.raises(RunError, match="no route") as caught:
        open_store(f"sftp://me:{SECRET}@host/runs")
    assert SECRET not in str(caught.value)


def test_an_unknown_protocol_does_not_show_it():
    with pytest.raises(RunError) as caught:
        open_store(f"foo://me:{SECRET}@host/runs")
    assert SECRET not in str(caught.value)
