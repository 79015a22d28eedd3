"""The score table: schema and metadata on disk, atomic writes, equal bytes for equal work."""

import numpy as np
import polars as pl
import pytest

from memtrace.errors import RunError
from memtrace.runs.scores import (
    SCHEMA,
    read_metadata,
    scan_scores,
    write_scores,
)
from memtrace.storage.store import replace_atomically

INDEX = np.arange(10, 20, dtype=np.uint64)
MATCHED = np.array([0, 32, 5, 32, 31, 0, 0, 32, 1, 2], np.uint8)


def test_round_trip_with_metadata(tmp_path):
    path = tmp_path / "scores" / "shard-00000-of-00001.parquet"
    write_scores(path, INDEX, MATCHED, {"model": "demo"})
    table = pl.read_parquet(path)
    assert table.schema == SCHEMA
    assert table["sequence_index"].to_list() == INDEX.tolist()
    assert table["matched_tokens"].to_list() == MATCHED.tolist()
    assert read_metadata(path)["model"] == "demo"


def test_equal_work_gives_equal_bytes(tmp_path):
    for name in "ab":
        write_scores(tmp_path / f"{name}.parquet", INDEX, MATCHED, {"model": "demo"})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.parquet"
    write_scores(path, INDEX, MATCHED, {})
    before = path.read_bytes()

    def half(temporary):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="No space left on device"):
        replace_atomically(path, half)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_write_is_invisible_to_readers(tmp_path):
    path = tmp_path / "a.parquet"

    def killed(temporary):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_atomically(path, killed)
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all"])
def test_metadata_of_a_damaged_file_is_none(tmp_path, content):
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    assert read_metadata(path) is None


def test_metadata_of_another_table_is_none(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"index": [1]}).write_parquet(path)
    assert read_metadata(path) is None


def test_no_file_is_an_empty_table():
    assert scan_scores([]).collect().schema == SCHEMA
