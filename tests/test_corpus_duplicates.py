"""Duplicates: equal to counting in a dictionary, whatever is in memory at once."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memtrace.corpus import open_corpus
from memtrace.corpus.copies import (
    cache_folder,
    cached_copies,
    find_copies,
    read_copies,
    small_copies,
)
from memtrace.corpus.duplicates import (
    SCHEMA,
    count_repeated,
    scan_duplicates,
    write_duplicates,
)
from memtrace.corpus.hashes import hash_prefixes
from memtrace.corpus.info import read_contents
from memtrace.errors import CorpusError, DataWarning


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
    return pl.DataFrame(table, schema=SCHEMA, orient="row")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    write_duplicates(
        corpus_of(folder, rows), folder / "out", in_memory=in_memory, rows_per_file=rows_per_file
    )
    found = scan_duplicates(folder / "out").collect()
    assert found.equals(by_dictionary(rows))
    assert not (folder / "out" / ".buckets").exists()
    repeated = found.filter(pl.col("duplicate_count") > 1).sort("first_index", "sequence_index")
    for copies in (
        read_copies(folder / "out"),
        find_copies(corpus_of(folder, rows), min(tokens, 64), min(tokens, 64) // 2),
    ):
        assert copies.corpus_rows == n
        assert copies.tokens == min(tokens, 64)
        assert copies.first_index.tolist() == repeated["first_index"].to_list()
        assert copies.sequence_index.tolist() == repeated["sequence_index"].to_list()


def test_only_the_first_64_tokens_count(tmp_path):
    rows = np.ones((3, 65), np.uint16)
    rows[1, 64], rows[2, 63] = 2, 2
    write_duplicates(corpus_of(tmp_path, rows), tmp_path / "out")
    table = scan_duplicates(tmp_path / "out").collect()
    assert table["duplicate_count"].to_list() == [2, 2, 1]
    assert count_repeated(tmp_path / "out") == {
        "sequences": 3,
        "distinct": 2,
        "repeated": 2,
        "largest": 2,
    }


def test_joins_with_scores(tmp_path):
    rows = np.repeat(np.arange(5, dtype=np.uint16)[:, None], 64, 1)[[0, 1, 0, 2, 0]]
    write_duplicates(corpus_of(tmp_path, rows), tmp_path / "out", rows_per_file=2)
    scores = pl.LazyFrame(
        {"sequence_index": [1, 2, 4], "matched_tokens": [0, 32, 32]},
        schema={"sequence_index": pl.UInt64, "matched_tokens": pl.UInt8},
    )
    joined = scores.join(scan_duplicates(tmp_path / "out"), on="sequence_index")
    joined = joined.sort("sequence_index").collect()  # a join keeps no order
    assert joined["duplicate_count"].to_list() == [1, 3, 3]
    assert joined["first_index"].to_list() == [1, 0, 0]


def test_files_say_which_corpus(tmp_path):
    corpus = corpus_of(tmp_path, np.ones((3, 65), np.uint16))
    write_duplicates(corpus, tmp_path / "out")
    files = list((tmp_path / "out").glob("*.parquet"))
    assert len(files) == 3
    assert {pl.read_parquet_metadata(file)["corpus_digest"] for file in files} == {corpus.digest}


def test_table_that_is_not_whole_is_not_read(tmp_path):
    corpus = corpus_of(tmp_path, np.ones((5, 65), np.uint16))
    write_duplicates(corpus, tmp_path / "out", rows_per_file=2)
    assert read_copies(tmp_path / "out").sequence_index.tolist() == [0, 1, 2, 3, 4]
    last = tmp_path / "out" / "copies-00002-of-00003.parquet"
    content = last.read_bytes()
    last.write_bytes(content[:40] + b"?" + content[41:])
    with pytest.raises(CorpusError, match=r"copies-00002-of-00003\.parquet is damaged: delete it"):
        read_copies(tmp_path / "out")
    last.unlink()
    with pytest.raises(CorpusError, match=r"has 2 files of a table.*memtrace corpus duplicates"):
        read_copies(tmp_path / "out")
    with pytest.raises(CorpusError, match="has no table of duplicates"):
        read_copies(tmp_path / "elsewhere")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(one, other):
    return np.array_equal(one.sequence_index, other.sequence_index) and np.array_equal(
        one.first_index, other.first_index
    )


def test_small_corpora_need_no_command(tmp_path, cache):
    corpus = corpus_of(tmp_path, np.tile(np.arange(3, dtype=np.uint16)[:, None], (2, 70)))
    assert cached_copies(corpus.digest, 64, 32) is None
    found = small_copies(corpus, 64, 32)
    assert (found.first_index.tolist(), found.sequence_index.tolist()) == (
        [0, 0, 1, 1, 2, 2],
        [0, 3, 1, 4, 2, 5],
    )
    assert same(cached_copies(corpus.digest, 64, 32), found)
    assert cached_copies(corpus.digest, 32, 16) is None
    (file,) = cache.rglob("copies-*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert cached_copies(corpus.digest, 64, 32) is None
    assert same(small_copies(corpus, 64, 32), found)  # made again
    assert file.read_bytes() == whole


def test_cache_that_cannot_be_written(tmp_path, cache):
    cache.write_text("not a folder")
    corpus = corpus_of(tmp_path, np.ones((3, 65), np.uint16))
    with pytest.warns(DataWarning, match="copies are found again each time"):
        assert small_copies(corpus, 64, 32).sequence_index.tolist() == [0, 1, 2]


def test_cache_lies_where_users_expect_it(monkeypatch, tmp_path):
    monkeypatch.delenv("MEMTRACE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "memtrace"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "memtrace"


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
        write_duplicates(corpus_of(tmp_path, np.ones((3, 65), np.uint16)), tmp_path / "file")


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
