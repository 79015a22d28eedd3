"""Near-copies, texts that share a continuation, are one unit: from the corpus to the page."""

from dataclasses import replace

import numpy as np
import pytest
from builders import write_run
from hypothesis import given
from hypothesis import strategies as st

import memtrace
from memtrace.corpus import open_corpus
from memtrace.corpus.copies import find_copies, read_copies
from memtrace.corpus.duplicates import write_duplicates
from memtrace.errors import CorpusError, FitError
from memtrace.runs.events import read_events
from memtrace.texts.find import find_texts
from memtrace.texts.groups import Texts

ROWS, EXPOSED, PER_STEP = 1600, 1200, 8
CHECKPOINTS = [0, 50, 100, 150]


def corpus_rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of 65 tokens in random order, the text of each, and its continuation.

    Texts 0 to 9 have 12 copies each; texts 10 to 69 are of 6 passages, 10 leads each.
    """
    rng = np.random.default_rng(seed)
    repeated = np.repeat(np.arange(10), 12)
    labels = rng.permutation(np.append(repeated, np.arange(10, 10 + ROWS - len(repeated))))
    texts = labels.max() + 1
    passages = np.arange(texts)
    passages[10:70] = np.arange(10, 70) // 10 * 10
    tokens = rng.integers(0, 60_000, (texts, 65))
    tokens[:, 32:64] = tokens[passages, 32:64]
    return tokens[labels].astype(np.uint16), labels, passages[labels]


def write_checkpoint(folder, corpus, step: int, held: np.ndarray) -> None:
    """Write a run of all rows, of which the checkpoint holds some, shape (ROWS,)."""
    write_run(
        folder,
        lambda index: np.where(held[index], 32, 1),
        step=step,
        stop=ROWS,
        exposed_rows=PER_STEP * step,
        corpus_rows=ROWS,
        sequences_per_step=PER_STEP,
        shard_size=ROWS,
        weight_digest=str(step),
        corpus_digest=corpus.digest,
        record={"command": ["memtrace", "scan"], "corpus": {"name": corpus.name}},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a corpus, and runs that memorize passages 10 and 20 and texts 0 to 4, and others."""
    folder = tmp_path_factory.mktemp("near")
    rows, labels, passages = corpus_rows()
    np.save(folder / "rows.npy", rows)
    corpus = open_corpus(str(folder / "rows.npy"))
    known = (passages < 30) & (passages >= 10) | (labels < 5) | (labels % 29 == 0) & (labels > 70)
    first = np.full(labels.max() + 1, ROWS)
    np.minimum.at(first, passages, np.arange(ROWS))
    for step in CHECKPOINTS:
        held = known & (first[passages] < PER_STEP * step)
        write_checkpoint(folder / "runs", corpus, step, held)
    return corpus, memtrace.find_runs(folder / "runs"), labels, passages


@pytest.fixture(scope="module")
def asked(made, tmp_path_factory):
    """Return the fit of the last checkpoint, with the interval of rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMTRACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return memtrace.fit_run(made[1][-1], window=100, row_interval=True)


@given(
    labels=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    of=st.lists(st.integers(0, 5), min_size=13, max_size=13),
)
def test_merged_texts_are_those_of_the_passages(labels, of) -> None:
    passages = np.array(of)[labels]
    texts = Texts.from_labels(labels, passages)
    merged, expected = texts.merged, Texts.from_labels(passages)
    for name in ("names", "begins", "copies"):
        assert getattr(merged, name).tolist() == getattr(expected, name).tolist()
    assert texts.names.tolist() == Texts.from_labels(labels).names.tolist()
    assert len(merged) == len(set(passages.tolist()))
    assert merged.merged is merged


@pytest.mark.parametrize("in_memory", [50, 1 << 20])
def test_tables_hold_the_texts_that_share_a_continuation(tmp_path, in_memory) -> None:
    rows, labels, passages = corpus_rows(3)
    np.save(tmp_path / "rows.npy", rows)
    corpus = open_corpus(str(tmp_path / "rows.npy"))
    write_duplicates(corpus, tmp_path / "out", in_memory=in_memory, rows_per_file=300)
    expected = Texts.from_labels(labels, passages)
    for copies in (read_copies(tmp_path / "out"), find_copies(corpus, 64, 32)):
        found = Texts.from_copies(copies)
        assert found.near.texts.tolist() == expected.near.texts.tolist()
        assert found.near.passages.tolist() == expected.near.passages.tolist()
        assert found.merged.copies.tolist() == expected.merged.copies.tolist()
    assert len(expected.near.texts) == 60
    # With another division of the tokens into prompt and continuation they are other passages.
    assert not len(find_copies(corpus, 64, 30).near_text)


def test_near_copies_are_one_text_in_what_counts_texts(made, asked) -> None:
    _, runs, labels, passages = made
    run = runs[-1]
    index = read_events(run).sequence_index
    inside = index[index < EXPOSED]
    found = asked.to_dict()
    texts = found["texts"]
    assert texts["events"] == len(set(passages[inside].tolist()))
    assert texts["exposure"] == len(set(passages[:EXPOSED].tolist()))
    assert texts["near_copies"] == {
        "texts": 60,
        "passages": 6,
        "memorized_texts": len({label for label in labels[inside].tolist() if 10 <= label < 70}),
        "memorized_passages": 2,
    }
    sizes = np.unique(passages[inside], return_counts=True)[1]
    assert texts["effective"] == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum())
    alone = np.bincount(passages)[passages] == 1
    assert texts["trend"]["once"]["events"] == alone[inside].sum()
    assert texts["trend"]["once"]["exposure"] == alone[:EXPOSED].sum()
    # A sequence with a near-copy that was exposed is no control: it is copy exposed, as elsewhere.
    late = np.arange(EXPOSED, ROWS)
    copy = np.isin(passages[late], passages[:EXPOSED])
    near = copy & ~np.isin(labels[late], labels[:EXPOSED])
    hit = np.isin(late, index)
    assert found["control"]["copy_exposed"]["exposure"] == copy.sum()
    assert found["control"]["unexposed"]["exposure"] == (~copy).sum()
    assert found["control"]["unexposed"]["events"] == (~copy & hit).sum()
    assert found["control"]["unexposed"]["texts"] == len(set(passages[late[~copy]].tolist()))
    assert found["control"]["near_copy_exposed"]["exposure"] == near.sum() > 0
    assert "near-copies as one" in asked.verdict
    shown = " ".join(asked.summary().split())
    assert "60 texts share their continuation with another: 6 passages" in shown
    assert f"of these by a near-copy {(near & hit).sum()} of {near.sum()} sequences" in shown


def test_emergence_counts_a_passage_once(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path))
    _, runs, labels, passages = made
    fit = memtrace.fit_emergence(runs)
    known = set(passages[read_events(runs[-1]).sequence_index].tolist())
    assert fit.outcomes.ever == len(known)
    assert fit.to_dict()["near_copies"] == {"texts": 60, "passages": 6}
    assert "60 texts of the corpus share a continuation: counted as 6" in fit.summary()
    apart = memtrace.fit_emergence(runs, texts=Texts.from_labels(labels))
    assert apart.outcomes.ever > fit.outcomes.ever


def test_an_interval_of_rows_is_there_on_request_only(asked) -> None:
    low, high = asked.to_dict()["texts"]["sequence_rate_ci95"]
    assert low < asked.events.fraction < high
    assert "at least 95%" in asked.summary()
    fit = replace(asked, row_interval=False)
    assert "sequence_rate_ci95" not in fit.to_dict()["texts"]
    assert "at least 95%" not in fit.summary()


def test_a_table_in_the_prefix_pack_is_found(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path / "cache"))
    corpus, runs, _, _ = made
    run = runs[-1]
    pack = tmp_path / "pack"
    write_duplicates(corpus, pack / "duplicates")
    monkeypatch.setitem(run.record["corpus"], "name", str(pack))
    assert len(find_texts(run).near.texts) == 60
    (pack / "duplicates" / "near-copies.parquet").unlink()
    with pytest.raises(CorpusError, match=r"near-copies\.parquet is damaged"):
        find_texts(run)


def test_positions_with_a_label_of_each_sequence_are_fitted_by_text(made) -> None:
    _, runs, labels, _ = made
    index = np.asarray(read_events(runs[-1]).sequence_index).astype(int)
    inside = index[index < EXPOSED]
    fit = memtrace.fit_poisson(inside, n=EXPOSED, texts=labels[:EXPOSED], window=100)
    assert fit.by_text.rates.event_texts == len(set(labels[inside].tolist()))
    assert fit.by_text.rates.texts == len(set(labels[:EXPOSED].tolist()))
    with pytest.raises(FitError, match="give an integer of each of the 1,200 sequences"):
        memtrace.fit_poisson(inside, n=EXPOSED, texts=labels)


def test_every_page_counts_the_same_texts(made, tmp_path, monkeypatch) -> None:
    """A near-copy that was not seen yet tells nothing of the one that was: it is no memory."""
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path))
    corpus, _, labels, passages = made
    rng = np.random.default_rng(5)
    for step in CHECKPOINTS:
        held = rng.random(labels.max() + 1) < 0.2
        write_checkpoint(tmp_path / "runs", corpus, step, held[labels])
    runs = memtrace.find_runs(tmp_path / "runs")
    fit, of_unseen = memtrace.fit_emergence(runs), 0
    for run, row in list(zip(runs, fit.checkpoints, strict=True))[1:]:
        rates = memtrace.fit_run(run, window=100).to_dict()["texts"]
        assert (row.memorized, row.exposed) == (rates["events"], rates["exposure"])
        index = read_events(run).sequence_index
        inside = index[index < PER_STEP * run.step]
        assert row.memorized == len(set(passages[inside].tolist()))
        late = passages[index[index >= PER_STEP * run.step]]
        of_seen = late[np.isin(late, passages[: PER_STEP * run.step])]
        of_unseen += (~np.isin(of_seen, passages[inside])).sum()
    assert of_unseen > 0
