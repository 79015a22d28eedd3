"""A file that memtrace does not read is called what it is, and the way to token rows works."""

import gzip
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from conftest import write_index

from memtrace.corpus import open_corpus
from memtrace.errors import CorpusError

ROWS = np.random.default_rng(0).integers(0, 50_000, (6, 65)).astype(np.uint16)


def write_parquet(path: Path) -> None:
    column = pl.Series("input_ids", ROWS.tolist(), pl.List(pl.UInt16))
    pl.DataFrame([column]).write_parquet(path)


def write_llm_c(path: Path, magic: int, dtype: str) -> None:
    header = np.zeros(256, "<i4")
    header[:3] = magic, 1, ROWS.size
    path.write_bytes(header.tobytes() + ROWS.astype(dtype).tobytes())


def write_arrow(path: Path) -> None:
    pl.DataFrame([pl.Series("input_ids", ROWS.tolist(), pl.List(pl.UInt16))]).write_ipc(path)


# What converts: the file, what it is called, and how it is written.
CONVERTED = {
    "z.npz": ("a NumPy archive", lambda path: np.savez(path, tokens=ROWS)),
    "tok.arrow": ("an Arrow file", write_arrow),
    "tok.pt": ("a file of PyTorch", lambda path: torch.save(torch.from_numpy(ROWS), path)),
}
# What a corpus file of the words that are told reads in place.
DESCRIBED = {
    "00000_tok.ds": ("datatrove", lambda path: ROWS.tofile(path)),
    "part-0-00000.npy": ("OLMo", lambda path: ROWS.tofile(path)),
    "train.bin": ("without an .idx", lambda path: ROWS.tofile(path)),
    "tokens": ("does not know", lambda path: ROWS.tofile(path)),
    "fineweb.bin": ("llm.c", lambda path: write_llm_c(path, 20240520, "<u2")),
    "llama.bin": ("llm.c", lambda path: write_llm_c(path, 20240801, "<u4")),
}
NAMED = {
    "tok.parquet.0": ("a Parquet table under another name", write_parquet),
    "chunk.bin": ("lit-gpt", lambda path: path.write_bytes(b"LITPKDS" + bytes(17))),
    "a.jsonl": ("text", lambda path: path.write_text('{"text": "One."}\n')),
    "words": ("text", lambda path: path.write_text("1 2 3\n")),
    "a.npy.gz": ("gzip", lambda path: path.write_bytes(gzip.compress(ROWS.tobytes()))),
    "a.pkl": ("a Python pickle", lambda path: path.write_bytes(pickle.dumps(ROWS))),
    "empty.npy": ("empty", lambda path: path.touch()),
    "torn.zip": ("damaged", lambda path: path.write_bytes(b"PK\x03\x04torn")),
    "alone.idx": ("Megatron index without its .bin", lambda p: write_index(p, [65] * 6, 2)),
    "pipe": ("no regular file", os.mkfifo),
}


def refusal(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        open_corpus(str(path))
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", CONVERTED)
def test_the_conversion_that_is_told_gives_the_rows(name, tmp_path, monkeypatch):
    what, write = CONVERTED[name]
    write(tmp_path / name)
    text = refusal(tmp_path / name)
    assert what in text
    assert "memtrace reads token rows" in text
    monkeypatch.chdir(tmp_path)
    scope = {"numpy": np, "polars": pl, "torch": torch, "COLUMN": "input_ids", "n": 65}
    code = re.sub(r"'\) \([^)]*\)", "')", text.partition("in Python")[2].partition(": ")[2])
    exec(code, scope)
    np.testing.assert_array_equal(open_corpus("rows.npy")[:], ROWS)


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_corpus_file_that_is_told_reads_the_rows(name, tmp_path):
    what, write = DESCRIBED[name]
    write(tmp_path / name)
    text = refusal(tmp_path / name)
    assert what in text
    assert "memtrace reads token rows" in text
    told = text.partition("my-run.yaml with ")[2].partition(" and pass it")[0]
    (tmp_path / "my-run.yaml").write_text(told.replace("N}", "65}"))
    np.testing.assert_array_equal(open_corpus(str(tmp_path / "my-run.yaml"))[:], ROWS)


@pytest.mark.parametrize("name", NAMED)
def test_what_a_file_is_called(name, tmp_path):
    what, write = NAMED[name]
    write(tmp_path / name)
    text = refusal(tmp_path / name)
    assert what in text
    assert "no such file" not in text


def test_folders_and_links(tmp_path):
    (tmp_path / "tokens").mkdir()
    assert "a folder without a pack.json" in refusal(tmp_path / "tokens")
    ROWS.tofile(tmp_path / "tokens" / "00000_tok.ds")
    assert "a folder of token files of datatrove" in refusal(tmp_path / "tokens")
    (tmp_path / "link").symlink_to("nowhere.npy")
    assert "a link to nowhere.npy, which is not there" in refusal(tmp_path / "link")
    assert "no such file" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["n" * 5000, "a\0b", "d/" * 3000])
def test_names_that_no_file_can_have(name):
    assert len(refusal(Path(name))) < 11_000


def test_a_token_file_that_may_not_be_read(tmp_path, monkeypatch):
    """Root may read every file: the error is injected."""
    np.save(tmp_path / "rows.npy", ROWS)
    real = Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:
        if path.name == "rows.npy":
            raise PermissionError(13, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert "Permission denied" in refusal(tmp_path / "rows.npy")


# Longer than they should be


def test_an_index_with_a_mode_for_each_sequence(tmp_path, write_megatron):
    prefix = write_megatron(tmp_path / "mixed", ROWS)
    index = tmp_path / "mixed.idx"
    plain = index.read_bytes()
    index.write_bytes(plain + bytes(len(ROWS)))
    text = refusal(prefix)
    assert "multimodal" in text
    assert "truncated" not in text
    kept = re.search(r"head -c (\d+)", text)
    assert kept is not None
    assert int(kept[1]) == len(plain)


@pytest.mark.parametrize(("bytes_more", "word"), [(13, "added"), (-3, "truncated")])
def test_an_index_of_another_length(tmp_path, write_megatron, bytes_more, word):
    prefix = write_megatron(tmp_path / "odd", ROWS)
    content = (tmp_path / "odd.idx").read_bytes()
    (tmp_path / "odd.idx").write_bytes((content + bytes(13))[: len(content) + bytes_more])
    text = refusal(prefix)
    assert word in text
    assert ("truncated" in text) == (bytes_more < 0)


@pytest.mark.parametrize("bytes_more", [130, 100, -130])
def test_tokens_that_are_more_or_fewer_than_the_index_says(tmp_path, write_megatron, bytes_more):
    prefix = write_megatron(tmp_path / "extra", ROWS)
    path = tmp_path / "extra.bin"
    path.write_bytes((path.read_bytes() + bytes(130))[: ROWS.nbytes + bytes_more])
    text = refusal(prefix)
    assert f"has {ROWS.nbytes + bytes_more} bytes, its index describes {ROWS.nbytes}" in text
    assert f"{abs(bytes_more)} {'too many' if bytes_more > 0 else 'are missing'}" in text
    assert ("truncated" in text) == (bytes_more < 0)


@pytest.mark.parametrize("bytes_more", [2, -2])
def test_an_array_of_another_length_than_its_header_says(tmp_path, bytes_more):
    path = tmp_path / "rows.npy"
    np.save(path, ROWS)
    path.write_bytes((path.read_bytes() + bytes(2))[: path.stat().st_size + bytes_more])
    assert ("truncated" in refusal(path)) == (bytes_more < 0)


# The folders of real ones, where they are

FAULTS = Path(__file__).parents[1].parent / "shared" / "faults"


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("14-existing-file-called-missing/tok.pt", "PyTorch"),
        ("14-existing-file-called-missing/dt", "datatrove"),
        ("14-existing-file-called-missing/dt/00000_tok.ds", "datatrove"),
        ("14-existing-file-called-missing/part-0-00000.npy", "OLMo"),
        ("15-idx-longer-called-truncated/extra_bin", "its index describes 1536"),
    ],
)
def test_files_as_they_were_reported(place, word):
    if not FAULTS.is_dir():
        pytest.skip("the folder of faulty inputs is not here")
    assert word in refusal(FAULTS / place)
