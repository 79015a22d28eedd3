"""Do the tests keep their size and the intervals their coverage? By seeded simulation."""

import math

import numpy as np
import pytest

from memtrace.point_process import EventSequence, fit_poisson
from memtrace.point_process.models.change_point import change_point
from memtrace.point_process.models.recency import recency
from memtrace.point_process.models.trend import log_linear
from memtrace.point_process.power import simulate_power
from memtrace.point_process.simulate import log_linear_drift, random_order

LEVEL = 0.05


def slack(draws: int) -> float:
    """Return three Monte Carlo standard errors of a share of 5%."""
    return 3 * math.sqrt(LEVEL * (1 - LEVEL) / draws)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.6])
def test_every_test_keeps_its_size_in_random_order(p) -> None:
    rng, draws, n = np.random.default_rng(7), 200, 20_000
    power = simulate_power(lambda r: random_order(n, round(n * p), r), draws, rng, window=256)

    for name, rejected in power.rejected.items():
        assert rejected <= LEVEL + slack(draws), name
        # Exact tests of discrete statistics may reject less.
        assert rejected >= LEVEL - slack(draws) or name == "runs", name


@pytest.mark.parametrize("n_events", [1, 2, 5])
def test_the_trend_keeps_its_size_with_a_few_events(n_events) -> None:
    rng, draws = np.random.default_rng(13), 1000
    p_values = [log_linear(random_order(10**6, n_events, rng)).p_value for _ in range(draws)]

    assert np.mean(np.array(p_values) < LEVEL) == pytest.approx(LEVEL, abs=slack(draws))


def test_searches_pay_for_having_searched() -> None:
    rng, draws = np.random.default_rng(14), 60
    found = [random_order(5000, 60, rng) for _ in range(draws)]
    change = np.array([change_point(events, rng).p_value for events in found])
    recent = np.array([recency(events, 50, rng).p_value for events in found])

    for p_values in (change, recent):
        assert np.mean(p_values <= LEVEL) <= LEVEL + slack(draws)
        assert p_values.mean() == pytest.approx(0.5, abs=0.12)


def test_without_the_finite_population_correction_the_test_would_lose_its_size() -> None:
    rng, draws = np.random.default_rng(8), 400
    rejected = 0
    for _ in range(draws):
        fitted = log_linear(random_order(5000, 3000, rng))
        rejected += abs(fitted.theta) / fitted.standard_error > 1.96

    assert rejected / draws < LEVEL - slack(draws)


@pytest.mark.parametrize(("p", "ratio"), [(0.01, 1.5), (0.1, 0.7), (0.3, 1.3)])
def test_intervals_of_the_ratio_cover_a_true_drift(p, ratio) -> None:
    rng, draws, n = np.random.default_rng(9), 300, 20_000
    missed = 0
    for _ in range(draws):
        low, high = log_linear(log_linear_drift(n, p * n, ratio, rng)).interval(0.95)
        missed += not low <= ratio <= high

    assert missed / draws == pytest.approx(LEVEL, abs=slack(draws))


def test_equivalence_is_claimed_wrongly_at_most_once_in_twenty() -> None:
    rng, draws, margin = np.random.default_rng(10), 300, 1.2
    claimed = sum(
        log_linear(log_linear_drift(50_000, 3000, margin, rng)).equivalence(margin).p_value < LEVEL
        for _ in range(draws)
    )

    assert claimed / draws == pytest.approx(LEVEL, abs=slack(draws))


def test_shocks_to_whole_steps_widen_the_interval_as_much_as_they_must() -> None:
    rng, draws, step, steps = np.random.default_rng(11), 200, 256, 120
    rejected, naive = 0, 0
    for _ in range(draws):
        rate = np.repeat(0.1 * rng.gamma(8, 1 / 8, steps), step)
        positions = np.flatnonzero(rng.random(len(rate)) < rate)
        events = EventSequence.from_positions(positions, n=step * steps)
        rejected += log_linear(events, step=step).p_value < LEVEL
        naive += log_linear(events).p_value < LEVEL

    assert rejected / draws < LEVEL + slack(draws)
    assert naive / draws > 3 * LEVEL


def shocked_steps(persistence: float, cv: float, rng: np.random.Generator) -> EventSequence:
    """Draw events of 400 steps of 64 without a drift, with shocks that last for several steps."""
    steps, size = 400, 64
    shock = rng.standard_normal(steps + 100)
    for t in range(1, len(shock)):
        shock[t] += persistence * shock[t - 1]
    shock = cv * shock[100:] * math.sqrt(1 - persistence**2)
    rate = np.repeat(0.2 * np.exp(shock - cv**2 / 2), size)
    return EventSequence.from_positions(
        np.flatnonzero(rng.random(len(rate)) < rate), n=steps * size
    )


@pytest.mark.parametrize(("persistence", "cv"), [(0.0, 0.0), (0.0, 0.25), (0.8, 0.25), (0.9, 0.15)])
def test_shocks_that_last_widen_the_interval_as_much_as_they_must(persistence, cv) -> None:
    rng, draws, missed, naive = np.random.default_rng(16), 200, 0, 0
    for _ in range(draws):
        fitted = log_linear(shocked_steps(persistence, cv, rng), step=64)
        low, high = fitted.interval(0.95)
        missed += not low <= 1 <= high
        z = fitted.theta / fitted.standard_error / math.sqrt(0.8 * fitted.overdispersion)
        naive += abs(z) > 1.96

    assert missed / draws <= LEVEL + slack(draws)
    # The variance of single steps does not see how long shocks last.
    assert (naive / draws > 3 * LEVEL) == (persistence > 0)


def test_a_drift_of_one_percent_is_found_by_the_trend_and_not_by_the_dispersion() -> None:
    rng = np.random.default_rng(12)
    fit = fit_poisson(log_linear_drift(146_432_000, 1_870_000, 1.01, rng))

    assert fit.trend.p_value < 0.01
    assert fit.dispersion.binomial.p_over > LEVEL
    # Against the Poisson law the counts even look too even.
    assert fit.dispersion.poisson.p_under < 1e-3
    assert fit.equivalence.equivalent
    assert fit.verdict.startswith("A drift too small to matter")
