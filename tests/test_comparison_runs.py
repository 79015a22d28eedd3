"""Runs to be compared: what is read of them, which belong together, and which are refused."""

import numpy as np
import pytest
from builders import write_run
from hypothesis import given
from hypothesis import strategies as st

from memtrace.comparison import reading
from memtrace.comparison.coverage import common, inside, intersection, rows_in, within
from memtrace.comparison.facts import seed_of
from memtrace.comparison.matching import row_hashes
from memtrace.comparison.reading import EventReader
from memtrace.comparison.runs import load_runs
from memtrace.corpus import open_corpus
from memtrace.corpus.copies import Copies, write_copies, write_near_copies
from memtrace.errors import CorpusError, FitError
from memtrace.runs.events import hash_texts, read_events
from memtrace.runs.memorized import Events, ranges_of
from memtrace.texts.groups import Texts

rows = st.sets(st.integers(0, 60)).map(sorted)


def ranges(chosen):
    return ranges_of(np.array(chosen, np.int64))


@given(rows, rows, rows)
def test_common_rows_are_those_of_the_sets(a, b, c):
    shared = sorted(set(a) & set(b) & set(c))
    found = common([ranges(a), ranges(b), ranges(c)])
    assert np.flatnonzero(inside(np.arange(61), found)).tolist() == shared
    assert rows_in(found) == len(shared)
    assert rows_in(intersection(ranges(a), ranges(b))) == len(set(a) & set(b))


@given(rows, rows)
def test_events_within_ranges(scanned, kept):
    events = Events(np.array(scanned[::2], np.int64), ranges(scanned))
    both = intersection(events.scanned, ranges(kept))
    found = within(events, both)
    assert found.sequence_index.tolist() == sorted(set(scanned[::2]) & set(kept))
    assert found.scanned_sequences == len(set(scanned) & set(kept))


@pytest.mark.parametrize(
    ("name", "of", "kind", "number"),
    [
        ("70m", "70m", "all", None),
        ("70m-seed3", "70m", "all", 3),
        ("160m-data-seed2", "160m", "data", 2),
        ("160m-weight-seed1", "160m", "weight", 1),
        ("seedling", "seedling", "all", None),
        ("410m-seed9-v0", "410m-v0", "all", 9),
    ],
)
def test_names_tell_the_seed(name, of, kind, number):
    found = seed_of(name)
    assert (found.of, found.kind, found.number) == (of, kind, number)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


def test_runs_are_read_with_their_facts(folder):
    small = write_run(folder, lambda r: (r % 7 == 0) * 32, suite="pythia", model="70m")
    large = write_run(folder, lambda r: (r % 3 == 0) * 32, suite="pythia", model="12b")
    texts = Texts.from_labels(np.arange(120) // 2)
    a, b = load_runs([small, large], texts=texts)
    assert (a.parameters, b.parameters) == (70426624, 11846072320)
    assert a.corpus == b.corpus
    assert a.texts is b.texts is texts
    assert a.events.sequence_index.tolist() == list(range(0, 100, 7))
    assert a.events.scanned.tolist() == [[0, 100]]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"prompt_tokens": 16}, r"tokens 0 to 31, .* 32 to 63 .*against .* 0 to 15, .* 16 to 47"),
        ({"continuation_tokens": 40}, r"32 to 63 of each row against .* 32 to 71"),
        ({"offset": 8}, r"against .* 8 to 39, .* 40 to 71"),
        ({"eos_rule": "mask-eos"}, r"rule: none against mask-eos"),
    ],
)
def test_other_rules_are_refused_with_the_difference(folder, changes, difference):
    runs = [write_run(folder, model="a"), write_run(folder, model="b", **changes)]
    with pytest.raises(FitError, match=difference):
        load_runs(runs)


def test_a_run_that_two_folders_have_is_refused(tmp_path):
    runs = [write_run(tmp_path / name, model="a") for name in ("one", "two")]
    with pytest.raises(FitError, match="demo/a step 512 is there more than once"):
        load_runs(runs)


def test_unfinished_runs_are_refused(folder):
    with pytest.raises(FitError, match="not finished"):
        load_runs([write_run(folder, shards=[0])])
    with pytest.raises(FitError, match="no run"):
        load_runs([])


def test_imports_without_a_corpus_have_that_of_their_manifest(folder):
    standard = [
        write_run(folder, suite="pythia", model=model, corpus_digest="unknown")
        for model in ("70m", "12b", "12b-deduped")
    ]
    a, b, c = load_runs(standard)
    assert a.corpus == b.corpus != c.corpus


def test_a_table_that_may_be_of_two_imports_is_refused(tmp_path, folder):
    copies = Copies("digest", 120, 64, 32, np.array([1, 1]), np.array([1, 5]))
    write_near_copies(tmp_path / "table", copies)
    write_copies(tmp_path / "table", 0, 1, copies)
    one, other = (
        write_run(folder, suite="pythia", model=model, corpus_digest="unknown")
        for model in ("12b", "12b-deduped")
    )
    (loaded,) = load_runs([one], duplicates=[tmp_path / "table"])
    assert loaded.texts.names.tolist() == [1]
    with pytest.raises(CorpusError, match=r"may be the table of pythia/12b step 512 or of pythia"):
        load_runs([one, other], duplicates=[tmp_path / "table"])
    scanned = write_run(folder, suite="pythia", model="70m", corpus_digest="digest")
    known, unknown = load_runs([scanned, other], duplicates=[tmp_path / "table"])
    assert known.texts is not None
    assert unknown.texts is None


def test_rows_have_the_hashes_of_their_texts(tmp_path, folder):
    tokens = np.random.default_rng(3).integers(1, 99, (90, 65)).astype(np.uint16)
    np.save(tmp_path / "a.npy", tokens)
    corpus = open_corpus(str(tmp_path / "a.npy"))
    run = write_run(
        folder,
        record={"command": ["memtrace", "scan"], "corpus": {"name": corpus.name}},
        corpus_digest=corpus.digest,
        corpus_rows=90,
        exposed_rows=90,
        stop=90,
    )
    assert row_hashes(run).tolist() == hash_texts(tokens[:, :64]).tolist()
    np.save(tmp_path / "a.npy", tokens[::-1])
    with pytest.raises(CorpusError, match="not the corpus"):
        row_hashes(run)


def test_events_that_have_no_room_are_read_again(folder, monkeypatch):
    runs = [write_run(folder, lambda r: (r % 2 == 0) * 32, step=step) for step in (1, 2, 3)]
    asked = []
    monkeypatch.setattr(
        reading, "read_events", lambda run, hashes: asked.append(run.step) or read_events(run)
    )
    first = EventReader(hashes=False).read(runs[0])
    monkeypatch.setattr(reading, "MOST_BYTES", 2 * first.sequence_index.nbytes)
    asked.clear()
    reader = EventReader(hashes=False)
    for place in (0, 1, 0, 2, 0, 1):
        found = reader.read(runs[place])
        assert found.sequence_index.tolist() == first.sequence_index.tolist()
        assert found.scanned is reader.read(runs[0]).scanned  # once for runs of equal coverage
    assert asked == [1, 2, 3, 2]


def test_a_run_has_the_counts_of_its_events(folder):
    (run,) = load_runs([write_run(folder, lambda r: (r % 7 == 0) * 32, exposed_rows=50)])
    assert (run.memorized, run.memorized_exposed) == (15, 8)
    assert run.scanned.tolist() == run.events.scanned.tolist() == [[0, 100]]
    assert run.scanned_exposed.tolist() == [[0, 50]]
