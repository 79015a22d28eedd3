"""Runs beyond the local disk: the same files, whole or not at all, read back by every command."""

import json
import sys
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from test_launch import PER_STEP, make_job, suite, undisturbed  # noqa: F401

import memtrace
from memtrace.errors import DataWarning, RunError
from memtrace.runs.compact import compact
from memtrace.runs.run import find_run, find_runs
from memtrace.runs.status import survey
from memtrace.scanning.launch import run_job
from memtrace.storage.store import list_names, open_store, remove, replace_atomically


class ObjectStore(AbstractFileSystem):
    """What S3 is like: no folders, no renaming, and a key appears when its upload is complete."""

    protocol = ("s3", "s3a")
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    broken = ""

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("s3://").strip("/")

    def ls(self, path, detail=True, **_):
        if self.broken:
            raise ConnectionError(self.broken + "\nand details")
        path = self._strip_protocol(path)
        found = {}
        for key, content in self.objects.items():
            if key == path or key.startswith(f"{path}/" if path else ""):
                name = path if key == path else f"{path}/{key[len(path) + 1 :].split('/')[0]}"
                kind = "file" if name == key else "directory"
                found[name] = {"name": name, "type": kind, "size": len(content)}
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def put_file(self, lpath, rpath, **_):
        if self.broken:
            raise ConnectionError(self.broken + "\nand details")
        self.objects[self._strip_protocol(rpath)] = Path(lpath).read_bytes()

    def _open(self, path, mode="rb", **_):
        assert mode == "rb", "what is written piece by piece is not published as a whole"
        try:
            return BytesIO(self.objects[path])
        except KeyError:
            raise FileNotFoundError(path) from None

    def _rm(self, path):
        self.objects.pop(path, None)


@pytest.fixture
def bucket(monkeypatch):
    """An object store in the place of S3, empty."""
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "s3", ObjectStore)
    monkeypatch.setattr(ObjectStore, "objects", {})
    return "s3://bucket/some runs"


@pytest.fixture
def memory(monkeypatch):
    """The store of fsspec in memory: it has folders, and renames."""
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return "memory://runs"


@pytest.fixture
def dataset(hub, monkeypatch):
    """A repository on the Hub: a file appears with the commit that brings it."""
    hub.add_repository("dataset", "someone/some-runs", "main", {})
    return "hf://datasets/someone/some-runs/runs"


@pytest.fixture(params=["bucket", "memory", "dataset"])
def address(request):
    return request.getfixturevalue(request.param)


def contents(place):
    """Every file of a store by its name below the runs."""
    folder = open_store(place)
    found = folder.fs.find(folder.path)
    cut = len(folder.path.rstrip("/")) + 1
    return {name[cut:]: folder.fs.cat_file(name) for name in found}


def scores_of(place):
    return {name: content for name, content in contents(place).items() if "parquet" in name}


def test_a_scan_writes_the_same_files(suite, undisturbed, address):  # noqa: F811
    job = make_job(suite, open_store(address))
    for worker in ((1, 2), (0, 2), (0, 1)):
        run_job(job, ["cpu"], worker=worker)
    assert scores_of(address) == undisturbed
    assert not [name for name in contents(address) if name.endswith(".tmp")]
    for run in find_runs(open_store(address)):
        assert run.record["sequences_done"] == run.step * PER_STEP
        assert run.record == json.loads((run.folder / "run.json").read_text())


def test_it_is_read_as_a_local_one(suite, undisturbed, address, tmp_path):  # noqa: F811
    local = run_job(make_job(suite, tmp_path), ["cpu"])[2]
    (run,) = run_job(make_job(suite, open_store(address), 5), ["cpu"])
    assert run.label == local.label
    expected = local.scores().collect()
    assert run.scores().collect().equals(expected)
    assert memtrace.load_scores(address, model="tiny", step=5).collect().equals(expected)
    assert find_run(open_store(address), model="tiny", step=5).folder == run.folder
    (status,) = survey(open_store(address))
    assert (status.state, status.shards, status.shards_left) == ("done", 10, 0)
    compact(run)
    assert {name.rpartition("step=5/")[2] for name in scores_of(address)} == {
        "scores/merged.parquet",
        "events.parquet",
    }
    assert run.scores().collect().equals(expected)
    run_job(make_job(suite, open_store(address), 5), ["cpu"])  # done: nothing is scanned
    assert len(scores_of(address)) == 2


def test_lost_and_damaged_files_are_made_again(suite, undisturbed, address):  # noqa: F811
    run_job(make_job(suite, open_store(address)), ["cpu"])
    folder = open_store(address) / "suite=toy/model=tiny/step=5/scores"
    names = sorted(list_names(folder))
    for _ in range(2):  # the second time it is gone
        remove(folder / names[0])
    damaged = (folder / names[3]).read_bytes()[:-9]
    replace_atomically(folder / names[3], lambda temporary: temporary.write_bytes(damaged))
    with pytest.warns(DataWarning, match=f"{names[3]} is damaged"):
        run_job(make_job(suite, open_store(address)), ["cpu"])
    assert scores_of(address) == undisturbed


def test_the_commands(suite, memtrace_cli, address):  # noqa: F811
    options = ["--manifest", suite / "toy.yaml", "--corpus", suite / "tokens.npy", "--step", "5"]
    options += ["--runs", address, "--shard-size", "50"]
    for more in ([], ["--dry-run"]):
        result = memtrace_cli("--quiet", "scan", "--model", "tiny", *options, "--json", *more)
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
    assert document["shards_left"] == 0
    assert document["run"] == f"{address}/suite=toy/model=tiny/step=5"
    text = memtrace_cli("--quiet", "scan", "--model", "tiny", *options)
    assert f"{address}/suite=toy/model=tiny" in text.stdout
    for command in (["status"], ["fit-poisson"], ["runs", "compact"]):
        result = memtrace_cli("--quiet", *command, address, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)


def test_a_failed_upload_leaves_the_old_file(address, monkeypatch):
    path = open_store(address) / "a.json"
    replace_atomically(path, lambda temporary: temporary.write_text("old"))

    def half(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="No space left on device"):
        replace_atomically(path, half)
    assert path.read_text() == "old"
    assert list(contents(address)) == ["a.json"]


def test_a_store_that_cannot_be_reached(bucket, monkeypatch, memtrace_cli):
    monkeypatch.setattr(ObjectStore, "broken", "no route to host")
    result = memtrace_cli("scan", "--model", "demo", "--runs", bucket)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "no route to host; check the address" in result.stderr
    monkeypatch.setattr(ObjectStore, "broken", "")
    path = open_store(bucket) / "a.json"
    monkeypatch.setattr(ObjectStore, "broken", "no route to host")
    with pytest.raises(RunError, match=r"a\.json: no route to host; check") as caught:
        replace_atomically(path, lambda temporary: temporary.write_text("new"))
    assert "\n" not in str(caught.value)


def test_protocols_that_nothing_here_speaks(monkeypatch):
    with pytest.raises(RunError, match="'foo'"):
        open_store("foo://bucket/runs")
    for protocol, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(RunError, match=f"pip install {package}") as caught:
            open_store(f"{protocol}://bucket/runs")
        assert "\n" not in str(caught.value)


def test_local_places_are_plain_paths(tmp_path):
    assert type(open_store(str(tmp_path))) is type(tmp_path)
    assert open_store(f"file://{tmp_path}") == tmp_path
    assert open_store("runs/a b") == Path("runs/a b")


def test_what_other_members_do_is_seen(suite, dataset, hub):  # noqa: F811
    """The Hub's client keeps listings, and what others write is not in them."""
    (run,) = run_job(make_job(suite, open_store(dataset), 5), ["cpu"])
    shard = run.shards()[3]
    path = run.path(shard).path.removeprefix("datasets/someone/some-runs/")
    content = hub.repositories["dataset", "someone/some-runs", "main"][path]
    assert not run.shards_left()
    hub.commit("dataset", "someone/some-runs", "main", [delete(path)])
    assert run.shards_left() == run.shards_missing() == [shard]
    hub.commit("dataset", "someone/some-runs", "main", [add(path, content)])
    assert run.shards_left() == run.shards_missing() == []


def delete(path):
    return {"key": "deletedFile", "value": {"path": path}}


def add(path, content):
    return {"key": "file", "value": {"path": path, "content": b64encode(content)}}
