"""Every count of a comparison equals the one by brute force over rows and texts."""

from itertools import permutations

import numpy as np
import pytest
from comparison_truth import suites
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.comparison import masks
from memtrace.comparison.classes import classes_of
from memtrace.comparison.coverage import common
from memtrace.comparison.masks import MaskedRows
from memtrace.comparison.pairs import exposed_levels, pair_counts
from memtrace.runs.memorized import Events
from memtrace.texts.exposure import CLASSES, count_classes


def masked(suite):
    return MaskedRows.of(suite.events, suite.exposed, suite.texts.merged)


@settings(max_examples=100)
@given(suites())
def test_pairs_on_what_both_scanned(suite):
    found = masked(suite)
    wanted = list(permutations(range(4), 2))
    for pair, (a, b) in zip(pair_counts(found, wanted), wanted, strict=True):
        ours = pair.agreement()
        assert (ours.both, ours.first, ours.second, ours.texts) == suite.table(a, b)
        assert pair.rows == len(suite.scanned[a] & suite.scanned[b])
        there = pair.agreement(reverse=True)
        assert (there.both, there.first, there.second) == (ours.both, ours.second, ours.first)
        levels = exposed_levels(found, suite.exposed[a])
        seen = pair.agreement(levels)
        expected = suite.table(a, b, lambda unit, a=a: suite.first(unit) < suite.exposed[a])
        assert (seen.both, seen.first, seen.second, seen.texts) == expected


@settings(max_examples=60)
@given(suites())
def test_classes_are_those_of_every_other_command(suite):
    found = masked(suite)
    both = common([one.scanned for one in suite.events])
    for exposed in suite.exposed:
        tables = classes_of(found, both, exposed, range(4))
        for run in range(4):
            kept = suite.memorized[run] & set.intersection(*suite.scanned)
            restricted = Events(np.array(sorted(kept), np.int64), both)
            expected = count_classes(suite.texts.merged, restricted, exposed)
            for name in CLASSES:
                ours, theirs = tables[name].of(run), getattr(expected, name)
                assert (ours.texts, ours.of_texts) == (theirs.event_texts, theirs.texts), name
                assert (ours.rows, ours.of_rows) == (theirs.events, theirs.exposure), name


@given(suites(equal=True), st.sets(st.integers(0, 3), min_size=1).map(sorted))
def test_patterns_are_intersections_of_sets(suite, chosen):
    found = masked(suite)
    which, counts = found.within(suite.events[0].scanned).patterns(chosen)
    sets = [suite.units(suite.memorized[run]) for run in chosen]
    expected = {}
    for unit in set().union(*sets):
        key = tuple(unit in one for one in sets)
        expected[key] = expected.get(key, 0) + 1
    assert dict(zip(map(tuple, which.tolist()), counts.tolist(), strict=True)) == expected
    assert counts.tolist() == sorted(counts, reverse=True)


@given(suites(equal=True))
def test_without_a_table_memorized_copies_are_told_by_hash(suite):
    hashed = [
        Events(
            one.sequence_index, one.scanned, np.array(suite.labels, np.uint64)[one.sequence_index]
        )
        for one in suite.events
    ]
    found = MaskedRows.of(hashed, suite.exposed, None)
    (pair,) = pair_counts(found, [(0, 1)])
    ours = pair.agreement()
    a, b = ({suite.labels[row] for row in suite.memorized[run]} for run in (0, 1))
    assert (ours.both, ours.first, ours.second) == (len(a & b), len(a), len(b))
    rows = set().union(*suite.memorized)
    extra = len(rows) - len({suite.labels[row] for row in rows})
    assert ours.texts == suite.rows - extra
    bare = MaskedRows.of(suite.events, suite.exposed, None)
    (pair,) = pair_counts(bare, [(0, 1)])
    assert pair.agreement().both == len(suite.memorized[0] & suite.memorized[1])
    assert pair.agreement().texts == suite.rows


@given(suites(), st.sampled_from((1, 30, 63, 64, 65, 130)), st.sampled_from((0, 10**9)))
def test_any_number_of_runs_is_counted(suite, empty, few):
    """Runs that have memorized nothing in between move the others to other words of a mask."""
    nothing = Events(np.empty(0, np.int64), suite.events[1].scanned)
    events = [suite.events[0], *[nothing] * empty, *suite.events[1:]]
    last = len(events) - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "FEW", few)  # rows are sorted, or marked
        found = MaskedRows.of(events, suite.exposed, suite.texts.merged)
    for pair, (a, b) in zip(
        pair_counts(found, [(0, last), (last - 1, last)]), ((0, 3), (2, 3)), strict=True
    ):
        ours = pair.agreement()
        assert (ours.both, ours.first, ours.second, ours.texts) == suite.table(a, b)
    units = found.within(suite.events[3].scanned)
    chosen, sets = [0, last - 1, last], [0, 2, 3]
    hits = [suite.units(suite.memorized[run] & suite.scanned[3]) for run in sets]
    numbers = [sum(unit in hit for hit in hits) for unit in set().union(*hits)]
    assert units.by_number(chosen).tolist() == [numbers.count(n) for n in (1, 2, 3)]
    which, counts = units.patterns(chosen)
    assert (which.sum(axis=1) * counts).sum() == sum(numbers)
