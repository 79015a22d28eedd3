"""Errors of the file system: each with the sentence that is true of it, and two that are none."""

import errno
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from memtrace.corpus import open_corpus
from memtrace.corpus.pack_writer import write_pack
from memtrace.corpus.prefix_pack import read_record
from memtrace.errors import CorpusError, RunError
from memtrace.runs.integrity import read_score_files
from memtrace.runs.run import open_run
from memtrace.storage.documents import DOCUMENT_BYTES, read_document
from memtrace.storage.problems import read_problem, write_problem
from memtrace.storage.store import list_names, replace_atomically, write_json


def failing(code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


WRITE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "quota",
    errno.EACCES: "writable",
    errno.EPERM: "writable",
    errno.EROFS: "reading only",
    errno.EXDEV: "does not rename",
    errno.EIO: "check the disk",
    errno.EMFILE: "ulimit -n",
    errno.ENAMETOOLONG: "too long",
    errno.EBADF: "choose another --runs",
}


@pytest.mark.parametrize("code", WRITE, ids=errno.errorcode.get)
@pytest.mark.parametrize("function", ["write", "replace"])
def test_what_is_told_of_a_file_that_cannot_be_written(tmp_path, monkeypatch, code, function):
    if function == "replace":
        monkeypatch.setattr(Path, "replace", failing(code))
    write = failing(code) if function == "write" else lambda path: path.write_text("x")
    with pytest.raises(RunError) as caught:
        replace_atomically(tmp_path / "a.json", write)
    text = str(caught.value)
    assert os.strerror(code) in text
    assert WRITE[code] in text
    assert ("make room" in text) == (code in (errno.ENOSPC, errno.EDQUOT))
    assert "\n" not in text
    assert not list(tmp_path.iterdir())


def test_an_error_that_polars_wraps(tmp_path):
    def write(_):
        raise pl.exceptions.ComputeError("No space left on device (os error 28)")

    with pytest.raises(RunError, match="No space left on device; make room"):
        replace_atomically(tmp_path / "a.parquet", write)


def test_what_lies_in_the_way(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for place, words in (
        ("link/run/a.json", "link is a link to nowhere, which is not there"),
        ("file/run/a.json", "file is a file, and no folder"),
        ("folder", "a folder has this name"),
        ("n" * 300, "too long"),
    ):
        with pytest.raises(RunError) as caught:
            write_json(tmp_path / place, {})
        assert words in str(caught.value)
        assert "make room" not in str(caught.value)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_mounts_that_cannot_sync_are_used(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", failing(code))
    monkeypatch.setattr("fcntl.flock", failing(code))
    write_json(tmp_path / "a.json", {"a": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
    np.save(tmp_path / "rows.npy", np.zeros((10, 65), np.uint16))
    write_pack(open_corpus(str(tmp_path / "rows.npy")), tmp_path / "pack")
    assert len(open_corpus(str(tmp_path / "pack"))) == 10


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EBADF])
def test_no_other_failure_to_sync_is_passed_over(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(RunError, match=os.strerror(code)):
        write_json(tmp_path / "a.json", {})
    assert not (tmp_path / "a.json").exists()


def test_a_lock_that_fails_otherwise_is_told(tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", np.zeros((10, 65), np.uint16))
    monkeypatch.setattr("fcntl.flock", failing(errno.EIO))
    with pytest.raises(CorpusError, match="Input/output error"):
        write_pack(open_corpus(str(tmp_path / "rows.npy")), tmp_path / "pack")


def test_what_is_told_of_a_file_that_cannot_be_read(tmp_path):
    refused = read_problem(tmp_path / "a", PermissionError(errno.EACCES, "Permission denied"))
    assert "make it readable" in refused
    assert "damaged" not in refused
    assert "check the disk" in read_problem(tmp_path / "a", OSError(errno.EIO, "x"))
    assert "check the path" in read_problem(tmp_path / "a", FileNotFoundError(errno.ENOENT, "x"))
    (tmp_path / "link").symlink_to("nowhere")
    linked = read_problem(tmp_path / "link", FileNotFoundError(errno.ENOENT, "x"))
    assert "is a link to nowhere" in linked
    assert "of its own" in read_problem("s3://a/b", ConnectionError("words\nof its own"))
    assert "choose another --output" in write_problem("a", ValueError(), "--output")


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "listdir", failing(errno.EACCES))
    with pytest.raises(RunError, match=r"Permission denied; make it readable.*--runs"):
        list_names(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_documents_are_small_regular_files(tmp_path, kind):
    path = tmp_path / "a.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(DOCUMENT_BYTES + 1)
    with pytest.raises(ValueError, match="more than" if kind == "large" else "no regular file"):
        read_document(path)
    path.replace(tmp_path / "pack.json")
    with pytest.raises(CorpusError, match="more than" if kind == "large" else "no regular file"):
        read_record(tmp_path)
    (tmp_path / "pack.json").replace(tmp_path / "run.json")
    with pytest.raises(RunError, match="more than" if kind == "large" else "no regular file"):
        open_run(tmp_path)


def test_a_score_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "shard-00000-of-00001.parquet"
    path.write_bytes(b"not of a table")
    assert read_score_files([path, tmp_path / "gone", tmp_path]) == [None] * 3
    monkeypatch.setattr(Path, "open", failing(errno.EACCES))
    with pytest.raises(RunError, match="Permission denied; make it readable"):
        read_score_files([path])
    monkeypatch.setattr(Path, "open", failing(errno.EIO))  # its bytes are lost: made again
    assert read_score_files([path]) == [None]
