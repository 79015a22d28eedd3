"""Models of the rate: likelihoods, intervals and the change that was put in."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, stats

from memtrace.errors import FitError
from memtrace.point_process import EventSequence, Windows
from memtrace.point_process.models.change_point import (
    change_point,
    change_points_model,
    segmentations,
    split_gain,
)
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.models.counts import beta_binomial, count_models, negative_binomial
from memtrace.point_process.models.piecewise import known_cuts, parts, piecewise_constant, tenths
from memtrace.point_process.models.power_law import power_law, power_law_model
from memtrace.point_process.models.recency import LARGEST_SHARE, _shares, last_steps, recency
from memtrace.point_process.models.spline import spline
from memtrace.point_process.models.trend import log_linear, log_linear_model
from memtrace.point_process.simulate import random_order


def drawn(rate: np.ndarray, seed: int, **more) -> EventSequence:
    rng = np.random.default_rng(seed)
    return EventSequence.from_positions(
        np.flatnonzero(rng.random(len(rate)) < rate), n=len(rate), **more
    )


def fits_of(events: EventSequence) -> list:
    rng = np.random.default_rng(0)
    return [
        homogeneous(events.n_events, events.exposure),
        log_linear_model(events, log_linear(events)),
        piecewise_constant(events, tenths(events), "tenths", rng),
        change_points_model(events),
        spline(events, rng).model,
        power_law_model(events),
        recency(events, 64, rng),
    ]


def test_each_model_expects_as_many_events_as_there_were_and_its_own_likelihood() -> None:
    events = drawn(0.02 * (1 + np.linspace(0, 1, 30_000) ** 2), 0)
    u = (np.arange(events.n) + 0.5) / events.n
    for model in fits_of(events):
        rate = model.rate(u)
        assert rate.sum() == pytest.approx(events.n_events, rel=2e-3), model.name
        likelihood = np.log(rate[events.positions]).sum() - rate.sum()
        assert model.log_likelihood == pytest.approx(likelihood, abs=0.5), model.name


def test_models_of_what_was_seen_leave_out_what_was_not() -> None:
    whole = drawn(0.05 * np.exp(-np.linspace(0, 1, 20_000)), 1)
    observed = np.array([[0, 4000], [9000, 20_000]])
    inside = (whole.positions < 4000) | (whole.positions >= 9000)
    events = EventSequence.from_positions(whole.positions[inside], n=whole.n, observed=observed)
    u = (np.concatenate([np.arange(*pair) for pair in observed]) + 0.5) / events.n
    for model in fits_of(events):
        assert model.rate(u).sum() == pytest.approx(events.n_events, rel=1e-2), model.name


def test_piecewise_likelihood_ratio_is_that_of_the_two_way_table() -> None:
    events = drawn(np.full(3000, 0.3), 2)
    there = parts(events, [1000, 1500])
    model = piecewise_constant(events, [1000, 1500], "three", np.random.default_rng(0))
    table = np.stack((there.counts, there.exposures - there.counts))
    expected = stats.chi2_contingency(table, lambda_="log-likelihood", correction=False)

    assert model.p_value == pytest.approx(expected.pvalue)


def test_sparse_parts_are_compared_with_random_orders() -> None:
    events = EventSequence.from_positions([1, 2, 3, 900], n=1000)
    model = piecewise_constant(events, [500], "halves", np.random.default_rng(0))

    # Of four events in random order, a share of 5/8 is split 3:1 or worse.
    assert model.p_value == pytest.approx(10 / 16, abs=0.06)


@pytest.mark.parametrize("cuts", [[5, 5], [0], [10], [7, 3]])
def test_cuts_that_do_not_ascend_inside_the_axis_are_refused(cuts) -> None:
    with pytest.raises(FitError, match="must ascend strictly inside"):
        parts(EventSequence.from_positions([1], n=10), cuts)


def test_known_cuts_of_pythia_fall_inside_the_axis() -> None:
    events = EventSequence.from_positions([5], n=100_000 * 1024, sequences_per_step=1024)
    names = [cut.name for cut in known_cuts("pythia", "1.4b-deduped", events)]

    assert names == ["warm-up ends", "second epoch begins"]
    assert len(known_cuts("pythia", "1.4b", events)) == 1
    assert known_cuts("demo", "demo", events) == ()


def test_change_point_search_finds_the_best_of_all_splits() -> None:
    events = random_order(60, 20, np.random.default_rng(3))
    found = change_point(events, np.random.default_rng(0), trim=(0.0, 1.0))
    place = np.arange(1, 60)
    before = np.searchsorted(events.positions, place)

    assert found.likelihood_ratio == pytest.approx(split_gain(before, place, 20, 60).max())


def test_change_point_interval_covers_the_place() -> None:
    covered = [0, 0]
    for seed in range(20):
        for i, (n, before, after) in enumerate(((20_000, 0.02, 0.01), (60_000, 0.05, 0.06))):
            rate = np.where(np.arange(n) < 0.4 * n, before, after)
            found = change_point(drawn(rate, seed), np.random.default_rng(seed))
            covered[i] += found.ci95[0] <= 0.4 * n <= found.ci95[1]

    assert min(covered) >= 19 - 3 * math.sqrt(20 * 0.05 * 0.95)


@pytest.mark.parametrize("index", [[5], [0, 9, 18, 27, 36], [40, 41, 190], [199], [3, 100, 101]])
def test_change_point_interval_reaches_between_events(index, monkeypatch) -> None:
    """Every split is tried, not those beside an event alone."""
    n, drop = 200, 4.0
    monkeypatch.setattr("memtrace.point_process.models.change_point._drop", lambda *_: drop)
    events = EventSequence.from_positions(index, n=n)
    found = change_point(events, np.random.default_rng(0), trim=(0.0, 1.0))
    place = np.arange(1, n)
    gain = split_gain(np.searchsorted(events.positions, place), place, len(index), n)
    close = place[gain >= gain.max() - drop]

    assert found.ci95 == (close.min(), close.max())


def test_change_point_skips_what_was_not_seen() -> None:
    observed = [[100, 300], [700, 1000]]
    events = EventSequence.from_positions(
        [*range(110, 290, 6), 850, 990], n=1000, observed=observed
    )
    found = change_point(events, np.random.default_rng(0))

    # The last event of the dense part stands at 284; the next sequence is the first after it.
    assert found.index == 285
    assert found.p_value < 0.01


def test_segmentation_agrees_with_trying_all_divisions() -> None:
    rng = np.random.default_rng(4)
    counts, exposures = rng.binomial(50, 0.2, 9), np.full(9, 50)

    def cost(*cuts: int) -> float:
        y, e = np.split(counts, cuts), np.split(exposures, cuts)
        model = [stats.binom(len(x) * 50, x.sum() / z.sum()) for x, z in zip(y, e, strict=True)]
        shares = [x.sum() / z.sum() for x, z in zip(y, e, strict=True)]
        assert len(model) == len(shares)
        return -sum(
            x.sum() * math.log(p) + (z.sum() - x.sum()) * math.log1p(-p)
            for x, z, p in zip(y, e, shares, strict=True)
        )

    found = segmentations(counts, exposures, most=3)
    best = min((cost(i, j), (i, j)) for i in range(1, 9) for j in range(i + 1, 9))
    assert found[2].cost == pytest.approx(best[0])
    assert found[2].starts == best[1]


def test_power_law_is_the_poisson_regression_on_log_time() -> None:
    events = drawn(0.03 * ((np.arange(50_000) + 0.5) / 50_000) ** -0.3, 5)
    model = power_law_model(events)

    u = (events.positions + 0.5) / events.n
    assert model.parameters["beta"] == pytest.approx(power_law(u).beta, rel=1e-6)
    low, high = model.intervals["beta"]
    assert low < 0.7 < high
    assert model.p_value < 1e-6


def test_recency_is_found_and_its_amplitude_covered() -> None:
    n, tau, amplitude = 64 * 1000, 64 * 40, 3.0
    age = n - np.arange(n)
    events = drawn(0.02 * (1 + amplitude * np.exp(-age / tau)), 6, sequences_per_step=64)
    model = recency(events, 64, np.random.default_rng(0))
    low, high = model.intervals["amplitude"]

    assert model.p_value < 0.01
    assert low < amplitude < high
    assert tau / 3 < model.parameters["decay_sequences"] < 3 * tau
    last = last_steps(events)
    assert last[10].p_value < 0.01
    assert last[10].ratio > 1.5
    steady = recency(random_order(n, 1000, np.random.default_rng(7)), 64, np.random.default_rng(0))
    assert steady.p_value > 0.05


@pytest.mark.parametrize("tau", [30, 500, 5000, 30_000])
def test_recency_is_at_the_maximum_over_all_tau_and_says_where_that_is_an_end(tau) -> None:
    """Against a fine grid of tau."""
    n, unit = 20_000, 64
    events = drawn(0.02 * (1 + 4 * np.exp(-(n - np.arange(n)) / tau)), tau)
    model = recency(events, unit, np.random.default_rng(0))
    ages = np.unique(np.geomspace(unit / 8, n, 80).astype(np.int64))[::-1]
    edges = np.unique(np.concatenate(([0], n - ages, [n])))
    counts, _ = np.histogram(events.positions, edges)

    widths = np.diff(edges)

    def gain(decay: float) -> float:
        mass = np.diff(np.exp(-(n - edges) / decay))
        excess = mass / mass.sum() * n / widths - 1
        found = optimize.minimize_scalar(
            lambda w: -float((counts * np.log1p(w * excess)).sum()), bounds=(0, 0.999),
            method="bounded", options={"xatol": 1e-9},
        )  # fmt: skip
        return max(-2 * found.fun, 0.0)

    grid = np.geomspace(unit, 4 * n, 400)
    gains = [gain(decay) for decay in grid]
    best = int(np.argmax(gains))
    assert model.likelihood_ratio >= gains[best] - 1e-4
    assert model.likelihood_ratio == pytest.approx(gains[best], abs=0.01)
    assert (model.note is not None) == (best in (0, 399))


def test_spline_band_holds_the_whole_true_curve() -> None:
    inside, n = 0, 40_000
    u = (np.arange(n) + 0.5) / n
    rate = 0.05 * np.exp(0.4 * np.sin(4 * u))
    for seed in range(100):
        curve = spline(drawn(rate, seed), np.random.default_rng(seed))
        truth = np.interp(curve.u, u, rate)
        inside += bool(((curve.low <= truth) & (truth <= curve.high)).all())

    assert inside >= 95 - 3 * math.sqrt(100 * 0.05 * 0.95)


def test_laws_of_counts_agree_with_statsmodels() -> None:
    rng = np.random.default_rng(8)
    counts = rng.negative_binomial(4, 0.4, 400)
    windows = Windows(np.arange(400) * 1000, counts, np.full(400, 1000))
    found = negative_binomial(windows)
    theirs = sm.NegativeBinomial(counts, np.ones(400)).fit(disp=False)

    assert found.log_likelihood == pytest.approx(theirs.llf, rel=1e-7)
    assert found.parameters["alpha"] == pytest.approx(theirs.params[1], rel=1e-3)
    low, high = found.intervals["alpha"]
    error = theirs.bse[1] / theirs.params[1]
    assert math.log(high / low) / (2 * 1.96) == pytest.approx(error, rel=0.02)


def test_beta_binomial_likelihood_is_scipys() -> None:
    rng = np.random.default_rng(9)
    exposures = rng.integers(20, 80, 300)
    counts = rng.binomial(exposures, rng.beta(3, 12, 300))
    found = beta_binomial(Windows(np.cumsum(exposures) - exposures, counts, exposures))
    p, rho = found.parameters["p"], found.parameters["rho"]
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho

    assert found.log_likelihood == pytest.approx(
        stats.betabinom.logpmf(counts, exposures, a, b).sum()
    )
    nearby = stats.betabinom.logpmf(counts, exposures, 1.1 * a, 1.1 * b).sum()
    assert nearby < found.log_likelihood
    assert found.intervals["rho"][0] < 1 / 16 < found.intervals["rho"][1]


def test_even_counts_stand_at_the_boundary() -> None:
    even = Windows(np.arange(40) * 20, np.full(40, 5), np.full(40, 20))
    for model in count_models(even):
        if model.p_value is not None:
            assert (model.likelihood_ratio, model.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("positions", [[], range(100)])
def test_models_without_an_answer_say_why(positions) -> None:
    events = EventSequence.from_positions(np.array(positions, np.int64), n=100)
    for model in fits_of(events)[1:]:
        assert model.reason, model.name
        assert math.isnan(model.log_likelihood)
    found = change_point(events, np.random.default_rng(0))
    assert found.index is None
    assert found.reason


def test_a_part_without_events_leaves_the_spline_undefined_with_a_reason() -> None:
    events = EventSequence.from_positions(
        np.arange(0, 6000, 12), n=10_000, observed=[[0, 6000], [9000, 10_000]]
    )
    curve = spline(events, np.random.default_rng(0))

    assert "minus infinity" in curve.model.reason
    assert math.isnan(curve.largest_departure)


def test_the_share_of_recent_events_is_the_most_likely_one() -> None:
    """Against a plain search for each row: inside, at both ends, and where Newton has arrived."""
    rng = np.random.default_rng(4)
    counts = rng.poisson(rng.choice([0.02, 1.0, 20.0], (60, 1)), (60, 40))
    relative = rng.choice([0.3, 3.0], (60, 1)) * np.geomspace(0.01, 1, 40) ** 2
    relative -= relative.mean(axis=1, keepdims=True)
    relative /= np.maximum(-relative.min(axis=1, keepdims=True), 1.0)

    found = _shares(counts, relative)
    for y, c, w in zip(counts, relative, found, strict=True):
        best = optimize.minimize_scalar(
            lambda v, y=y, c=c: -(y * np.log1p(v * c)).sum(),
            bounds=(0.0, LARGEST_SHARE),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert w == pytest.approx(best.x, abs=1e-6)
    assert {0.0, LARGEST_SHARE} < set(found)
