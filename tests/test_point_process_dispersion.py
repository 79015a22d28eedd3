import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from memtrace.point_process import EventSequence, Windows
from memtrace.point_process.diagnostics.dispersion import dispersion, reference
from memtrace.point_process.diagnostics.second_order import fano_curve
from memtrace.point_process.diagnostics.window_counts import (
    expected_frequencies,
    global_envelope,
    qq_points,
    rootogram,
)
from memtrace.point_process.models.trend import log_linear
from memtrace.point_process.simulate import random_order, window_counts


def windows_of(counts, exposures) -> Windows:
    counts, exposures = np.asarray(counts, np.int64), np.asarray(exposures, np.int64)
    return Windows(np.cumsum(exposures) - exposures, counts, exposures)


def test_neither_index_nor_qq_nor_rootogram_sees_the_order_of_the_windows() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(6, 300)
    given, ordered = windows_of(counts, [512] * 300), windows_of(np.sort(counts), [512] * 300)

    assert dispersion(given) == dispersion(ordered)
    np.testing.assert_array_equal(qq_points(given.counts), qq_points(ordered.counts))
    seeds = (np.random.default_rng(1), np.random.default_rng(1))
    one, other = (rootogram(w, rng) for w, rng in zip((given, ordered), seeds, strict=True))
    np.testing.assert_array_equal(one.hanging, other.hanging)
    assert one.band95 == other.band95


def test_binomial_index_is_the_pearson_statistic_of_a_two_way_table() -> None:
    from scipy.stats import chi2_contingency

    rng = np.random.default_rng(1)
    exposures = np.array([512, 512, 512, 512, 100])
    counts = rng.binomial(exposures, 0.3)
    table = np.stack((counts, exposures - counts))
    pearson = chi2_contingency(table, correction=False)

    found = dispersion(windows_of(counts, exposures))
    assert found.binomial.value == pytest.approx(pearson.statistic / 4)
    assert found.binomial.p_over == pytest.approx(pearson.pvalue)
    assert found.poisson.value == pytest.approx(
        found.binomial.value * (1 - counts.sum() / exposures.sum())
    )


@pytest.mark.parametrize("length", [2, 3])  # more windows than events, and no more
def test_simulated_tails_agree_with_enumeration_of_every_order(length) -> None:
    n, positions = 12, [0, 1, 2, 7]
    orders = [EventSequence.from_positions(c, n=n) for c in combinations(range(n), 4)]
    indices = np.array([dispersion(o.windows(length)).binomial.value for o in orders])
    windows = EventSequence.from_positions(positions, n=n).windows(length)
    found = dispersion(windows, rng=np.random.default_rng(0))

    assert found.method == "simulation"
    value = dispersion(windows).binomial.value
    assert found.binomial.value == value
    assert found.binomial.p_over == pytest.approx((indices >= value - 1e-9).mean(), abs=0.02)
    assert found.binomial.p_under == pytest.approx((indices <= value + 1e-9).mean(), abs=0.02)


def test_rate_shocks_between_windows_are_measured() -> None:
    rng = np.random.default_rng(2)
    rate = 0.02 * np.where(np.arange(4000) % 2, 0.7, 1.3)
    found = dispersion(windows_of(rng.binomial(512, rate), [512] * 4000))

    assert found.binomial.p_over < 1e-10
    assert found.cv == pytest.approx(0.3, abs=0.03)
    assert found.cv < found.cv_upper95


def test_equal_counts_have_no_interval_and_no_bound() -> None:
    """The index is 0 for certain; that the rate never varies is not."""
    found = dispersion(windows_of([18, 18, 18], [512] * 3), rng=np.random.default_rng(0))

    assert found.binomial.value == pytest.approx(0, abs=1e-12)
    assert all(map(math.isnan, (*found.binomial.ci95, *found.poisson.ci95, found.cv_upper95)))
    assert found.binomial.p_under < 0.05
    assert found.varies_less
    even = dispersion(windows_of([18, 17, 19, 18] * 20, [512] * 80))
    assert even.binomial.ci95[1] < 1
    assert even.varies_less  # no bound of 0 on what the rate varies by


@pytest.mark.parametrize(
    ("counts", "exposures", "reason"),
    [
        ([], [], "no exposed sequence was scanned"),
        ([0, 0], [8, 8], "no events"),
        ([8, 8], [8, 8], "every observed sequence is an event"),
        ([3], [8], "too few windows"),
    ],
)
def test_undefined_cases_are_nan_with_a_reason(counts, exposures, reason) -> None:
    found = dispersion(windows_of(counts, exposures), rng=np.random.default_rng(0))

    assert found.reason == reason
    assert math.isnan(found.binomial.value)
    assert math.isnan(found.binomial.p_value)
    assert math.isnan(found.cv)


def test_expected_frequencies_are_the_mean_of_random_orders() -> None:
    rng = np.random.default_rng(3)
    windows = random_order(64 * 40 + 20, 200, rng).windows(64)
    edges = np.arange(0, 20)
    draws = 2000
    mean = np.zeros(len(edges) - 1)
    for _ in range(draws):
        mean += np.histogram(window_counts(windows.exposures, 200, rng), edges)[0] / draws

    np.testing.assert_allclose(expected_frequencies(windows, edges), mean, atol=0.35)
    assert expected_frequencies(windows, edges).sum() == pytest.approx(len(windows.counts))


def test_random_orders_leave_the_band_of_the_rootogram_about_once_in_twenty() -> None:
    rng = np.random.default_rng(4)
    outside = 0
    for _ in range(200):
        root = rootogram(random_order(6400, 400, rng).windows(64), rng)
        outside += bool((np.abs(root.hanging) > root.band95).any())

    assert 1 <= outside <= 10 + 3 * math.sqrt(200 * 0.05 * 0.95) + 2


def test_wide_ranges_of_counts_are_gathered_into_few_bars() -> None:
    rng = np.random.default_rng(5)
    windows = random_order(1_000_000, 300_000, rng).windows(10_000)
    root = rootogram(windows, rng)

    assert len(root.observed) <= 41
    assert root.observed.sum() == len(windows.counts)
    assert root.expected.sum() == pytest.approx(len(windows.counts), rel=0.01)


def test_random_orders_leave_the_envelope_of_the_qq_plot_about_once_in_twenty() -> None:
    rng, outside = np.random.default_rng(6), 0
    for _ in range(100):
        windows = random_order(6400, 400, rng).windows(64)
        fewest, most = global_envelope(windows, rng)
        found = np.bincount(windows.counts, minlength=len(fewest)).cumsum()[: len(fewest)]
        outside += bool(((found < fewest) | (found > most)).any())

    assert 1 <= outside <= 5 + 3 * math.sqrt(100 * 0.05 * 0.95) + 2


@pytest.mark.parametrize(
    ("sizes", "n_events"), [((64,), 60), ((1, 2, 3, 5, 40), 120), ((3,), 700), ((1, 2, 8), 900)]
)
def test_moments_of_the_statistic_are_those_of_random_orders(sizes, n_events) -> None:
    exposures = np.tile(np.array(sizes, np.int64), 1200 // sum(sizes) + 1)
    p = n_events / exposures.sum()
    drawn = window_counts(exposures, n_events, np.random.default_rng(7), 20_000)
    mean = exposures * p
    x2 = ((drawn - mean) ** 2 / (mean * (1 - p))).sum(axis=1)
    found = reference(mean, p)

    assert found.df == pytest.approx(x2.mean(), rel=0.01)
    assert found.variance == pytest.approx(x2.var(), rel=0.06)
    assert found.skewness == pytest.approx(stats.skew(x2), abs=0.12)


def test_equal_windows_with_many_events_are_chi_squared() -> None:
    assert reference(np.full(300, 40.0), 0.1).is_chi_squared
    assert not reference(np.full(300, 0.4), 0.01).is_chi_squared
    assert not reference(np.tile([0.05, 60.0], 150), 0.1).is_chi_squared


def thin_sample(n_events: int, rng: np.random.Generator) -> EventSequence:
    """Place events in random order on a scattered sample of one sequence in thirteen."""
    seen = np.sort(rng.choice(20_000, 1500, replace=False))
    positions = rng.choice(seen, n_events, replace=False)
    return EventSequence.from_positions(
        positions, n=20_000, observed=np.column_stack((seen, seen + 1))
    )


def test_windows_of_a_thin_sample_keep_the_size_of_every_dispersion() -> None:
    """Chi-squared rejects one in four: windows with one observed sequence have 66 times its X2."""
    rng, draws = np.random.default_rng(8), 200
    found = [thin_sample(15, rng) for _ in range(draws)]
    slack = 3 * math.sqrt(0.05 * 0.95 / draws)
    windows = [events.windows(64) for events in found]

    simulated = [dispersion(w, rng=rng).binomial.p_value < 0.05 for w in windows[:60]]
    about = [log_linear(events, step=64).about.binomial.p_value < 0.05 for events in found]
    by_chi_squared = [dispersion(w).binomial.p_value < 0.05 for w in windows]
    assert np.mean(simulated) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)
    assert np.mean(about) <= 0.05 + slack
    assert np.mean(by_chi_squared) > 0.15


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_random_orders_leave_the_band_of_the_fano_curve_at_most_once_in_twenty(share) -> None:
    """With gaps few windows are complete, and the events in them are not those of the rest."""
    rng, draws, outside = np.random.default_rng(9), 200, 0
    starts = np.arange(0, 20_000, 250)
    observed = np.column_stack((starts, starts + rng.integers(40, 250, len(starts))))
    seen = np.concatenate([np.arange(*one) for one in observed])
    for _ in range(draws):
        positions = rng.choice(seen, round(share * len(seen)), replace=False)
        curve = fano_curve(EventSequence.from_positions(positions, n=20_000, observed=observed), 64)
        outside += bool(((curve.fano < curve.low) | (curve.fano > curve.high)).any())

    assert outside / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
