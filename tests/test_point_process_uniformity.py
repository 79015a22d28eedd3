import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from memtrace.point_process import EventSequence
from memtrace.point_process.diagnostics.uniformity import uniformity
from memtrace.point_process.simulate import random_order


def test_exact_p_values_are_the_shares_of_all_orders() -> None:
    n, k = 12, 4
    orders = [uniformity(EventSequence.from_positions(c, n=n)) for c in combinations(range(n), k)]
    distances = np.array([order.ks for order in orders])
    z = np.array([order.laplace_z for order in orders])
    for order in orders[::37]:
        assert order.p_value == pytest.approx((distances >= order.ks - 1e-12).mean())
        tail = (z >= abs(order.laplace_z) - 1e-12).mean()
        assert order.laplace_p_value == pytest.approx(min(1, 2 * tail))
    assert z.mean() == pytest.approx(0, abs=1e-12)
    assert z.var() == pytest.approx(1)


def test_quadratic_p_values_are_the_shares_of_all_orders() -> None:
    """W2 as the statistic of two samples, of which SciPy enumerates all orders; A2 directly."""
    n, k = 12, 5
    orders = list(combinations(range(n), k))
    found = [uniformity(EventSequence.from_positions(c, n=n)) for c in orders]
    order = np.arange(k)
    u = (np.array(orders) + 0.5) / n
    product = u * (1 - u[:, ::-1])
    a2 = -k - ((2 * order + 1) / k * np.log(product)).sum(axis=1)
    for events, one, value in list(zip(orders, found, a2, strict=True))[::53]:
        others = np.setdiff1d(np.arange(n), events)
        exact = stats.cramervonmises_2samp(events, others, method="exact").pvalue
        assert one.cramer_von_mises_p_value == pytest.approx(exact)
        assert one.anderson_darling == pytest.approx(value)
        assert one.anderson_darling_p_value == pytest.approx((a2 >= value - 1e-9).mean())


@pytest.mark.parametrize(("n", "k"), [(1000, 1), (400, 3), (300, 40), (300, 150), (300, 290)])
def test_quadratic_p_values_are_uniform_in_random_order(n, k) -> None:
    """The limits alone reject 3 to 8% with few events or few others."""
    rng, draws = np.random.default_rng(4), 1000
    orders = np.sort(rng.random((draws, n)).argpartition(k - 1, axis=1)[:, :k], axis=1)
    found = [uniformity(EventSequence.from_positions(one, n=n)) for one in orders]
    names = "anderson_darling_p_value", "cramer_von_mises_p_value"
    for p_values in ([getattr(one, name) for one in found] for name in names):
        for level in (0.02, 0.05, 0.5):
            slack = 3 * math.sqrt(level * (1 - level) / draws)
            few = k == 1 and level < 0.05  # one event has n / 2 values only
            assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=slack + few / n)


@pytest.mark.parametrize(("n", "k"), [(9, 4), (10, 5), (13, 3)])
def test_exact_p_value_of_the_most_even_order_is_one(n, k) -> None:
    orders = [uniformity(EventSequence.from_positions(c, n=n)) for c in combinations(range(n), k)]
    smallest = min(order.ks for order in orders)

    for order in orders:
        share = np.mean([other.ks >= order.ks - 1e-12 for other in orders])
        assert order.p_value == pytest.approx(share)
        assert (order.p_value == pytest.approx(1)) == (order.ks < smallest + 1e-12)


def test_distance_agrees_with_the_two_sample_statistic() -> None:
    events = random_order(5000, 700, np.random.default_rng(0))
    others = np.setdiff1d(np.arange(5000), events.positions)
    found = uniformity(events)

    between = stats.ks_2samp(events.positions, others, method="asymp")
    assert found.ks == pytest.approx(between.statistic * (1 - events.fraction))
    assert found.p_value == pytest.approx(between.pvalue, rel=1e-6)
    ranks = stats.mannwhitneyu(events.positions, others, use_continuity=False)
    assert found.laplace_p_value == pytest.approx(ranks.pvalue, rel=1e-9)


def test_what_was_not_scanned_does_not_count() -> None:
    rng = np.random.default_rng(1)
    compact = random_order(3000, 200, rng)
    observed = np.array([[100, 1100], [5000, 7000]])
    stretched = np.where(
        compact.positions < 1000, compact.positions + 100, compact.positions + 4000
    )
    events = EventSequence.from_positions(stretched, n=9000, observed=observed)

    assert uniformity(events) == uniformity(compact)


def test_mirrored_axis_turns_the_sign_of_laplace_only() -> None:
    events = random_order(5000, 60, np.random.default_rng(2))
    mirrored = EventSequence.from_positions(events.n - 1 - events.positions, n=events.n)
    one, other = uniformity(events), uniformity(mirrored)

    assert one.laplace_z == pytest.approx(-other.laplace_z)
    assert one.ks == pytest.approx(other.ks)


def test_upper_bound_holds_for_an_uneven_process() -> None:
    # Rate 0.8 in the first half of the axis, 1.2 in the second: the distance is 0.1.
    rng = np.random.default_rng(3)
    u = rng.random((400, 500))
    first = rng.random((400, 500)) < 0.4
    positions = np.floor(np.where(first, u / 2, 0.5 + u / 2) * 2**40).astype(np.int64)
    bounds = [uniformity(EventSequence.from_positions(p, n=2**40)).ks_upper95 for p in positions]

    assert np.mean(np.array(bounds) >= 0.1) >= 0.95


@pytest.mark.parametrize(
    ("positions", "reason"), [([], "no events"), (range(10), "every observed sequence is an event")]
)
def test_undefined_cases_are_nan_with_a_reason(positions, reason) -> None:
    found = uniformity(EventSequence.from_positions(np.array(positions, dtype=np.int64), n=10))

    assert found.reason == reason
    assert math.isnan(found.ks)
    assert math.isnan(found.laplace_z)
    assert math.isnan(found.p_value)
