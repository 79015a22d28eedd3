"""A model and its deduplicated twin against a count over every row of two simulated corpora."""

import numpy as np
import pytest
from builders import write_run
from compared_runs import compared_run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memtrace.comparison import compare
from memtrace.comparison.corpora import match_corpora
from memtrace.comparison.deduplication.compared import compare_twins
from memtrace.comparison.deduplication.copies import BOUNDS, seen_by_copies
from memtrace.comparison.deduplication.matched import matched_shares
from memtrace.comparison.deduplication.twins import find_twins
from memtrace.comparison.matching import MatchedCorpora
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.runs import load_runs
from memtrace.corpus import open_corpus
from memtrace.texts.groups import Texts

ROWS = 50
rows = st.sets(st.integers(0, ROWS - 1))
labels = st.lists(st.integers(0, 30), min_size=ROWS, max_size=ROWS).map(np.array)


def name_of(copies: int) -> str:
    return next(name for name, least, below in BOUNDS if least <= copies < (below or 10**9))


@st.composite
def twins(draw):
    """For each corpus the text of every row, rows scanned and memorized, and rows seen."""
    passages = draw(st.integers(25, 31))  # fewer than texts: some are near-copies
    found = []
    for _ in range(2):
        label, scanned = draw(labels), draw(rows) | set(range(draw(st.integers(0, ROWS))))
        found.append((label, scanned, draw(rows), draw(st.integers(0, ROWS))))
    return passages, found


def runs_of(passages, found):
    return [
        compared_run(
            memorized,
            scanned,
            exposed_rows=exposed,
            rows=ROWS,
            texts=Texts.from_labels(label, label % passages),
            corpus=corpus,
        )
        for corpus, (label, scanned, memorized, exposed) in zip("cd", found, strict=True)
    ]


@given(twins())
@settings(max_examples=50)
def test_strata_of_copies_seen_are_counted_row_by_row(suite):
    passages, found = suite
    run = runs_of(passages, found)[0]
    label, scanned, memorized, exposed = found[0]
    unit = label % passages
    expected = {name: np.zeros(4, int) for name, _, _ in BOUNDS}
    for one in np.unique(unit):
        seen = [row for row in np.flatnonzero(unit == one) if row < exposed]
        kept = [row for row in seen if row in scanned]
        hit = [row for row in kept if row in memorized]
        if kept:
            expected[name_of(len(seen))] += [bool(hit), 1, len(hit), len(kept)]
    for name, one in seen_by_copies(run).items():
        counts = [one.memorized, one.texts, one.memorized_rows, one.rows]
        assert counts == expected[name].tolist()


@given(twins())
@settings(max_examples=60)
def test_texts_in_both_corpora_are_paired_by_text(suite):
    passages, found = suite
    runs = runs_of(passages, found)
    hashes = [label.astype(np.uint64) * np.uint64(2**61 + 5) for label, *_ in found]
    matched = MatchedCorpora.of(dict(zip("cd", hashes, strict=True)))
    answers = {}
    for text in range(31):
        asked = [
            [row for row in np.flatnonzero(label == text) if row < exposed and row in scanned]
            for label, scanned, _, exposed in found
        ]
        if all(asked):
            one = answers.setdefault(text % passages, [False, False])
            for arm in (0, 1):
                one[arm] |= any(row in found[arm][2] for row in asked[arm])
    expected = {name: [] for name, _, _ in BOUNDS}
    label, _, _, exposed = found[0]
    for unit, one in answers.items():
        expected[name_of(int((label[:exposed] % passages == unit).sum()))].append(tuple(one))
    for name, table in matched_shares(*runs, matched).items():
        some = expected[name]
        counts = [some.count(k) for k in ((True, True), (True, False), (False, True))]
        assert table == PairedShares(len(some), *counts)


def test_twins_have_one_name_and_two_corpora():
    standard = compared_run([], [1], model="70m", corpus="c")
    twin = compared_run([], [1], model="70m-deduped", corpus="d")
    same_rows = compared_run([], [1], model="70m-deduped", corpus="c")
    (found,) = find_twins([twin, standard])
    assert (found.standard, found.deduplicated) == ((standard,), (twin,))
    assert find_twins([standard, same_rows]) == ()
    assert find_twins([twin, compared_run([], [1], model="70m", step=2, corpus="c")]) == ()


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A corpus with repeated texts, and the same without, passed one and a half times."""
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path / "cache"))  # of earlier tests none
    rng = np.random.default_rng(1)
    texts = rng.integers(1, 99, (120, 65)).astype(np.uint16)
    often = np.concatenate((np.arange(120), np.repeat(np.arange(12), 5)))
    order = rng.permutation(often)
    again = np.concatenate((rng.permutation(120), rng.permutation(120)[:60]))
    runs = []
    for model, which in (("m", order), ("m-deduped", again)):
        np.save(tmp_path / f"{model}.npy", texts[which])
        corpus = open_corpus(str(tmp_path / f"{model}.npy"))
        for step, exposed in ((4, 90), (8, 180)):
            runs.append(
                write_run(
                    tmp_path / "runs",
                    lambda r, w=which, m=model: ((w[r] < 12) & (m == "m") | (w[r] < 6)) * 32,
                    model=model,
                    step=step,
                    record={"command": ["memtrace", "scan"], "corpus": {"name": corpus.name}},
                    corpus_digest=corpus.digest,
                    corpus_rows=180,
                    exposed_rows=exposed,
                    stop=exposed,
                )
            )
    return order, again, runs


def test_twins_of_runs(suite):
    order, again, runs = suite
    loaded = load_runs(runs)
    (found,) = compare_twins(match_corpora(loaded))
    assert (found.standard, found.deduplicated) == ("demo/m", "demo/m-deduped")
    assert [one.step for one in found.steps] == [4, 8]
    last = found.last
    once, twice = last.by_copies["once"], last.by_copies["twice"]
    # Fresh text of the twin was seen in the first pass alone, repeated text in both.
    assert once.deduplicated.texts == 60
    assert twice.deduplicated.texts == 60
    assert once.deduplicated.rows + twice.deduplicated.rows == 180
    assert last.by_copies["3 to 9 times"].standard.memorized == 12
    assert last.total.standard.memorized_rows == np.isin(order, range(12)).sum()
    assert last.matched_total == PairedShares(120, 6, 6, 0)
    assert last.matched["3 to 9 times"] == PairedShares(12, 6, 6, 0)
    assert last.matched_total.p_value == pytest.approx(stats.binomtest(0, 6).pvalue)
    early = found.steps[0]
    both = set(order[:90]) & set(again[:90])
    assert early.matched_total.texts == len(both)


def test_what_is_not_known_of_twins_has_a_reason(suite, tmp_path):
    _, _, runs = suite
    (tmp_path / "m-deduped.npy").unlink()
    (found,) = compare(runs).deduplication
    assert found.last.matched == {}
    assert found.last.total is None
    assert "demo/m-deduped step" in found.last.matched_reason
    assert "copies in the corpus of demo/m-deduped" in found.last.reason
