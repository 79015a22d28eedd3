"""Estimators of emergence: against independent methods, and calibrated on simulated training."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtrace.emergence.hazard import closed_form, constant_hazard, learning_rate, regress
from memtrace.emergence.intervals import emergence_interval
from memtrace.emergence.panel import two_state_panel
from memtrace.emergence.parametric import fit_parametric
from memtrace.emergence.product_limit import product_limit
from memtrace.emergence.turnbull import share_band, turnbull
from memtrace.errors import FitError

N = 160
CHECKPOINTS = np.array([0, 10, 20, 50, 100, 200, 300, 400, 500, 600, 800, 1000.0])


def training(rng: np.random.Generator, n: int, shape: float = 1.0, emerging: float = 0.4):
    """Simulate exposures all along training and Weibull times, of which some never come."""
    exposure = rng.integers(0, 10, n) * 100.0 + 5
    wait = 250 * rng.weibull(shape, n)
    time = np.where(rng.random(n) < emerging, exposure + wait, np.inf)
    place = np.searchsorted(CHECKPOINTS, time)
    first = np.append(CHECKPOINTS, np.nan)[place]
    left, right = emergence_interval(exposure, first, CHECKPOINTS)
    kept = exposure < CHECKPOINTS[-1]
    return exposure[kept], left[kept], right[kept]


def grouped(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, counts = np.unique(np.column_stack((left, right)), axis=0, return_counts=True)
    return rows[:, 0], rows[:, 1], counts


def plain_em(left, right, rounds=30_000):
    """Turnbull's own algorithm on a dense matrix, over every elementary interval."""
    ends = np.unique(np.concatenate((left, right)))
    cells = list(pairwise(ends))
    inside = np.array([[low <= q and p <= high for q, p in cells]
                       for low, high in zip(left, right, strict=True)], float)  # fmt: skip
    mass = np.full(len(cells), 1 / len(cells))
    for _ in range(rounds):
        mass = mass * (inside / (inside @ mass)[:, None]).mean(axis=0)
    return float(np.log(inside @ mass).sum()), ends, np.append(0, np.cumsum(mass))


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), min_size=1, max_size=12))
def test_turnbull_reaches_the_likelihood_of_plain_em(pairs) -> None:
    left = np.array([low for low, _ in pairs], float)
    right = np.array([low + width if width < 9 else np.inf for low, width in pairs])
    found = turnbull(left, right)
    best, ends, share = plain_em(left, right, 1500)

    assert found.kkt <= 1 + 1e-9
    # By concavity the conditions bound what is left to gain.
    assert found.log_likelihood >= best - len(left) * 1e-9
    assert found.mass.sum() == pytest.approx(1, abs=1e-5)
    low, high = found.share_by(ends)
    if found.shared_grid:  # elsewhere plain EM is far from its limit
        assert (share >= low - 1e-3).all()
        assert (share <= high + 1e-3).all()


@pytest.mark.parametrize("late", [False, True])
def test_exact_times_give_the_product_limit(late) -> None:
    rng = np.random.default_rng(3)
    entry = rng.integers(0, 5 if late else 1, 60) * 1.0
    time = entry + rng.integers(1, 12, 60)
    event = rng.random(60) < 0.7
    event[time.argmax()] = True
    found = turnbull(time, np.where(event, time, np.inf), entry=entry)
    expected = product_limit(time, event, entry=entry)

    least, _ = found.share_by(expected.time)
    assert least == pytest.approx(1 - expected.survival, abs=1e-5)


def test_delayed_entry_is_at_a_maximum() -> None:
    """No mass can be moved to gain likelihood, by the dense likelihood of Turnbull (1976)."""
    rng = np.random.default_rng(8)
    exposure, left, right = training(rng, 80)
    found = turnbull(left, right, entry=exposure)

    def value(mass):
        cumulative = np.append(0, np.cumsum(mass))

        def below(x):
            return cumulative[np.searchsorted(found.right, x, side="right")]

        inside = np.where(np.isinf(right), 1, below(right)) - below(left)
        return float((np.log(inside) - np.log(1 - below(exposure))).sum())

    assert value(found.mass) == pytest.approx(found.log_likelihood, rel=1e-6)
    for j in range(len(found.mass)):
        moved = 0.999 * found.mass + 0.001 * (np.arange(len(found.mass)) == j)
        assert value(moved) <= value(found.mass) + 1e-7


def test_no_interval_is_left_that_the_maximum_gives_no_mass() -> None:
    """A mass that vanishes decays geometrically under EM, at a rate as near to 1 as may be."""
    rng = np.random.default_rng(0)
    time = rng.weibull(1.3, 400)
    visits = rng.uniform(0, 0.6, (400, 6)).cumsum(1)
    left = np.where(visits < time[:, None], visits, 0).max(1)
    right = np.where(visits >= time[:, None], visits, np.inf).min(1)
    found = turnbull(left, right)

    inside = (left[:, None] <= found.left) & (found.right <= right[:, None])
    value = float(np.log(inside @ found.mass).sum())
    assert value == pytest.approx(found.log_likelihood, abs=1e-9)
    # Each has mass, and its derivative is exactly that of the constraint.
    gain = (inside / (inside @ found.mass)[:, None]).mean(axis=0)
    assert gain == pytest.approx(np.ones(len(gain)), abs=1e-9)
    assert found.kkt <= 1 + 1e-9
    assert found.mass.min() > 1e-3


def test_weights_are_repeated_observations() -> None:
    rng = np.random.default_rng(4)
    left, right = rng.integers(0, 6, 12) * 1.0, np.full(12, np.inf)
    right[:8] = left[:8] + rng.integers(1, 4, 8)
    times = rng.integers(1, 5, 12)
    one = turnbull(left, right, weights=times)
    other = turnbull(np.repeat(left, times), np.repeat(right, times))

    assert one.mass == pytest.approx(other.mass, abs=1e-6)
    assert one.log_likelihood == pytest.approx(other.log_likelihood)


def test_quantiles_are_intervals() -> None:
    found = turnbull([0, 1, 1, 2, 3], [1, 2, 2, 3, math.inf])

    assert found.quantile(0.5) == (1, 2)
    assert found.quantile(0.2) == (0, 1)
    assert found.quantile(0.9) == (math.inf, math.inf)
    assert [float(end) for end in found.share_by(1.5)] == pytest.approx([0.2, 0.6])


@pytest.mark.parametrize(
    ("left", "right", "entry"), [([2], [1], [0]), ([1], [2], [1.5]), ([], [], [])]
)
def test_intervals_that_make_no_sense_are_refused(left, right, entry) -> None:
    with pytest.raises(FitError, match="must ascend"):
        turnbull(left, right, entry=entry)


def test_naive_means_are_wrong_where_the_estimators_are_right() -> None:
    """Of those seen late few have emerged yet, and those that did, did so early."""
    rng = np.random.default_rng(0)
    exposure, left, right = training(rng, 40_000)
    emerged = np.isfinite(right)
    naive_share = emerged.mean()
    naive_wait = ((left + right) / 2 - exposure)[emerged].mean()
    low, high, weights = grouped(left - exposure, right - exposure)
    found = turnbull(low, high, weights=weights)
    fitted = fit_parametric(low, high, weights=weights, distribution="exponential", never=True)

    assert naive_share < 0.35  # of 0.4
    assert naive_wait < 190  # of 250
    truth = 0.4 * -np.expm1(-np.array([100, 250, 500, 800]) / 250)
    least, most = found.share_by([100, 250, 500, 800])
    assert ((least - 0.015 < truth) & (truth < most + 0.015)).all()
    assert math.exp(fitted.location) == pytest.approx(250, rel=0.05)
    assert fitted.emerging == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("shape", [1.0, 1.8])
def test_distributions_recover_shape_and_both_atoms(shape) -> None:
    """95% intervals hold the truth in about 95% of simulated trainings."""
    rng = np.random.default_rng(int(10 * shape))
    truth = {"location": math.log(250), "emerging": 0.4, "before": 0.05}
    if shape != 1:
        truth["scale"] = 1 / shape
    inside = dict.fromkeys(truth, 0)
    runs = 50
    for _ in range(runs):
        exposure, left, right = training(rng, 4000, shape)
        low, high = left - exposure, right - exposure
        generic = rng.random(len(low)) < 0.05  # known to be extractable before
        low, high = np.where(generic, -np.inf, low), np.where(generic, 0.0, high)
        kind = "exponential" if shape == 1 else "weibull"
        one, two, weights = grouped(low, high)
        fitted = fit_parametric(
            one, two, weights=weights, distribution=kind, never=True, before=True
        )
        for name, value in truth.items():
            bottom, top = fitted.intervals[name]
            inside[name] += bottom <= value <= top
    assert min(inside.values()) >= 0.86 * runs  # below it with probability 0.001 at 95%


def test_unseen_before_exposure_is_no_bias_where_its_share_is_fitted() -> None:
    """Sequences not evaluated before are told from memories by those that were."""
    rng = np.random.default_rng(5)
    exposure, left, right = training(rng, 40_000)
    low, high = left - exposure, right - exposure
    generic, evaluated = rng.random(len(low)) < 0.05, rng.random(len(low)) < 0.5
    first = np.append(CHECKPOINTS, np.nan)[np.searchsorted(CHECKPOINTS, exposure, side="right")]
    high = np.where(generic, np.where(evaluated, 0.0, first - exposure), high)
    low = np.where(generic | (~evaluated & (left == exposure) & np.isfinite(right)), -np.inf, low)
    one, two, weights = grouped(low, high)
    fitted = fit_parametric(
        one, two, weights=weights, distribution="exponential", never=True, before=True
    )

    assert fitted.before == pytest.approx(0.05, abs=0.004)
    assert fitted.emerging == pytest.approx(0.4, abs=0.02)


def test_a_distribution_without_an_end_says_that_it_cannot_tell() -> None:
    fitted = fit_parametric([0, 10, 20], [10, 20, 30], distribution="weibull", never=True)

    assert fitted.emerging == 1
    assert fitted.reason
    with pytest.raises(FitError, match="nothing emerged"):
        fit_parametric([0.0, 5.0], [np.inf, np.inf], distribution="weibull")
    with pytest.raises(FitError, match="no distribution 'gamma'"):
        fit_parametric([0.0], [1.0], distribution="gamma")


@pytest.mark.parametrize("shared", [True, False])
def test_bands_hold_the_share_as_often_as_they_say(shared) -> None:
    rng = np.random.default_rng(6 + shared)
    at, truth, inside, runs = 150.0, 0.5 * -math.expm1(-150 / 250), 0, 40
    for _ in range(runs):
        time = np.where(rng.random(N) < 0.5, 250 * rng.exponential(size=N), np.inf)
        checkpoints = np.tile(np.arange(0, 451, 50.0), (N, 1))
        if not shared:  # everyone is evaluated on days of their own
            checkpoints[:, 1:] += rng.integers(-20, 20, (N, checkpoints.shape[1] - 1))
        place = (checkpoints < time[:, None]).sum(axis=1)
        left = np.take_along_axis(checkpoints, place[:, None] - 1, 1)[:, 0]
        right = np.column_stack((checkpoints, np.full(N, np.inf)))[np.arange(N), place]
        found = turnbull(left, right)
        given = (left, right, np.ones(N), np.full(N, -np.inf))
        low, high = share_band(found, given, 0, draws=30)
        assert found.shared_grid == shared
        j = np.searchsorted(found.right, at, side="right") - 1
        inside += low[j] <= truth <= high[j] if shared else low[j] - 0.02 <= truth <= high[j] + 0.02
    assert inside >= 0.86 * runs


@given(
    events=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    length=st.floats(0.1, 1000),
)
def test_one_hazard_of_equal_lengths_is_the_closed_form(events, length) -> None:
    d = np.array(events)
    model = constant_hazard(d, np.full(len(d), 50), np.full(len(d), length))
    pooled = closed_form(d.sum(keepdims=True), np.array([50 * len(d)]), np.array([length]))

    assert math.exp(model.coefficients["log_hazard"]) == pytest.approx(pooled[0], rel=1e-6)


def test_hazard_regression_covers_what_moves_it() -> None:
    """Partial intervals, unequal lengths: the offset makes neither look like a hazard."""
    rng = np.random.default_rng(7)
    length = np.tile([3.0, 10, 50, 100], 10)
    x = np.repeat(np.linspace(0, 1, 10), 4)
    at_risk = rng.integers(500, 2000, 40)
    inside = 0
    for _ in range(200):
        chance = -np.expm1(-0.0004 * np.exp(1.2 * x) * length)
        found = regress(rng.binomial(at_risk, chance), at_risk, length, {"x": x})
        low, high = found.ci95("x")
        inside += low <= 1.2 <= high
    assert inside >= 180
    nothing = regress(np.zeros(40, np.int64), at_risk, length, {"x": x})
    assert nothing.reason == "nothing emerged"
    assert math.isnan(nothing.coefficients["x"])


def test_panel_recovers_rates_from_unequal_distances() -> None:
    rng = np.random.default_rng(2)
    gaps, q01, q10, n = np.array([1.0, 4, 64, 200]), 0.002, 0.006, 2000
    covered = np.zeros(2)
    for _ in range(60):
        state, counts = rng.random(n) < 0.3, []
        for gap in gaps:
            change = -math.expm1(-(q01 + q10) * gap) / (q01 + q10)
            chance = np.where(state, 1 - q10 * change, q01 * change)
            now = rng.random(n) < chance
            counts.append(np.histogram2d(state, now, 2, [[0, 1], [0, 1]])[0])
            state = now
        found = two_state_panel(counts, gaps)
        for i, (value, (low, high)) in enumerate(
            ((q01, found.learning_ci95), (q10, found.forgetting_ci95))
        ):
            covered[i] += low <= value <= high
    assert (covered >= 52).all()
    assert found.embeddable
    # Taking all distances as equal would be wrong by far.
    pooled = two_state_panel([np.sum(counts, axis=0)], [gaps.mean()])
    assert pooled.forgetting < 0.8 * q10


def test_panels_at_the_edge_are_defined_or_say_why() -> None:
    kept = two_state_panel([[[90, 10], [0, 50]]], [10.0])
    assert kept.forgetting == 0
    assert kept.forgetting_ci95[0] == 0 < kept.forgetting_ci95[1]
    assert kept.mean_retention == math.inf
    assert two_state_panel([[[10, 90], [90, 10]]], [1.0]).embeddable is False
    empty = two_state_panel([[[10, 0], [0, 0]]], [1.0])
    assert math.isnan(empty.learning)
    assert "no text was memorized" in empty.reason
    with pytest.raises(FitError, match="positive distances"):
        two_state_panel([[[1, 1], [1, 1]]], [0.0])


def test_learning_rate_is_that_of_the_published_schedule() -> None:
    rate = learning_rate(np.array([0.005, 0.01, 0.505, 1.0]))
    assert rate == pytest.approx([0.5, 1, 0.55, 0.1])
