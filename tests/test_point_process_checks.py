"""Dependence, gaps, residuals and second order: against other packages and against all orders."""

import math
from itertools import combinations, permutations, product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.diagnostic import acorr_ljungbox

from memtrace.point_process import EventSequence
from memtrace.point_process.contrasts import adjust_p_values, halves_and_ends
from memtrace.point_process.detectable import credibility, dispersion_power
from memtrace.point_process.diagnostics.gaps import geometric_gaps, lewis_robinson
from memtrace.point_process.diagnostics.mil_hdbk import mil_hdbk_p
from memtrace.point_process.diagnostics.overdispersion import overdispersion
from memtrace.point_process.diagnostics.quadratic import quadratic_sf
from memtrace.point_process.diagnostics.residuals import count_residuals, rescale_gaps, rescaling
from memtrace.point_process.diagnostics.second_order import fano_curve, ripley_k
from memtrace.point_process.diagnostics.serial import ljung_box, runs
from memtrace.point_process.diagnostics.uniformity import kuiper_sf, neyman_components
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.models.trend import log_linear
from memtrace.point_process.shares import compare_shares
from memtrace.point_process.simulate import random_order


def test_ljung_box_agrees_with_statsmodels() -> None:
    counts = np.random.default_rng(0).poisson(5, 200)
    theirs = acorr_ljungbox(counts, lags=[10], boxpierce=True)
    found = ljung_box(counts)

    assert found.statistic == pytest.approx(theirs["lb_stat"].iloc[0])
    assert found.p_value == pytest.approx(theirs["lb_pvalue"].iloc[0])
    assert found.box_pierce == pytest.approx(theirs["bp_stat"].iloc[0])


def test_the_p_value_of_a_short_series_is_that_of_its_shuffles() -> None:
    counts = np.array([1, 1, 5, 4, 2, 7])
    found = ljung_box(counts, lags=2, rng=np.random.default_rng(1))
    every = [ljung_box(np.array(order), lags=2).statistic for order in permutations(counts)]
    exact = np.mean(np.array(every) >= found.statistic * (1 - 1e-12))

    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 499))
    assert ljung_box(counts, lags=2).p_value != pytest.approx(exact, abs=0.05)


def test_moments_of_runs_are_those_of_all_orders() -> None:
    orders = [runs(np.array(c), 9) for c in combinations(range(9), 3)]
    number = np.array([order.runs for order in orders])

    assert number.mean() == pytest.approx(orders[0].expected)
    assert number.var() == pytest.approx(orders[0].variance)
    for order in orders:
        assert sum(order.transitions) == 8
        # Blocks of events: those that follow no event.
        blocks = 3 - order.transitions[3]
        others = np.array([3 - other.transitions[3] for other in orders])
        tail = min((others <= blocks).mean(), (others >= blocks).mean())
        assert order.p_value == pytest.approx(min(1, 2 * tail))


def test_moments_of_pairs_are_those_of_all_orders() -> None:
    orders = [ripley_k(np.array(c), 10, [3])[0] for c in combinations(range(10), 4)]

    assert np.mean([order.k for order in orders]) == pytest.approx(orders[0].expected)


def test_pairs_of_many_events_are_those_of_all_differences() -> None:
    n, total, radii = 70_000, 1_000_000, [8, 40]
    positions = np.sort(np.random.default_rng(0).choice(total, n, replace=False))
    apart = np.concatenate([positions[lag:] - positions[:-lag] for lag in range(1, 41)])

    for radius, found in zip(radii, ripley_k(positions, total, radii), strict=True):
        near = apart[apart <= radius]
        assert (found.radius, found.pairs) == (radius, 2 * len(near))
        assert found.uncorrected == pytest.approx(total * 2 * len(near) / (n * (n - 1)), rel=1e-12)
        ends = (total / (total - near)).mean()
        assert found.k == pytest.approx(found.uncorrected * ends, rel=1e-12)


def test_pairs_that_are_too_many_are_not_counted() -> None:
    assert ripley_k(np.arange(100_000), 100_000, [50_000]) == ()
    assert [one.radius for one in ripley_k(np.arange(100_000), 100_000, [50_000, 2])] == [2]
    assert ripley_k(np.array([3]), 10, [2]) == ()


def test_clusters_raise_pairs_runs_and_gaps() -> None:
    rng = np.random.default_rng(1)
    parents = rng.choice(100_000, 400, replace=False)
    clustered = np.unique((parents[:, None] + np.array([0, 1, 3])).ravel() % 100_000)

    assert ripley_k(clustered, 100_000, [4])[0].ratio > 5
    assert runs(clustered, 100_000).p_value < 1e-10
    assert geometric_gaps(np.diff(clustered)).p_value < 1e-10


def test_limiting_tails_are_those_of_large_samples() -> None:
    rng = np.random.default_rng(2)
    sample = [stats.cramervonmises(rng.random(2000), "uniform") for _ in range(20)]
    for one in sample:
        assert quadratic_sf(one.statistic, "cramer-von mises") == pytest.approx(
            one.pvalue, abs=0.002
        )
    # Published critical values of Anderson and Darling (1954).
    for value, level in ((1.933, 0.10), (2.492, 0.05), (3.857, 0.01)):
        assert quadratic_sf(value, "anderson-darling") == pytest.approx(level, rel=0.03)


def test_tails_fall_smoothly_where_the_inversion_gives_way() -> None:
    for power, end in (("cramer-von mises", 3.0), ("anderson-darling", 15.0)):
        tail = np.array([quadratic_sf(x, power) for x in np.linspace(0.4 * end, end, 60)])
        step = np.diff(np.log(tail))
        assert (step < 0).all()
        assert np.abs(np.diff(step)).max() < 0.12


def test_kuiper_tail_at_its_published_critical_value() -> None:
    assert kuiper_sf(1.747) == pytest.approx(0.05, abs=2e-4)
    assert kuiper_sf(0.1) == pytest.approx(1)


def test_neyman_components_recover_a_linear_density() -> None:
    b = 0.3
    u = (np.arange(200_000) + 0.5) / 200_000
    inverse = (np.sqrt((1 - b) ** 2 + 4 * b * u) - (1 - b)) / (2 * b)
    assert neyman_components(inverse) == pytest.approx([b / math.sqrt(3), 0, 0, 0], abs=1e-6)


def test_fishers_p_value_is_the_share_of_all_orders() -> None:
    n, k, cut = 10, 4, 3
    early = np.array([sum(i < cut for i in c) for c in combinations(range(n), k)])
    for x in range(cut + 1):
        found = compare_shares((x, k - x), (cut, n - cut))
        tail = min((early <= x).mean(), (early >= x).mean())
        assert found.p_value == pytest.approx(min(1, 2 * tail))


def test_ratio_of_shares_inverts_with_the_groups() -> None:
    there, back = compare_shares((40, 9), (100, 80)), compare_shares((9, 40), (80, 100))

    assert there.ratio_ci95 == pytest.approx([1 / end for end in back.ratio_ci95[::-1]])
    nothing = compare_shares((3, 0), (50, 50))
    assert nothing.ratio == nothing.ratio_ci95[1] == math.inf
    assert nothing.ratio_ci95[0] > 0


def test_ratios_of_few_events_are_covered() -> None:
    """Every pair of counts with its chance: a step of 10 sequences against 990 others."""
    size, share = (10, 990), 0.01
    missed = 0.0
    for x, y in product(range(4), range(28)):
        low, high = compare_shares((x, y), size).ratio_ci95
        chance = stats.binom.pmf([x, y], size, share).prod()
        missed += chance * (not low <= 1 <= high and x + y > 0)
    assert missed <= 0.05
    # All of both groups: no certainty that they are equal.
    low, high = compare_shares((1, 1), (1, 1)).ratio_ci95
    assert low < 0.1
    assert high > 10


def test_halves_and_ends_see_a_drift() -> None:
    positions = np.flatnonzero(
        np.random.default_rng(3).random(50_000) < np.linspace(0.01, 0.05, 50_000)
    )
    found = halves_and_ends(EventSequence.from_positions(positions, n=50_000))

    assert all(one.ratio > 1.5 and one.p_value < 1e-6 for one in found.values())
    assert len(found) == 2


def test_undefined_p_values_are_left_out_of_the_adjustment() -> None:
    adjusted = adjust_p_values([0.01, math.nan, 0.04])

    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])
    assert math.isnan(adjust_p_values([math.nan])[0])


def test_credibility_index_is_where_the_test_has_half_its_power() -> None:
    theta, rng = 0.5, np.random.default_rng(4)
    n = round(credibility(theta, 0.1, 5.0).events_laplace)
    u = np.log1p(rng.random((600, n)) * math.expm1(theta)) / theta
    z = (u.mean(axis=1) - 0.5) * math.sqrt(12 * n)

    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.5, abs=0.07)
    assert credibility(0.0, -0.1, 5.0).events_laplace == math.inf
    assert dispersion_power(0.01, 1, 5.0).expected_poisson == 0.99


def test_scores_of_overdispersion_see_a_gamma_rate() -> None:
    rng = np.random.default_rng(5)
    even, uneven = rng.poisson(5, 500), rng.poisson(5 * rng.gamma(5, 1 / 5, 500))
    assert overdispersion(even, np.full(500, even.mean())).p_value > 0.01
    assert overdispersion(uneven, np.full(500, uneven.mean())).p_value < 1e-4
    assert overdispersion(np.full(5, 3), np.full(5, 3.0)).reason


def test_rescaled_gaps_are_exponential_in_discrete_time_where_the_naive_ones_are_not() -> None:
    rng = np.random.default_rng(6)
    p = 0.5 + 0.3 * np.sin(np.arange(20_000) / 500)
    events = np.flatnonzero(rng.random(len(p)) < p)
    q = -np.log1p(-p)
    before = np.cumsum(q) - q
    gaps = rescale_gaps(before[events], q[events], rng.random(len(events)))
    naive = np.diff(np.cumsum(p)[events])

    assert stats.kstest(gaps, "expon").pvalue > 0.01
    assert stats.kstest(naive, "expon").pvalue < 1e-10


def test_bounds_of_the_randomisation_hold_the_gaps() -> None:
    q, rng = np.full(5, 0.4), np.random.default_rng(7)
    before = np.cumsum(rng.random(5)) + 0.4 * np.arange(5)
    low, middle, high = (rescale_gaps(before, q, np.full(5, r)) for r in (0.0, 0.5, 1.0))
    assert (low < middle).all()
    assert (middle < high).all()


def test_residuals_of_the_right_model_are_without_pattern() -> None:
    rng = np.random.default_rng(8)
    events = random_order(200_000, 4000, rng)
    model = homogeneous(events.n_events, events.exposure)
    found = rescaling(events, model, rng)
    z = count_residuals(events, model, 500, rng.random(400))

    assert found.p_value > 0.01
    assert abs(found.autocorrelation) < 4 / math.sqrt(4000)
    assert found.gaps.mean() == pytest.approx(1, rel=0.02)
    assert stats.kstest(z, "norm").pvalue > 0.01


def test_fano_curve_stays_in_its_envelope_in_19_of_20_random_orders() -> None:
    rng, outside = np.random.default_rng(9), 0
    for _ in range(200):
        curve = fano_curve(random_order(64 * 300, 2000, rng), 64)
        outside += bool(((curve.fano < curve.low) | (curve.fano > curve.high)).any())

    # The envelope pays for each length as if they were independent, so it may keep more.
    assert outside <= 10 + 3 * math.sqrt(200 * 0.05 * 0.95)
    assert outside >= 1


def test_a_shock_to_whole_steps_shows_at_their_length_and_not_when_it_cancels() -> None:
    rng = np.random.default_rng(10)
    n = 1024 * 400
    rate = 0.02 * np.where(np.arange(n) // 1024 % 2, 0.7, 1.3)
    curve = fano_curve(
        EventSequence.from_positions(np.flatnonzero(rng.random(n) < rate), n=n), 1024
    )
    at = dict(zip(curve.length, curve.fano, strict=True))

    assert at[1024] > 2
    assert at[2048] < 1.3


def test_mil_hdbk_is_chi_squared_in_the_limit() -> None:
    events = random_order(2**40, 50, np.random.default_rng(11))
    value = -2 * np.log((events.ranks + 0.5) / events.exposure).sum()
    tail = min(stats.chi2.cdf(value, 100), stats.chi2.sf(value, 100))

    assert mil_hdbk_p(events.ranks, events.exposure) == pytest.approx(2 * tail)


def test_lewis_robinson_carries_the_finite_population_correction() -> None:
    events = random_order(50_000, 30_000, np.random.default_rng(12))
    u = (events.ranks + 0.5) / events.exposure
    trend = log_linear(events)

    assert lewis_robinson(u).statistic == pytest.approx(trend.signed_root(0.0), rel=0.03)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_events_leave_gaps_undefined_with_a_reason(n) -> None:
    events = EventSequence.from_positions(np.arange(n), n=50)
    assert geometric_gaps(np.diff(events.positions)).reason
    assert lewis_robinson((events.positions + 0.5) / 50).reason
    assert rescaling(events, homogeneous(n, 50), np.random.default_rng(0)).reason
