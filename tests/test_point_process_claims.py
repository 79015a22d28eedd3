"""What pages say of one fit and of several is true of the numbers beside it."""

import math

import numpy as np
import pytest

from memtrace.point_process import EventSequence, fit_poisson
from memtrace.point_process.figures.slides import slider_chart
from memtrace.point_process.fit import Asked, fit_events
from memtrace.point_process.order import FEW_EVENTS, UNDERPOWERED
from memtrace.point_process.overview import overview_page
from memtrace.point_process.page import fit_page
from memtrace.point_process.several import comparison
from memtrace.point_process.simulate import random_order
from memtrace.report.numbers import number, p_text
from memtrace.texts.groups import Texts

N, STEP = 6400, 64
REGULAR = np.delete(np.arange(3, N, 16), np.arange(0, 400, 9))  # about four events in each step


def of_positions(index, label="", **how):
    events = EventSequence.from_positions(index, n=N, sequences_per_step=STEP, label=label)
    return fit_poisson(events, window=200, **how)


def random_fit(n, label, seed):
    return of_positions(random_order(N, n, np.random.default_rng(seed)).positions, label)


@pytest.fixture(scope="module")
def fits():
    """Return fits of 2, 12 and 300 events in random order, and one of an order too regular."""
    sizes = {"two": 2, "twelve": 12, "many": 300}
    found = [random_fit(n, name, n) for name, n in sizes.items()]
    return [*found, of_positions(REGULAR, "regular")]


@pytest.fixture(scope="module")
def repeated():
    """Return texts of 40 copies, memorized, beside 30 of single sequences: by rows it drifts."""
    rng = np.random.default_rng(5)
    labels = np.arange(N)
    for _ in range(12):
        rows = N - 1 - rng.choice(N // 2, 40, replace=False)  # late in training
        labels[rows] = labels[rows[0]]
    counts = np.bincount(labels, minlength=N)[labels]
    alone = rng.choice(np.flatnonzero(counts == 1), 30, replace=False)
    index = np.union1d(np.flatnonzero(counts > 1), alone)
    return of_positions(index, "copies", texts=Texts.from_labels(labels))


def test_fits_that_could_not_find_a_drift_are_not_called_tested(fits) -> None:
    rows = comparison(fits)
    able = [row["label"] for row in rows if row["powered"]]
    page = fit_page(fits, [{}] * len(fits)).summary

    assert able == ["many", "regular"]
    for fit, row in zip(fits, rows, strict=True):
        n = fit.events.n_events
        assert math.isnan(row["rate_ratio"]) == (n < FEW_EVENTS)
        assert math.isnan(row["p_value_holm"]) == (not row["powered"])
        assert ("Too few events to tell" in fit.verdict) == (not row["powered"])
        assert row["powered"] == (fit.trend.detectable_ratio() <= UNDERPOWERED)
    assert f"none of {len(able)} fits that could find a 3-fold one" in page.answer
    cells = {row[0]: row for row in page.tables[0].rows}
    assert cells["two"][2:4] == ("-", "-")
    drawn = {row["place"] for row in _slides(fits)}
    assert drawn == {2, 3, 4}  # of two events no size is drawn


def test_too_few_events_in_every_fit_is_the_answer() -> None:
    few = [random_fit(12, name, seed) for seed, name in enumerate(("a", "b"))]
    answer = fit_page(few, [{}] * 2).summary.answer

    assert answer.startswith("In none of 2 fits are there events enough to find a 3-fold drift")


def test_where_nothing_or_everything_is_memorized_the_page_says_which_and_draws_no_rate() -> None:
    nothing = fit_poisson(EventSequence.from_positions([], n=100, label="a"))
    everything = fit_poisson(EventSequence.from_positions(range(100), n=100, label="b"))
    for fits, said in (
        ([nothing] * 2, "Nothing is memorized in any of 2 fits, so there is no order to test."),
        ([everything] * 2, "Everything is memorized in each of 2 fits, so there is no order"),
        ([nothing, everything], "In none of 2 fits is there an order to test."),
    ):
        page = fit_page(fits, [""] * 2)
        assert page.summary.answer.startswith(said)
        assert [one.figure for one in (page.summary, *page.findings)] == [None] * 3
        assert "best model" not in [column.name for column in page.summary.tables[0].filled]


def test_departures_without_a_drift_are_counted_in_the_answer(fits) -> None:
    page = fit_page(fits, [{}] * len(fits)).summary
    regular = fits[-1]

    assert regular.gate.departures.found == ("dispersion",)
    assert "departs from a random one in some way in 1 of 4" in page.answer
    assert "0.2 would on average" in page.rest  # 5% of four
    # The figure of the sentence is among the numbers, with its p-value.
    index = regular.gate.departures.steps.binomial
    assert f"{number(index.value)} times the variance, {p_text(index.p_value)}" in regular.verdict
    assert "variance between steps" in regular.summary()
    document = regular.to_dict()["departures"]["dispersion_of_steps"]
    assert document["index_binomial"] == index.value
    assert document["p_value"] == index.p_value


def test_no_departure_is_said_with_the_smallest_adjusted_p_value(fits, repeated) -> None:
    many = fits[2]
    made = many.gate.departures.made
    least = min(one.p_holm for one in made)
    said = "p < 0.001" if least < 0.001 else f"p = {least:.2g}"

    assert f"smallest {said}, Holm over {len(made)} tests" in many.verdict
    for fit in (many, repeated):
        shown = fit.summary()
        for one in fit.gate.departures.made:
            assert f"\n  {one.name} " in shown


def test_the_smallest_p_value_is_no_tie(fits) -> None:
    chosen = [fits[3], fits[3], fits[2]]
    if fits[3].trend.p_value < fits[2].trend.p_value:
        chosen = [fits[2], fits[2], fits[3]]
    rows = comparison(chosen)
    facts = {fact.name: fact for fact in fit_page(chosen, [{}] * 3).summary.facts}

    assert {row["p_value_holm"] for row in rows} == {1.0}
    assert rows[2]["p_value"] < rows[0]["p_value"]
    note = facts["smallest p of a drift, Holm"].note
    assert note.startswith(f"{rows[2]['label']}: ")
    assert note.endswith(f"{p_text(rows[2]['p_value'])} alone")


def _slides(fits) -> list[dict]:
    """Return the points of the chart whose slider chooses a fit."""
    parts = slider_chart(fits)["datasets"].values()
    return [row for part in parts for row in part if "events" in row]


def test_with_copies_the_picture_is_that_of_texts_that_occur_once(repeated) -> None:
    once = repeated.by_text.order.once
    pages = fit_page([repeated, repeated], [{}] * 2)
    rows = _slides([repeated])

    assert repeated.primary is once
    assert sum(row["events"] for row in rows) == once.events.n_events == 30
    assert all(row["least"] < row["rate"] < row["most"] or not row["rate"] for row in rows)
    assert "These are texts that occur once." in pages.summary.figure.caption
    assert "not known" not in pages.summary.figure.caption
    # The ratio of rows says where copies lie, and is no size of a drift.
    assert repeated.trend.rate_ratio > 2
    said = pages.summary.figure.description + pages.findings[0].figure.description
    assert "end/start" not in said
    assert "rate, end over start" not in repeated.summary().partition("Order of rows")[2]


def test_what_was_tested_names_the_tests_that_were_made(fits, repeated) -> None:
    every = of_positions(np.arange(N))
    assert fit_page([every], [{}]).summary.tested == []
    (rows,) = fit_page([fits[2]], [{}]).summary.tested
    (texts,) = fit_page([repeated], [{}]).summary.tested
    assert "steady drift" in rows
    assert "last copy" not in rows
    assert "last copy" in texts


def test_intervals_of_rows_are_conditional_where_copies_are_not_known(fits, repeated) -> None:
    for fit in fits:
        assert fit.verdict.endswith("; rows are taken as different texts.")
    assert "taken as different texts" not in repeated.verdict
    notes = [fact.note for fact in fit_page([fits[2]], [{}]).summary.facts if "%" in fact.note]
    assert all("if no two are copies" in note for note in notes if "power" not in note)
    assert any("different texts" in text for text in fit_page(fits, [{}] * 4).summary.limits)


def index_of(*fits):
    """Return the first page of a report on checkpoints of one model."""
    return overview_page([("m", step, fit) for step, fit in enumerate(fits)], "order.html", {})


def with_control(events, of, exposed=40, n=100, observed=None):
    found = EventSequence.from_positions(
        np.arange(exposed), n=n, observed=observed, label="m",
        not_exposed_events=events, not_exposed_exposure=of,
    )  # fmt: skip
    return fit_events(found, Asked(window=20))


def test_the_first_page_has_the_control_beside_what_was_trained_on() -> None:
    page = index_of(with_control(2, 50)).summary
    assert page.answer == (
        "m returns 40 of the 100 sequences that it was trained on (40%, 95% 30.3% to 50.3%, if no "
        "two are copies of one text), and 2 of 50 not trained on (4%)."
    )
    assert page.rest == ""
    assert page.tables[0].rows[0][-2:] == ("4%", "2 of 50")
    assert not any("memorized" in column for column in page.tables[0].columns)
    alike = index_of(with_control(30, 50)).summary
    assert "no less of what it was not trained on" in alike.rest
    # Where the last checkpoint left nothing unexposed, the last one before it is the control.
    earlier = index_of(with_control(2, 50), with_control(0, 0)).summary
    assert "not trained on" not in earlier.answer
    control = earlier.facts[1]
    assert (control.value, control.note) == ("4%", "m")
    assert control.name.endswith("2 of 50")


def test_the_first_page_sets_the_largest_share_above_those_of_the_other_models() -> None:
    fits = [("a", 1, with_control(0, 0, exposed=3)), ("b", 1, with_control(0, 0))]
    fits.insert(0, ("a", 0, with_control(0, 0, exposed=60)))  # larger, but not its last one
    answer = overview_page(fits, "order.html", {}).summary.answer
    assert answer.startswith(
        "Of the last checkpoints of 2 models none returns a larger share than m: 40 of the 100 "
    )


def test_a_part_of_what_was_trained_on_is_never_called_the_whole() -> None:
    part = with_control(0, 0, observed=[[0, 50]])
    page = index_of(part).summary

    assert "40 of 50 scanned sequences, of 100 rows that it was trained on" in page.answer
    assert "50 of 100" in page.tables[0].rows[0]
    named = "Not all that was trained on was scanned: 50% of the sequences."
    assert named in page.limits
    assert named in fit_page([part], [{}]).summary.limits


def test_the_page_of_one_fit_answers_with_the_order_and_folds_the_share(repeated) -> None:
    page = fit_page([repeated]).summary
    share, order = repeated.verdict.split(". ", 1)

    assert page.rest == f"{share}."
    assert "memorized texts" in page.answer
    assert page.answer.rpartition("; ")[2].replace("the memorized texts", "them") in order
