"""Multiplicity: equal to counting in a dictionary, whatever is in memory at once."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memtrace.corpus import open_corpus
from memtrace.corpus.duplicates import (
    MULTIPLICITY_SCHEMA,
    count_repeated,
    hash_prefixes,
    scan_multiplicity,
    write_multiplicity,
)
from memtrace.corpus.info import read_contents
from memtrace.errors import CorpusError


def corpus_of(folder, rows):
    np.save(folder / "tokens.npy", rows)
    return open_corpus(str(folder / "tokens.npy"))


def by_dictionary(rows):
    """The same by the plainest means."""
    places = {}
    for index, row in enumerate(rows[:, :64].tolist()):
        places.setdefault(tuple(row), []).append(index)
    table = sorted(
        (index, len(found), found[0], found[-1]) for found in places.values() for index in found
    )
    return pl.DataFrame(table, schema=MULTIPLICITY_SCHEMA, orient="row")


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n=st.integers(1, 120),
    kinds=st.integers(1, 60),
    tokens=st.integers(1, 70),
    in_memory=st.integers(1, 200),
    rows_per_file=st.integers(1, 130),
    seed=st.integers(0, 9),
)
def test_equals_a_dictionary(tmp_path_factory, n, kinds, tokens, in_memory, rows_per_file, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 3, (kinds, tokens)).astype(np.uint16)[rng.integers(0, kinds, n)]
    folder = tmp_path_factory.mktemp("m")
    write_multiplicity(
        corpus_of(folder, rows), folder / "out", in_memory=in_memory, rows_per_file=rows_per_file
    )
    found = scan_multiplicity(folder / "out").collect()
    assert found.equals(by_dictionary(rows))
    assert not (folder / "out" / ".buckets").exists()


def test_only_the_first_64_tokens_count(tmp_path):
    rows = np.ones((3, 65), np.uint16)
    rows[1, 64], rows[2, 63] = 2, 2
    write_multiplicity(corpus_of(tmp_path, rows), tmp_path / "out")
    table = scan_multiplicity(tmp_path / "out").collect()
    assert table["multiplicity"].to_list() == [2, 2, 1]
    assert count_repeated(tmp_path / "out") == {
        "sequences": 3,
        "distinct": 2,
        "repeated": 2,
        "largest": 2,
    }


def test_joins_with_scores(tmp_path):
    rows = np.repeat(np.arange(5, dtype=np.uint16)[:, None], 64, 1)[[0, 1, 0, 2, 0]]
    write_multiplicity(corpus_of(tmp_path, rows), tmp_path / "out", rows_per_file=2)
    scores = pl.LazyFrame(
        {"sequence_index": [1, 2, 4], "matched_tokens": [0, 32, 32]},
        schema={"sequence_index": pl.UInt64, "matched_tokens": pl.UInt8},
    )
    joined = scores.join(scan_multiplicity(tmp_path / "out"), on="sequence_index").collect()
    assert joined["multiplicity"].to_list() == [1, 3, 3]
    assert joined["first_index"].to_list() == [1, 0, 0]


def test_files_say_which_corpus(tmp_path):
    corpus = corpus_of(tmp_path, np.ones((3, 65), np.uint16))
    write_multiplicity(corpus, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.parquet")
    assert pl.read_parquet_metadata(path)["corpus_digest"] == corpus.digest


def test_hashes_differ_wherever_one_bit_does():
    """Every single-bit change of a row changes both halves, and about half of their bits."""
    row = np.random.default_rng(0).integers(0, 2**16, 64).astype(np.uint16)
    rows = np.tile(row, (1025, 1))
    for bit in range(1024):
        rows[bit + 1, bit // 16] ^= 1 << (bit % 16)
    hashes = hash_prefixes(rows)
    assert len(np.unique(hashes[:, 0])) == len(np.unique(hashes[:, 1])) == 1025
    flipped = np.unpackbits((hashes[1:] ^ hashes[0]).view(np.uint8), axis=1).sum(1)
    assert 40 < flipped.min() < 64 < flipped.max() < 90


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="choose another --output"):
        write_multiplicity(corpus_of(tmp_path, np.ones((3, 65), np.uint16)), tmp_path / "file")


@pytest.mark.parametrize("sampled", [False, True])
def test_contents_of_all_rows_and_of_some(tmp_path, sampled):
    rng = np.random.default_rng(2)
    rows = rng.integers(2, 50_277, (20_000, 66)).astype(np.uint16)
    rows[7:11, 5], rows[40, 3], rows[100:150, :64] = 0, 60_000, rows[0, :64]
    chosen = np.arange(0, 20_000, 3) if sampled else None
    found = read_contents(corpus_of(tmp_path, rows), chosen)
    seen = rows if chosen is None else rows[chosen]
    assert found.rows == len(seen)
    assert (found.smallest_id, found.largest_id) == (seen.min(), seen.max())
    assert found.eod_tokens == (seen == 0).sum()
    assert found.repeated_prefixes == len(seen) - len({row.tobytes() for row in seen[:, :64]})
