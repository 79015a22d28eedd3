import math
from itertools import combinations

import numpy as np
import pytest

from memtrace.point_process import EventSequence, Windows
from memtrace.point_process.diagnostics.dispersion import dispersion
from memtrace.point_process.diagnostics.window_counts import (
    expected_frequencies,
    global_envelope,
    qq_points,
    rootogram,
)
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


def test_simulated_tails_agree_with_enumeration_of_every_order() -> None:
    n, length, positions = 12, 3, [0, 1, 2, 7]
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
