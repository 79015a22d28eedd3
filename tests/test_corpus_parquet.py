"""Parquet tables with a column of token ids are read in place."""

import numpy as np
import polars as pl
import pytest
from corpus_files import write_corpus_file

from memtrace.corpus import open_corpus
from memtrace.errors import CorpusError

ROWS = np.random.default_rng(0).integers(0, 50_000, (9000, 24)).astype(np.int64)


def table(rows=ROWS, kind="list", dtype=pl.Int64, **others):
    column = pl.Series("input_ids", rows.tolist(), pl.List(dtype))
    if kind == "array":
        column = column.cast(pl.Array(dtype, rows.shape[1]))
    return pl.DataFrame({"id": np.arange(len(rows)), "input_ids": column, **others})


def refusal(path):
    with pytest.raises(CorpusError) as caught:
        open_corpus(str(path))[:]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["list", "array"])
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Int32, pl.UInt16])
def test_rows_of_one_file(kind, dtype, tmp_path):
    table(kind=kind, dtype=dtype).write_parquet(tmp_path / "a.parquet", row_group_size=1000)
    corpus = open_corpus(str(tmp_path / "a.parquet"))
    assert (len(corpus), corpus.row_tokens) == ROWS.shape
    np.testing.assert_array_equal(corpus[:], ROWS)
    chosen = np.random.default_rng(1).integers(0, len(ROWS), 50)
    np.testing.assert_array_equal(corpus.take(chosen, 7), ROWS[chosen, :7])
    np.testing.assert_array_equal(corpus.read(4090, 4100, 24), ROWS[4090:4100])


def test_a_folder_and_a_corpus_file(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number, (start, stop) in enumerate([(0, 5000), (5000, 5001), (5001, 9000)]):
        table(ROWS[start:stop]).write_parquet(folder / f"train-{number:05d}-of-00003.parquet")
    np.testing.assert_array_equal(open_corpus(str(folder))[:], ROWS)
    path = write_corpus_file(tmp_path, layout="parquet", tokens=["data"], row_tokens=24)
    corpus = open_corpus(path)
    np.testing.assert_array_equal(corpus[::-1], ROWS[::-1])
    np.save(tmp_path / "rows.npy", ROWS)
    assert corpus.digest == open_corpus(str(tmp_path / "rows.npy")).digest
    table(ROWS[:10, :9]).write_parquet(folder / "train-00003-of-00003.parquet")
    assert "are alike" in refusal(path)


def test_the_one_column_of_lists(tmp_path):
    path = tmp_path / "a.parquet"
    table().rename({"input_ids": "ids"}).write_parquet(path)
    np.testing.assert_array_equal(open_corpus(str(path)).read(0, 9, 24), ROWS[:9])
    mask = pl.Series([[1] * 24] * len(ROWS), dtype=pl.List(pl.Int8))
    table(attention_mask=mask).write_parquet(path)
    np.testing.assert_array_equal(open_corpus(str(path)).read(0, 9, 24), ROWS[:9])
    table(attention_mask=mask).rename({"input_ids": "ids"}).write_parquet(path)
    assert "2 columns with lists of integers (ids, attention_mask" in refusal(path)
    table().drop("input_ids").write_parquet(path)
    assert "0 columns with lists of integers (none of id)" in refusal(path)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1, 2], [3]], "that have not 2 tokens"),
        ([[1, 2], None], "that have not 2 tokens"),
        ([[1, 2], [3, None]], "null in place of a token id"),
        ([[], [1]], "no token in its first row"),
        ([], "no token in its first row"),
    ],
)
def test_rows_that_are_none(rows, words, tmp_path):
    column = pl.Series("input_ids", rows, pl.List(pl.Int64))
    pl.DataFrame([column]).write_parquet(tmp_path / "a.parquet")
    assert words in refusal(tmp_path / "a.parquet")


def test_files_that_are_no_tables(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("text")
    assert "cannot be read as a Parquet table" in refusal(path)
    table().write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read as a Parquet table" in refusal(path)
    table().write_parquet(path)
    corpus = open_corpus(str(path))
    table(ROWS + 1).write_parquet(path)
    with pytest.raises(CorpusError, match="has changed while it was in use"):
        corpus.read(0, 1, 24)
