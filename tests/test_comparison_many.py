"""Corpora of which texts match, and more runs than are compared pair by pair."""

from itertools import combinations

import numpy as np
import pytest
from compared_runs import compared_run
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.comparison import batches, matching
from memtrace.comparison.fit import compare_loaded
from memtrace.comparison.matching import MatchedCorpora
from memtrace.comparison.projection import projected
from memtrace.runs.memorized import ranges_where

labels = st.lists(st.integers(0, 12), max_size=30).map(np.array)


@settings(max_examples=60)
@given(st.lists(labels, min_size=2, max_size=3), st.sampled_from((2, 7, 1000)))
def test_names_are_the_first_rows_of_texts_of_two_corpora(corpora, part):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "PART", part)  # several parts, or one
        patch.setattr(matching, "BLOCK", 5)
        hashes = [one.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) for one in corpora]
        found = MatchedCorpora.of(dict(zip("abc", hashes, strict=False)))
    every = [int(text) for one in corpora for text in one]
    assert found.alone == len(every)
    for name, one in zip("abc", corpora, strict=False):
        several = [sum(text in set(other.tolist()) for other in corpora) > 1 for text in one]
        expected = [
            every.index(text) if shared else len(every)
            for text, shared in zip(one, several, strict=True)
        ]
        assert found.names[name].tolist() == expected
        assert found.has_match(name) == any(several)


@given(labels, labels, st.data())
def test_a_run_on_another_corpus_says_what_it_says_of_copies(own, other, data):
    rows = st.sets(st.integers(0, max(len(own) - 1, 0))) if len(own) else st.just(set())
    scanned, memorized = data.draw(rows), data.draw(rows)
    run = compared_run(memorized, scanned, rows=len(own), corpus="a")
    matched = MatchedCorpora.of({"a": own.astype(np.uint64), "b": other.astype(np.uint64)})
    found = projected(run, "b", matched)
    sides = [{own[row] for row in kept} for kept in (scanned, memorized & scanned)]
    asked, hit = ([text in side for text in other] for side in sides)
    assert found.scanned.tolist() == ranges_where(np.array(asked, bool)).tolist()
    assert found.sequence_index.tolist() == np.flatnonzero(hit).tolist()


@given(st.lists(st.booleans(), max_size=20).map(lambda bits: np.array(bits, bool)))
def test_ranges_are_where_a_mask_is_set(mask):
    ranges = ranges_where(mask)
    assert [row for start, stop in ranges for row in range(start, stop)] == [*np.flatnonzero(mask)]
    assert all(start < stop for start, stop in ranges)
    assert (ranges[1:, 0] > ranges[:-1, 1]).all()


def suite(seed):
    """Three models at five steps, one of them at fewer, and a seed of one of them."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(size=200)
    runs = []
    for size, model in enumerate(("10m", "20m", "40m-seed1", "40m-seed2")):
        for step in (1, 2, 3, 4, 5)[: 3 if model == "20m" else 5]:
            rank = ease + rng.normal(size=200) / 2 - size / 4 - step / 5
            parameters = 10**7 * 2 ** min(size, 2)
            runs.append(
                compared_run(
                    np.flatnonzero(rank < -1.5), range(200), model=model, step=step,
                    rows=200, exposed_rows=40 * step, parameters=parameters,
                )
            )  # fmt: skip
    return runs


@pytest.fixture(scope="module")
def few():
    found = compare_loaded(suite(1))
    assert "last checkpoint" not in found.summary()
    return found.to_dict()


@pytest.mark.parametrize("most", [4, 9])
def test_of_many_runs_what_is_counted_is_as_of_few(few, most, monkeypatch):
    runs = suite(1)
    monkeypatch.setattr(batches, "MOST", most)
    found = compare_loaded(runs)
    many = found.to_dict()
    assert (few["pairs"], many["pairs"]) == ("all", "last")
    for name in ("runs", "scale", "scale_lines", "seeds", "paired"):
        assert many[name] == few[name]
    last = {"10m": 5, "20m": 3, "40m-seed1": 5, "40m-seed2": 5}
    names = {(run.model, run.step): run.label for run in runs}
    kept = {
        frozenset((names[a], names[b]))
        for a, b in combinations(names, 2)
        if a[1] == b[1] or last[a[0]] == a[1] or last[b[0]] == b[1]
    }
    for name, ends in (("overlap", ("a", "b")), ("prediction", ("from", "to"))):
        expected = [one for one in few[name] if {one[end] for end in ends} in kept]
        assert many[name] == expected
        assert len(expected) < len(few[name])
    assert "last checkpoint" in found.summary()
    shown = {one.target for one in found.drawn_predictions}
    assert {found.runs[place].step for place in shown} == {3, 5}  # last checkpoints alone


def test_a_batch_is_no_larger_than_its_step_needs(monkeypatch):
    runs = suite(2)
    monkeypatch.setattr(batches, "MOST", 9)
    found = list(batches.batches(runs, range(len(runs)), ()))
    steps = [step for one in found for step in one.steps]
    assert sorted(place for step in steps for place in step) == list(range(len(runs)))
    pairs = [pair for one in found for pair in one.pairs]
    assert len(pairs) == len(set(pairs))
    assert all(a < b for a, b in pairs)
    assert all(len(one.own) <= 9 for one in found[1:])
