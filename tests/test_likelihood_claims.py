"""What is said of order in likelihoods is true of the numbers beside it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from builders import write_run

import memtrace
from memtrace.errors import FitError
from memtrace.likelihood import order_of_rows
from memtrace.likelihood.order.page import order_page
from memtrace.likelihood.order.page import tested as what_was_tested
from memtrace.likelihood.order.verdict import adjusted_p_values
from memtrace.likelihood.ranks import rank_correlation
from memtrace.texts.groups import Texts

N, SEEN, PER_STEP = 4000, 2400, 2


def of_ages(effect, *, spread=5.0, seed=0, **how):
    """Return the order of shuffled rows with an effect that depends on their age in steps."""
    rng = np.random.default_rng(seed)
    b = -60 + 15 * rng.normal(size=N)
    y = b + spread * rng.normal(size=N)
    age = (SEEN - 1 - np.arange(SEEN)) // PER_STEP
    y[:SEEN] += effect(age)
    where = {"exposed_rows": SEEN, "step": SEEN // PER_STEP, "sequences_per_step": PER_STEP} | how
    return order_of_rows(np.arange(N), y, baseline=b, **where)


def page_text(*fits):
    page = order_page(fits)
    return " ".join(
        text
        for one in [page.summary, *page.findings]
        for text in (one.answer, one.rest, *(f"{f.value} {f.name} {f.note}" for f in one.facts))
    )


def test_the_largest_effect_is_of_an_age_whose_band_leaves_out_0() -> None:
    # Two rows of the last step have more by chance than the hundreds that do have an effect.
    found = of_ages(lambda age: np.where(age >= 64, 4.0, 0.0) + np.where(age == 0, 4.0, 0.0))
    largest = found.recency.largest
    bins = found.recency.bins

    assert max(bins, key=lambda one: one.nats) is not largest
    assert largest.band95[0] > 0
    assert all(one.band95[0] <= 0 for one in bins if one.nats > largest.nats)
    said = "Of the ages whose band leaves out 0 the estimated effect is largest"
    assert said in found.verdict
    low, high = (f"{end:.3g}" for end in largest.band95)
    assert f"band {low} to {high}" in found.verdict
    assert f"band {low} to {high}" in page_text(found)


def test_where_no_age_differs_none_is_called_the_largest() -> None:
    found = of_ages(lambda age: 0.0 * age)

    assert found.recency.p_value > 0.05
    assert found.recency.largest is None
    assert math.isnan(found.recency.retention)
    assert "largest" not in found.verdict
    assert "largest effect" not in page_text(found)
    curve = found.to_dict()["recency_curve"]
    assert curve["largest_steps_ago"] is None
    assert curve["reason"]


def test_an_effect_within_the_margin_is_called_small_with_its_90_percent_interval() -> None:
    found = of_ages(lambda age: 0.0 * age, spread=1.5)
    low, high = (end / found.tokens for end in found.difference.interval(0.9))

    assert found.equivalence.equivalent
    assert -found.equivalence.margin < low < high < found.equivalence.margin
    assert "is smaller than the margin of 0.01 nats a token" in found.verdict
    assert f"90% {low:.3g} to {high:.3g}" in found.verdict
    assert "No effect of exposure:" not in found.verdict


def test_a_handful_of_rows_shows_no_effect_to_be_absent() -> None:
    rng = np.random.default_rng(1)
    b = rng.normal(-60, 15, N)
    found = order_of_rows(
        np.arange(N), b + rng.normal(0, 0.01, N), baseline=b, exposed_rows=6, step=3,
        sequences_per_step=2,
    )  # fmt: skip

    assert found.difference.interval(0.9)[1] < found.equivalence.margin * found.tokens
    assert found.equivalence.equivalent is None
    assert found.to_dict()["equivalence"]["reason"] == "6 rows of a group: at least 30 are needed"
    assert "smaller than the margin" not in found.verdict


def test_a_baseline_that_orders_alike_leaves_nothing_to_order_or_to_compare() -> None:
    b = np.random.default_rng(2).normal(-60, 15, N)
    for y in (b, 2 * b - 3):
        found = order_of_rows(np.arange(N), y, baseline=b, exposed_rows=SEEN)
        assert not found.spearman.reason
        assert found.partial.reason == "given the baseline nothing is left to order"
        assert found.difference.reason == "given the baseline nothing is left to compare"
        assert "all values are the same" not in found.verdict
        assert "95%" not in found.verdict
        # Nothing was tested, so nothing is said to have been.
        assert not any("order and likelihood" in text for text in what_was_tested([found]))
    equal = order_of_rows(np.arange(N), np.full(N, -3.0), baseline=b, exposed_rows=SEEN)
    assert equal.partial.reason == "all values are the same"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_correlation_has_an_interval_of_some_width(sign) -> None:
    for n in (5, 12, 200):
        found = rank_correlation(sign * np.arange(n))
        swapped = np.arange(n)
        swapped[[0, 1]] = 1, 0
        near = rank_correlation(sign * swapped)
        low, high = sorted(sign * end for end in found.ci95)
        assert high == 1 == sign * found.rho
        assert low == pytest.approx(min(sign * end for end in near.ci95))


def test_p_values_on_the_page_are_those_by_which_it_answers() -> None:
    found = of_ages(lambda age: np.where(age < 20, 2.0, 0.0), seed=3)
    p_values = adjusted_p_values(found)

    for name in ("order", "exposure"):
        p = p_values[name]
        text = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
        assert f"{text} (Holm)" in page_text(found)


def test_the_first_figure_has_the_checkpoint_that_the_page_answers_with() -> None:
    pytest.importorskip("vl_convert")
    found = of_ages(lambda age: 2.0 + 0 * age)
    early, late = (
        replace(found, source=replace(found.source, label=f"s/m step {step}", step=step))
        for step in (600, 1200)
    )
    page = order_page([early, late])
    without = replace(late, recency=replace(late.recency, bins=()))
    shown = [order_page([early, one]).summary.figure.chart for one in (late, without)]

    assert page.summary.label == "s/m step 1200, the last of 2 checkpoints"
    assert page.summary.answer == page.findings[1].answer
    for chart in shown:
        rows = [row for part in chart["datasets"].values() for row in part]
        assert any(row.get("label") == "s/m step 1,200" for row in rows)


def test_a_sample_is_named_wherever_its_likelihoods_are_shown(tmp_path) -> None:
    rows = 1000
    levels = np.random.default_rng(4).normal(-60, 5, rows)
    of = {"stop": rows, "corpus_rows": rows, "sequences_per_step": 10, "shard_size": rows}
    run = write_run(
        tmp_path,
        lambda index: np.full(len(index), 3),
        likelihood=lambda index: levels[index],
        step=60,
        exposed_rows=600,
        sample_size=500,
        sample_seed=1,
        **of,
    )
    texts = Texts.from_labels(np.arange(rows))
    found = memtrace.test_order(run, texts=texts)

    named = "random sample was scanned, 500 of 1,000 sequences"
    assert "exposed sequences whose exact text occurs once" in found.verdict
    for limits in (order_page([found]).summary.limits, order_page([found, found]).summary.limits):
        assert any(named in text for text in limits)
    assert named in " ".join(found.summary().split())
    assert named in found.to_dict()["scanned"]


def test_a_baseline_that_shares_no_row_is_named_in_place_of_the_step(tmp_path):
    """A run of what it was trained on alone has none of the rows that a later one adds."""
    for step in (20, 40):
        write_run(
            tmp_path,
            lambda rows: np.full(len(rows), 3),
            likelihood=lambda rows: -40.0 - rows % 11,
            step=step,
            stop=10 * step,
            corpus_rows=1000,
            sequences_per_step=10,
            exposed_rows=10 * step,
        )
    early, late = memtrace.find_runs(tmp_path)
    with pytest.raises(FitError, match="no row that step 20 had not been trained on"):
        memtrace.test_order(late, baseline=early)


def test_groups_without_variation_leave_no_error_to_judge_by():
    """All exposed rows have one value and all others another: an interval would be a point."""
    rows = np.arange(200)
    y = np.where(rows < 80, -0.1, -40.3)
    found = order_of_rows(rows, y, exposed_rows=80, step=8, sequences_per_step=10)
    assert "do not vary" in found.difference.reason
    assert "do not vary" in found.recency.reason
    assert "not known" in found.verdict
    assert "Training on" not in found.verdict


def test_where_every_text_has_copies_this_is_the_reason(tmp_path):
    rows = np.arange(100)
    run = write_run(
        tmp_path,
        lambda index: np.full(len(index), 3),
        likelihood=lambda index: -40.0 - index % 7,
        step=6,
        stop=100,
        corpus_rows=100,
        sequences_per_step=10,
        exposed_rows=60,
    )
    with pytest.raises(FitError, match="every text that was scanned occurs more than once"):
        memtrace.test_order(run, texts=Texts.from_labels(rows % 5))


def test_what_training_takes_has_an_interval_of_what_it_takes():
    found = of_ages(lambda age: np.full(len(age), -4.0), seed=6)
    low, high = found.difference.interval()
    assert high < 0
    said = found.verdict
    assert f"takes {-found.difference.nats:.3g} nats from its log-likelihood" in said
    assert f"(95% {-high:.3g} to {-low:.3g}; " in said


@pytest.mark.parametrize("rows", [2, 3, 4, 8, 9])
def test_few_rows_are_not_said_to_show_what_they_cannot(rows):
    """Even a perfect order of 4 rows has p = 0.08: no power finds it."""
    y = -50.0 - np.arange(rows)[::-1] % 3 - np.arange(rows) / 100
    found = order_of_rows(np.arange(rows), y, exposed_rows=rows, step=rows, sequences_per_step=1)
    at_best = f"of {rows} rows one near 1 would be found at best" in found.verdict
    assert at_best == (rows < 9)
    assert "one of - " not in found.verdict
    perfect = rank_correlation(np.arange(rows, dtype=float))
    if perfect.p_value > 0.05:
        assert math.isnan(perfect.detectable)
