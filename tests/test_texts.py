"""Texts and exposure classes equal what plain loops over all rows count, whatever was scanned."""

from collections import defaultdict
from itertools import permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.point_process import EventSequence
from memtrace.point_process.diagnostics.uniformity import uniformity
from memtrace.point_process.texts.exposure_effect import (
    once_effect,
    sharp_null_p_value,
    stratified_effect,
)
from memtrace.point_process.texts.order import ks_distance, linear_rank
from memtrace.point_process.texts.rates import text_rates
from memtrace.runs.memorized import Events
from memtrace.texts.exposure import (
    CLASSES,
    CountStrata,
    TextCounts,
    classify_rows,
    count_classes,
    count_exposed_texts,
    count_strata,
    unexposed_probability,
)
from memtrace.texts.groups import Texts, count_event_texts


def ranges_of(scanned):
    edges = np.flatnonzero(np.diff(scanned.astype(int), prepend=0, append=0))
    return edges.reshape(-1, 2)


@st.composite
def corpora(draw):
    n, exposed = draw(st.integers(1, 40)), draw(st.integers(0, 45))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    labels = rng.integers(0, draw(st.integers(1, 40)), n)
    scanned = rng.random(n) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    held = rng.random(40) < 0.4
    return labels, min(exposed, n), scanned, held


@settings(max_examples=60)
@given(corpora())
def test_counts_are_those_of_a_loop(corpus):
    labels, exposed, scanned, held = corpus
    n, texts = len(labels), Texts.from_labels(labels)
    hit = scanned & held[labels]
    events = Events(np.flatnonzero(hit), ranges_of(scanned))
    places = defaultdict(list)
    for row, label in enumerate(labels.tolist()):
        places[label].append(row)
    first = np.array([places[label][0] for label in labels.tolist()])
    rows = np.arange(n)
    assert len(texts) == len(places)
    assert texts.names_of(rows).tolist() == first.tolist()
    assert texts.counts_of(first).tolist() == [len(places[label]) for label in labels.tolist()]
    assert texts.copies_before(first, exposed).tolist() == [
        sum(place < exposed for place in places[label]) for label in labels.tolist()
    ]
    kind = np.where(rows < exposed, 0, np.where(first < exposed, 1, 2))
    assert classify_rows(texts, rows, exposed).tolist() == kind.tolist()
    found = count_classes(texts, events, exposed)
    for number, name in enumerate(CLASSES):
        inside, counts = scanned & (kind == number), getattr(found, name)
        assert (counts.exposure, counts.events) == (inside.sum(), (inside & hit).sum())
        assert counts.texts == len(set(labels[inside]))
        assert counts.event_texts == len(set(labels[inside & hit]))
    strata = count_strata(texts, events, exposed)
    expected = defaultdict(lambda: np.zeros(4, int))
    for number, column in ((0, 0), (2, 2)):
        for label in set(labels[scanned & (kind == number)].tolist()):
            expected[len(places[label])][column : column + 2] += (held[label], 1)
    table = np.column_stack((strata.exposed, strata.unexposed))
    assert dict(zip(strata.duplicate_count.tolist(), table.tolist(), strict=True)) == {
        count: expected[count].tolist() for count in sorted(expected)
    }
    seen = count_exposed_texts(texts, events, exposed)
    assert (seen.copies * seen.texts).sum() == (scanned & (kind == 0)).sum()
    assert (seen.copies * seen.memorized).sum() == (hit & (kind == 0)).sum()
    assert (seen.texts.sum(), seen.memorized.sum()) == (
        found.exposed.texts,
        found.exposed.event_texts,
    )


def test_event_texts_need_no_table():
    found = count_event_texts(np.array([7, 7, 7, 9, 2**63], np.uint64))
    assert (found.sequences, found.texts, found.largest) == (5, 3, 3)
    assert found.largest_share == 0.6
    assert found.effective == pytest.approx(25 / 11)
    assert count_event_texts(np.array([], np.uint64)).texts == 0


@pytest.mark.parametrize(("n", "x"), [(30, 0), (30, 11), (30, 28), (30, 30)])
def test_chance_that_no_copy_was_exposed(n, x):
    m = np.arange(1, 31)
    exact = [comb(n - int(each), x) / comb(n, x) for each in m]
    np.testing.assert_allclose(unexposed_probability(m, n, x), exact, rtol=1e-9, atol=1e-15)


def test_few_texts_have_no_interval_of_rows():
    counts = TextCounts.together(
        np.array([1, 80, 99]), np.array([6, 8, 4]), np.array([28_837, 9, 4])
    )
    rates = text_rates(counts)
    assert np.isfinite(rates.sequence_rate_ci95).all()
    few = text_rates(TextCounts.together(counts.copies, np.array([2, 3, 4]), counts.texts))
    one_large = TextCounts.together(np.array([1, 990]), np.array([12, 1]), np.array([5000, 1]))
    for rates, reason in (
        (few, "638 rows, but 9 texts: too few to say how it varies"),
        (text_rates(one_large), "1,002 rows, but 13 texts: too few to say how it varies"),
    ):
        assert np.isnan(rates.sequence_rate_ci95).all()
        assert rates.reason == reason
        assert np.isfinite(rates.rate_ci95).all()  # that of texts always is
    alone = text_rates(TextCounts.together(np.array([1]), np.array([1]), np.array([50])))
    assert alone.reason == "1 text: too few to say how it varies"  # no rows beside it


def test_where_all_of_a_group_are_alike_the_effect_keeps_an_interval():
    """Neyman's variance is 0 where every text of both groups is memorized."""
    strata = CountStrata(np.array([1]), np.array([[50, 50]]), np.array([[250, 250]]))
    low, high = once_effect(strata).ci95
    assert low < 0 < high


def test_effects_without_a_group_are_none():
    strata = CountStrata(np.array([1, 2]), np.array([[3, 9], [0, 0]]), np.array([[0, 0], [1, 4]]))
    assert once_effect(strata) is None
    assert stratified_effect(strata) is None


def test_no_event_among_controls_is_a_result():
    strata = CountStrata(np.array([1]), np.array([[12, 400]]), np.array([[0, 300]]))
    effect = once_effect(strata)
    assert effect.ci95 == effect.newcombe_ci95
    assert 0 < effect.ci95[0] < effect.difference == 0.03 < effect.ci95[1]
    assert effect.p_value < 0.01


def test_sharp_null_is_fisher_on_rows():
    texts = Texts.from_labels([0, 1, 0, 2, 0, 3])
    classes = count_classes(texts, Events(np.array([0, 2, 4]), np.array([[0, 6]])), 3)
    assert sharp_null_p_value(classes) == pytest.approx(1)
    assert np.isnan(
        sharp_null_p_value(count_classes(texts, Events(np.array([0]), np.array([[0, 3]])), 3))
    )


def test_drawn_p_value_agrees_with_all_placements():
    """0.10270 is the share of 12,600 placements (oracle order_linear_rank_text)."""
    ranks, labels = np.array([5, 8, 9, 7, 2, 6]), np.array([0, 0, 0, 1, 2, 2])
    found = linear_rank(ranks, labels, 10, np.random.default_rng(1), by_text=True)
    assert found.p_value == pytest.approx(0.10269841, abs=4 * (0.1 * 0.9 / 9999) ** 0.5)


def test_ks_distance_by_text_is_that_of_weights_and_exact():
    """Four rows of three texts among nine: all placements by enumeration."""
    ranks, labels, rows = np.array([0, 1, 2, 7]), np.array([5, 5, 3, 9]), 9
    weights = np.array([1 / 6, 1 / 6, 1 / 3, 1 / 3])

    def distance(places):
        order = np.argsort(places)
        steps = np.zeros(rows)
        steps[np.array(places)[order]] = weights[order]
        return np.abs(np.cumsum(steps) - np.arange(1, rows + 1) / rows).max(
            initial=np.abs(np.cumsum(steps) - steps - np.arange(rows) / rows).max()
        )

    every = [distance(list(places)) for places in permutations(range(rows), 4)]
    found = ks_distance(ranks, labels, rows, np.random.default_rng(0))
    assert found.ks == pytest.approx(distance(list(ranks)))
    exact = np.mean(np.array(every) >= found.ks - 1e-9)
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 999) + 1e-3)
    each = ks_distance(ranks, np.arange(4), rows, np.random.default_rng(0))
    sequence = EventSequence.from_positions(ranks, n=rows)
    assert each.ks == pytest.approx(uniformity(sequence).ks)
    assert ks_distance(ranks[:0], labels[:0], rows, np.random.default_rng(0)).reason
    many = np.arange(200_000)
    assert "too many" in ks_distance(many, many, 10**6, np.random.default_rng(0)).reason
