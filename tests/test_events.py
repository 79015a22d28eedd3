"""events.parquet: the memorized rows of a run and what was scanned, in place of its scores."""

import numpy as np
import polars as pl
import pytest
from builders import write_run
from hypothesis import given
from hypothesis import strategies as st

from memtrace.corpus import open_corpus
from memtrace.errors import DataWarning
from memtrace.point_process import EventSequence
from memtrace.runs.compact import compact
from memtrace.runs.estimate import estimate_run
from memtrace.runs.events import (
    FILE_NAME,
    HASHED,
    are_events_written,
    hash_texts,
    is_finished,
    read_events,
    write_events,
)
from memtrace.runs.memorized import Events, find_events
from memtrace.runs.scores import write_scores
from memtrace.storage.checksum import is_intact
from memtrace.storage.store import open_store, source

MASK = (1 << 64) - 1


def matched(rows):
    return np.where(np.random.default_rng(7).random(1000)[rows] < 0.2, 32, rows % 32)


def memorized(run):
    scores = run.scores().collect()
    return scores.filter(pl.col("matched_tokens") == 32)["sequence_index"].to_list()


def content(run):
    return (run.folder / FILE_NAME).read_bytes()


@pytest.fixture
def corpus(tmp_path):
    rows = np.random.default_rng(3).integers(0, 50_000, (120, 64)).astype(np.uint16)
    rows[17] = rows[3]
    np.save(tmp_path / "rows.npy", rows)
    return open_corpus(str(tmp_path / "rows.npy"))


def hash_by_hand(tokens):
    """The hash in Python integers, from the description of FNV-like steps over 64-bit words."""
    raw = b"".join(int(token).to_bytes(4, "little") for token in tokens)
    raw += bytes(-len(raw) % 8)
    words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
    found = 0x243F6A8885A308D3
    for word in (*words, 0, 0):
        found = (found ^ word) * 0xA4093822299F31D1 & MASK
        found ^= found >> 32
    return found


@given(st.lists(st.lists(st.integers(0, 65_535), min_size=5, max_size=5), max_size=4))
def test_the_hash_is_the_same_by_hand_and_for_every_type_of_ids(rows):
    expected = [hash_by_hand(row) for row in rows]
    for dtype in (np.uint16, ">u2", np.int32, np.int64):
        tokens = np.array(rows, dtype).reshape(-1, 5)
        assert hash_texts(tokens).tolist() == expected


def test_they_are_the_memorized_rows_with_the_hashes_of_their_texts(tmp_path, corpus):
    run = write_run(tmp_path, matched)
    assert not are_events_written(run, corpus)
    write_events(run, run.valid_scores(), corpus)
    assert are_events_written(run, corpus)
    table = pl.read_parquet(run.folder / FILE_NAME)
    assert table["sequence_index"].to_list() == memorized(run)
    texts = corpus.take(memorized(run), 64)
    assert table["text_hash"].to_list() == [hash_by_hand(text) for text in texts]
    assert is_intact(run.folder / FILE_NAME)
    said = pl.read_parquet_metadata(run.folder / FILE_NAME)
    assert said["scanned_ranges"] == "0:100"
    assert (said["scanned_sequences"], said["text_hash"]) == ("100", HASHED)
    assert said["memorized_sequences"] == str(len(memorized(run)))
    assert said.items() >= run.configuration.metadata().items()
    found = read_events(run, hashes=True)
    assert found.text_hash.tolist() == table["text_hash"].to_list()


def test_scores_are_not_needed_once_they_are_written(tmp_path):
    run = write_run(tmp_path, matched)
    expected = memorized(run)
    read_events(run)
    for name in run.file_names():
        (run.folder / "scores" / name).unlink()
    assert is_finished(run)
    found = read_events(run, hashes=True)
    assert found.sequence_index.tolist() == expected
    assert found.scanned.tolist() == [[0, 100]]
    assert found.text_hash is None  # there was no corpus
    assert "without the corpus" in found.note
    assert pl.read_parquet(run.folder / FILE_NAME)["text_hash"].null_count() == len(expected)
    events = EventSequence.from_run(run)
    assert events.positions.tolist() == expected
    assert events.exposure == 100


def test_what_is_partly_scanned_is_read_from_scores_and_not_written(tmp_path):
    run = write_run(tmp_path, matched, shards=[0, 2])
    found = read_events(run)
    assert found.scanned.tolist() == [[0, 40], [80, 100]]
    assert found.sequence_index.tolist() == memorized(run)
    assert not (run.folder / FILE_NAME).exists()
    assert not is_finished(run)


def test_they_do_not_depend_on_shards_nor_on_merging(tmp_path, corpus):
    one, other = (write_run(tmp_path / f"{size}", matched, shard_size=size) for size in (40, 7))
    write_events(one, one.valid_scores(), corpus)
    compact(other)
    write_events(other, other.valid_scores(), corpus)
    assert content(one) == content(other)


@pytest.mark.parametrize("at", [0.1, 0.4, 0.7, 0.95])
def test_a_damaged_file_is_made_again(tmp_path, at):
    run = write_run(tmp_path, matched)
    read_events(run)
    good = content(run)
    bad = bytearray(good)
    bad[int(len(bad) * at)] ^= 4
    (run.folder / FILE_NAME).write_bytes(bad)
    with pytest.warns(DataWarning, match=r"events\.parquet cannot be used"):
        found = read_events(run)
    assert found.sequence_index.tolist() == memorized(run)
    assert content(run) == good


@pytest.mark.parametrize("changes", [{"weight_digest": "x"}, {"stop": 80}, {"start": 1}])
def test_those_of_another_run_are_made_again(tmp_path, changes):
    other = write_run(tmp_path / "other", matched, **changes)
    read_events(other)
    run = write_run(tmp_path / "runs", matched)
    (run.folder / FILE_NAME).write_bytes(content(other))
    assert read_events(run).sequence_index.tolist() == memorized(run)
    assert content(run) != content(other)


def test_where_nothing_can_be_written_they_are_read_from_scores(tmp_path):
    run = write_run(tmp_path, matched)
    (run.folder / FILE_NAME).mkdir()
    with pytest.warns(DataWarning):
        assert read_events(run).sequence_index.tolist() == memorized(run)


def test_of_a_sample_the_rows_are_known_from_its_design(tmp_path):
    run = write_run(tmp_path, matched, sample_size=30, sample_seed=5)
    rows = run.configuration.sample.rows(0, 100)
    first, estimate = read_events(run), estimate_run(run)
    again = read_events(run)
    for found in (first, again):
        assert found.scanned_rows().tolist() == rows.tolist()
        assert found.sequence_index.tolist() == memorized(run)
    assert estimate_run(run, again) == estimate
    assert estimate.sampled == 30


def test_more_ranges_than_the_metadata_bear_are_not_written(tmp_path):
    sizes = {"stop": 4000, "exposed_rows": 4000, "corpus_rows": 4000, "shard_size": 4000}
    run = write_run(tmp_path, shards=[], record={"import": {}}, **sizes)
    rows = np.arange(0, 4000, 2)
    write_scores(run.path(run.shards()[0]), rows, rows % 33, run.configuration.metadata())
    for _ in range(2):
        found = read_events(run)
        assert found.scanned_rows().tolist() == rows.tolist()
        assert found.sequence_index.tolist() == memorized(run)
        assert not (run.folder / FILE_NAME).exists()


@given(st.lists(st.sampled_from("-01"), max_size=40), st.integers(0, 45), st.integers(0, 45))
def test_between_is_what_masks_say(states, start, length):
    seen = np.array([state != "-" for state in states], bool)
    hit = np.array([state == "1" for state in states], bool)
    index = np.flatnonzero(seen)
    scores = pl.LazyFrame(
        {"sequence_index": index, "matched_tokens": np.where(hit[index], 32, 1)},
        schema={"sequence_index": pl.UInt64, "matched_tokens": pl.UInt8},
    )
    events = find_events(scores, 32)
    inside = index[(index >= start) & (index < start + length)]
    rows, found = events.between(start, start + length)
    assert (rows + start).tolist() == inside.tolist()
    assert found.tolist() == hit[inside].tolist()
    assert events.scanned_sequences == seen.sum()


def test_counts_split_at_the_exposure():
    events = Events(np.array([11, 13, 17]), np.array([[10, 20]]))
    assert events.count(14) == {
        "sequences": 4,
        "memorized": 2,
        "not_exposed_sequences": 6,
        "not_exposed_memorized": 1,
    }


def test_each_score_file_is_validated_once(tmp_path, monkeypatch, memtrace_cli):
    run = write_run(tmp_path, lambda rows: np.where(rows % 9 == 0, 32, 3), stop=4000,
                    exposed_rows=4000, corpus_rows=4000, shard_size=1000)  # fmt: skip
    validated = []

    def counted(source):
        validated.append(source)
        return is_intact(source)

    monkeypatch.setattr("memtrace.runs.scores.is_intact", counted)
    memtrace_cli("fit-poisson", str(tmp_path), "--json")
    assert sorted(validated) == [run.path(shard) for shard in run.shards()]
    validated.clear()
    memtrace_cli("fit-poisson", str(tmp_path), "--json")
    assert not validated  # events.parquet has been written
    compact(run)
    for shard in run.shards():
        assert validated.count(run.path(shard)) == 1
    assert len(validated) == len(run.shards()) + 2  # the merged file, before and after its rename


def test_each_remote_score_file_is_fetched_once(monkeypatch):
    run = write_run(open_store("memory://events/runs"), matched)
    names = [shard.file_name for shard in run.shards()]
    fetched = []

    def counted(path):
        fetched.append(path.name)
        return source(path)

    monkeypatch.setattr("memtrace.runs.integrity.source", counted)
    expected = read_events(run).sequence_index.tolist()
    assert sorted(fetched) == names
    assert read_events(run).sequence_index.tolist() == expected  # of events.parquet
    assert sorted(fetched) == names
    compact(run)
    assert sorted(fetched) == sorted([*names * 2, "merged.parquet"])
    assert memorized(run) == expected
