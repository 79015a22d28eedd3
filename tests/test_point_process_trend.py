import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from memtrace.errors import FitError
from memtrace.point_process import EventSequence
from memtrace.point_process.models import trend
from memtrace.point_process.models.trend import exponential_moments, log_linear, observed_axis
from memtrace.point_process.simulate import log_linear_drift, random_order


@given(
    st.floats(-30, 30),
    st.lists(st.integers(0, 200), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_moments_agree_with_numerical_integration(theta, cuts) -> None:
    ranges = np.array(cuts[: len(cuts) // 2 * 2]).reshape(-1, 2)
    axis = observed_axis(EventSequence.from_positions([], n=200, observed=ranges))

    def integral(power: int, about: float) -> float:
        return sum(
            quad(lambda v: (v - about) ** power * math.exp(theta * v), a, b)[0]
            for a, b in ranges / 200 - 0.5
        )

    mass = integral(0, 0.0)
    mean = integral(1, 0.0) / mass
    log_integral, found_mean, variance = exponential_moments(theta, axis)
    assert log_integral == pytest.approx(math.log(mass), abs=1e-9)
    assert found_mean == pytest.approx(mean, abs=1e-9)
    assert variance == pytest.approx(integral(2, mean) / mass, rel=1e-6, abs=1e-12)


def test_mirrored_axis_inverts_the_ratio() -> None:
    events = log_linear_drift(20_000, 500, 2.0, np.random.default_rng(0))
    mirrored = EventSequence.from_positions(events.n - 1 - events.positions, n=events.n)
    one, other = log_linear(events), log_linear(mirrored)

    assert other.theta == pytest.approx(-one.theta)
    assert other.p_value == pytest.approx(one.p_value)
    low, high = one.interval(0.95)
    assert other.interval(0.95) == pytest.approx((1 / high, 1 / low))
    assert other.equivalence(1.5).p_value == pytest.approx(one.equivalence(1.5).p_value)


def test_missing_coverage_agrees_with_a_poisson_regression_on_what_was_seen() -> None:
    rng = np.random.default_rng(1)
    n, whole = 40_000, log_linear_drift(40_000, 3000, 3.0, rng)
    observed = np.array([[0, 3000], [9000, 9500], [20_000, 36_000]])
    inside = (whole.positions[:, None] >= observed[:, 0]) & (
        whole.positions[:, None] < observed[:, 1]
    )
    events = EventSequence.from_positions(
        whole.positions[inside.any(axis=1)], n=n, observed=observed
    )
    fitted = log_linear(events)

    windows = events.windows(10)
    design = sm.add_constant((windows.start + 5) / n)
    offset = np.log(windows.exposures)
    glm = sm.GLM(windows.counts, design, family=sm.families.Poisson(), offset=offset).fit()
    assert fitted.theta == pytest.approx(glm.params[1], abs=1e-4)
    assert fitted.standard_error == pytest.approx(glm.bse[1], rel=1e-3)
    # Zeros in place of the mask would have made a drift of another size.
    assert abs(fitted.theta - math.log(3)) < 3 * fitted.standard_error


def test_scattered_coverage_is_gathered_without_changing_the_fit(monkeypatch) -> None:
    rng = np.random.default_rng(2)
    seen = np.sort(rng.choice(100_000, 20_000, replace=False))
    chosen = seen[rng.random(len(seen)) < 0.05 * np.exp(1.5 * seen / 100_000)]
    events = EventSequence.from_positions(
        chosen, n=100_000, observed=np.column_stack((seen, seen + 1))
    )
    gathered = log_linear(events)
    assert len(gathered.axis[0]) <= trend.CELLS
    monkeypatch.setattr(trend, "CELLS", 10**6)
    each = log_linear(events)

    assert len(each.axis[0]) == len(events.observed)
    assert gathered.theta == pytest.approx(each.theta, abs=1e-6)
    assert gathered.standard_error == pytest.approx(each.standard_error, rel=1e-6)


def test_profile_and_wald_intervals_meet_when_events_are_many() -> None:
    fitted = log_linear(random_order(2_000_000, 200_000, np.random.default_rng(3)))

    width = 1.6448536269514722 * fitted.standard_error * math.sqrt(fitted.scale)
    wald = math.exp(fitted.theta - width), math.exp(fitted.theta + width)

    assert fitted.interval(0.9) == pytest.approx(wald, rel=1e-4)


def test_p_values_agree_with_the_intervals() -> None:
    rng = np.random.default_rng(4)
    for ratio in (1.0, 1.2, 1.35, 1.6):
        fitted = log_linear(log_linear_drift(10_000, 400, ratio, rng))
        low, high = fitted.interval(0.95)
        assert (fitted.p_value < 0.05) == (not low <= 1 <= high)
        low, high = fitted.interval(0.90)
        assert fitted.equivalence(1.3).equivalent == (1 / 1.3 < low and high < 1.3)


@pytest.mark.parametrize("margin", [1.0, 0.9, math.inf, math.nan])
def test_a_margin_that_is_no_ratio_above_one_is_refused(margin) -> None:
    with pytest.raises(FitError, match="must be a rate ratio above 1"):
        log_linear(EventSequence.from_positions([1, 5], n=10)).equivalence(margin)


@pytest.mark.parametrize("positions", [[999], [0], [997, 998, 999], [0, 999]])
def test_events_at_the_very_ends_still_have_a_finite_fit(positions) -> None:
    fitted = log_linear(EventSequence.from_positions(positions, n=1000))

    assert math.isfinite(fitted.theta)
    low, high = fitted.interval(0.95)
    assert 0 <= low <= fitted.rate_ratio <= high


def test_one_event_at_the_end_of_a_scattered_sample_has_a_fit() -> None:
    seen = np.arange(0, 300_000, 30)
    observed = np.column_stack((seen, seen + 1))
    for position in (seen[0], seen[-1]):
        fitted = log_linear(EventSequence.from_positions([position], n=300_000, observed=observed))
        assert math.isfinite(fitted.theta)


@pytest.mark.parametrize(
    ("positions", "observed", "reason"),
    [
        ([], None, "no events"),
        (range(10), None, "every observed sequence is an event"),
        ([], np.empty((0, 2)), "no exposed sequence was scanned"),
    ],
)
def test_undefined_cases_are_nan_with_a_reason(positions, observed, reason) -> None:
    events = EventSequence.from_positions(
        np.array(positions, dtype=np.int64), n=10, observed=observed
    )
    fitted = log_linear(events, step=2)

    assert fitted.reason == reason
    assert math.isnan(fitted.rate_ratio)
    assert math.isnan(fitted.p_value)
    assert all(map(math.isnan, fitted.interval(0.95)))
    assert math.isnan(fitted.detectable_ratio())
    assert fitted.equivalence(1.05).equivalent is None


def test_a_rate_above_one_event_a_sequence_cannot_be_simulated() -> None:
    with pytest.raises(FitError, match="above 1"):
        log_linear_drift(100, 80, 3.0, np.random.default_rng(0))
