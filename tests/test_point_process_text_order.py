"""Order with the text as unit: size with copies, agreement where there are none, once-only rows."""

import numpy as np
import pytest
from scipy import stats

from memtrace.point_process import EventSequence
from memtrace.point_process.diagnostics.uniformity import laplace_z
from memtrace.point_process.fit import Asked, fit_events
from memtrace.point_process.texts.result import by_text
from memtrace.point_process.texts.text_order import once_only, text_order
from memtrace.runs.memorized import Events
from memtrace.texts.groups import Texts

ROWS = 4000


def copied(rng: np.random.Generator) -> tuple[Texts, Events]:
    """Draw texts with Pareto counts, memorized with one fate each, their rows in random order."""
    counts = np.minimum(np.ceil(rng.pareto(1.5, 800) + 1e-9), 200).astype(int)
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = rng.permutation(np.concatenate((labels, 10_000 + np.arange(ROWS))))[:ROWS]
    held = np.unique(labels)[rng.random(len(np.unique(labels))) < 0.05]
    rows = np.flatnonzero(np.isin(labels, held))
    return Texts.from_labels(labels), Events(rows, np.array([[0, ROWS]]))


def test_without_copies_the_test_by_text_is_that_of_laplace_and_all_rows_are_once_only() -> None:
    positions = np.sort(np.random.default_rng(1).choice(ROWS, 60, replace=False))
    texts = Texts.from_labels(np.arange(ROWS))
    found = text_order(texts, Events(positions, np.array([[0, ROWS]])), ROWS)

    assert found.linear.z == pytest.approx(laplace_z(positions, ROWS))
    assert found.once.events.positions.tolist() == positions.tolist()
    assert found.once.events.n == ROWS
    assert found.effective == found.texts == 60


def test_once_only_rows_are_ranked_among_each_other_where_scanned() -> None:
    labels = np.array([0, 1, 1, 2, 3, 1, 4, 5, 0, 6])
    ranges = np.array([[0, 3], [4, 8]])
    rows = EventSequence.from_positions([1, 4, 7], n=9, observed=ranges)
    once = once_only(Texts.from_labels(labels), rows)

    # Scanned and exposed: 0 1 2 4 5 6 7; of these 4, 6 and 7 are the only ones of their text.
    assert once.n == 3
    assert once.positions.tolist() == [0, 2]


def test_what_was_not_scanned_stays_a_gap_among_once_only_rows() -> None:
    labels = np.concatenate((np.arange(1000), np.arange(1000)[:200]))
    np.random.default_rng(5).shuffle(labels)
    texts, ranges = Texts.from_labels(labels), np.array([[0, 300], [900, 1200]])
    alone = np.flatnonzero(texts.places(np.arange(1200)) < 0)
    seen = alone[(alone < 300) | (alone >= 900)]
    once = once_only(texts, EventSequence.from_positions(seen, n=1200, observed=ranges))

    assert once.exposure == once.n_events == len(seen)
    # 600 of 1,200 rows were not scanned, of which as large a share occurs once as of those scanned.
    assert once.n == len(seen) + 600 * len(seen) // 600
    assert once.missing.tolist() == [[(alone < 300).sum(), (alone < 300).sum() + len(seen)]]


def test_copies_in_random_order_are_called_a_departure_no_more_than_once_in_twenty() -> None:
    rng, draws, named, by_text, last = np.random.default_rng(2), 25, 0, [], []
    for seed in range(draws):
        found = text_order(*copied(rng), ROWS, window=200, seed=seed)
        named += bool(found.once.departures.found)
        by_text.append(found.linear.p_value)
        last.append(found.last.p_value)

    most = stats.binom.ppf(0.999, draws, 0.05)
    assert named <= most
    assert sum(p < 0.05 for p in by_text) <= most
    assert sum(p < 0.05 for p in last) <= most


def test_texts_whose_copies_lie_late_are_found_by_text() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(ROWS)
    for text in range(30):
        labels[rng.choice(ROWS, 6, replace=False)] = ROWS + text
        labels[2000 + rng.choice(2000, 6, replace=False)] = 2 * ROWS + text
    rows = np.flatnonzero(labels >= 2 * ROWS)
    found = text_order(Texts.from_labels(labels), Events(rows, np.array([[0, ROWS]])), ROWS)

    assert found.linear.z > 5
    assert {"text order", "last exposure"} <= set(found.once.departures.found)
    assert found.once.events.n_events == 0


def test_strata_divide_the_texts_and_leave_none_out() -> None:
    labels = np.concatenate((np.arange(50), np.repeat(np.arange(50, 60), 4), np.repeat(60, 12)))
    np.random.default_rng(6).shuffle(labels)
    rows = np.flatnonzero(np.isin(labels, [3, 51, 60]))
    found = by_text(Texts.from_labels(labels), Events(rows, np.array([[0, 102]])), 102)

    assert [(one.events, one.texts) for one in found.strata] == [(1, 50), (1, 10), (1, 1)]
    assert sum(one.texts for one in found.strata) == found.rates.texts
    low, high = found.strata[0].rate_ci95
    assert stats.binom.sf(0, 50, low) == pytest.approx(0.025)
    assert stats.binom.cdf(1, 50, high) == pytest.approx(0.025)


def verdict_of(labels: np.ndarray, held: np.ndarray) -> str:
    rows = np.flatnonzero(np.isin(labels, held))
    events = Events(rows, np.array([[0, len(labels)]]))
    found = by_text(Texts.from_labels(labels), events, len(labels), window=200)
    sequence = EventSequence.from_events(events, n=len(labels))
    return fit_events(sequence, Asked(window=200), found).verdict


def test_the_verdict_speaks_of_texts_and_refuses_where_they_are_few() -> None:
    rng = np.random.default_rng(7)
    labels = rng.permutation(np.concatenate((np.arange(3000), np.repeat([5000, 5001], 500))))

    few = verdict_of(labels, np.array([5000, 1, 2, 3]))
    assert few.startswith("4 of 3,002 texts are memorized")
    assert "503 rows, but 4 texts: too few to say how it varies" in few
    assert "end/start" not in few

    # Enough texts, but one has most of the rows: only texts that occur once are spoken of.
    skewed = verdict_of(labels, np.append(np.arange(0, 3000, 30), 5000))
    assert "600 rows, but 101 texts: too few to say how it varies" in skewed
    assert "100 of them occur once" in skewed

    many = verdict_of(labels, np.arange(0, 3000, 10))
    assert "too few" not in many
    assert "300 of them occur once: no drift found" in many


def test_sentences_of_few_texts_are_true_and_whole() -> None:
    each = np.arange(400)
    one, two = verdict_of(each, np.array([200])), verdict_of(each, np.array([7, 8]))
    assert one.startswith("1 of 400 texts is memorized")
    assert "1 text: too few to say how it varies." in one
    # What is found of few is said beside it; without copies nothing is said of last copies.
    assert "2 texts: too few to say how it varies, though memorized texts lie earlier" in two
    assert "copies" not in two
    assert "rows, but" not in one + two

    gone = verdict_of(each, np.arange(30))
    assert ". Memorized texts lie earlier" in gone  # a sentence of its own
    place = "from once-only sequence 30 of 400 on (the only place in its 95% interval)"
    assert f"{place} the rate is zero" in gone
    come = verdict_of(each, np.arange(370, 400))
    assert "the rate is above zero, but zero before" in come


def test_a_share_that_is_ruled_out_is_one_of_texts_where_rows_are_copies() -> None:
    labels = np.repeat([0, 1, 2], 100)
    said = verdict_of(labels, np.array([], int))
    assert said.startswith(
        "No memorized sequence among 300, of 3 texts: the rate of texts is below"
    )
    bound = float(said.split("below ")[1].split(" per million")[0].replace(",", "")) / 1e6
    assert stats.binom.pmf(0, 3, bound) == pytest.approx(0.025, rel=0.01)
