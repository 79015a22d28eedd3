import math

import numpy as np
import pytest
from scipy import stats

from memtrace.point_process.models.constant import (
    binomial_interval,
    garwood_interval,
    homogeneous,
)
from memtrace.point_process.shares import compare_shares


@pytest.mark.parametrize("count", [0, 1, 7, 50])
def test_interval_ends_are_the_rates_at_which_a_tail_is_two_and_a_half_percent(count) -> None:
    exposure = 50
    low, high = garwood_interval(count, exposure)
    assert stats.poisson.cdf(count, high * exposure) == pytest.approx(0.025)
    assert low == 0 or stats.poisson.sf(count - 1, low * exposure) == pytest.approx(0.025)

    low, high = binomial_interval(count, exposure)
    assert high == 1 or stats.binom.cdf(count, exposure, high) == pytest.approx(0.025)
    assert low == 0 or stats.binom.sf(count - 1, exposure, low) == pytest.approx(0.025)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.6])
def test_exact_intervals_cover_at_least_95_percent(p) -> None:
    exposure, rng = 2000, np.random.default_rng(0)
    counts = rng.binomial(exposure, p, 4000)
    slack = 3 * math.sqrt(0.05 * 0.95 / len(counts))

    low, high = binomial_interval(counts, exposure)
    covered = ((low <= p) & (p <= high)).mean()
    assert 0.95 - slack <= covered <= 0.97 + slack
    # Garwood's interval ignores that a sequence is memorized at most once, and is too wide.
    low, high = garwood_interval(counts, exposure)
    assert ((low <= p) & (p <= high)).mean() >= covered


def test_swapping_the_groups_inverts_the_comparison() -> None:
    there = compare_shares((40, 9), (1000, 800))
    back = compare_shares((9, 40), (800, 1000))

    assert there.difference == pytest.approx(-back.difference)
    assert there.difference_ci95 == pytest.approx([-end for end in back.difference_ci95[::-1]])
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.ratio_ci95 == pytest.approx([1 / end for end in back.ratio_ci95[::-1]])
    assert there.p_value == pytest.approx(back.p_value)


def test_a_control_group_without_events_gives_a_difference_but_no_finite_ratio() -> None:
    compared = compare_shares((40, 0), (1000, 1000))
    assert compared.ratio == math.inf
    assert compared.ratio_ci95[0] > 1
    assert compared.difference_ci95[0] > 0

    nothing = compare_shares((0, 0), (1000, 1000))
    assert math.isnan(nothing.ratio)
    assert math.isnan(nothing.ratio_ci95[0])
    assert nothing.difference_ci95[0] < 0 < nothing.difference_ci95[1]
    assert nothing.p_value == 1


def test_log_likelihood_is_largest_at_the_fitted_rate() -> None:
    model = homogeneous(30, 400)
    rate = model.parameters["rate_per_sequence"]

    def log_likelihood(r: float) -> float:
        return 30 * math.log(r) - 400 * r

    assert model.log_likelihood == pytest.approx(log_likelihood(rate))
    assert model.log_likelihood > max(log_likelihood(0.99 * rate), log_likelihood(1.01 * rate))
    assert model.bic - model.aic == pytest.approx(math.log(30) - 2)


def test_no_events_and_no_exposure_leave_values_undefined_with_a_reason() -> None:
    assert homogeneous(0, 10).log_likelihood == 0
    assert math.isnan(homogeneous(0, 10).bic)
    assert homogeneous(0, 10).reason == "no events"
    assert math.isnan(homogeneous(0, 0).log_likelihood)
    assert homogeneous(0, 0).reason == "no exposed sequence was scanned"
