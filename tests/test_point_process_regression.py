"""Regressions of rates where the likelihood has no finite maximum, or all but none."""

import numpy as np
import pytest

from memtrace.emergence.process.models import drift_of, smooth_rate
from memtrace.point_process.regression import finite_rates, fit_rates
from memtrace.point_process.windows import Windows


@pytest.mark.parametrize("seed", range(40))
def test_any_counts_have_a_fit_or_none_and_never_an_error(seed) -> None:
    rng = np.random.default_rng(seed)
    w = int(rng.integers(3, 30))
    exposures = rng.choice(np.array([1, 10**5, 10**9, 10**12]), w)
    counts = np.zeros(w, np.int64)
    counts[rng.integers(w, size=3)] = 5
    u = (np.arange(w) + 0.5) / w
    windows = Windows(np.cumsum(exposures) - exposures, counts, exposures)

    trend, model = drift_of(windows, u)
    assert (trend.reason is None) == np.isfinite(trend.theta)
    assert model.reason == trend.reason
    curve = smooth_rate(windows, u)
    assert curve.reason or np.isfinite(curve.log_likelihood)


def test_rates_that_leave_no_numbers_are_undefined_with_a_reason() -> None:
    exposures = np.array([1, 10**12, 10**5])
    windows = Windows(np.cumsum(exposures) - exposures, np.array([20, 20, 0]), exposures)
    u = np.array([1, 3, 5]) / 6
    with pytest.raises(ValueError, match="NaN"):
        fit_rates(windows.counts, exposures, np.column_stack((np.ones(3), u)))

    trend, model = drift_of(windows, u)
    assert np.isnan(trend.theta)
    assert model.reason == trend.reason
    assert "no finite numbers" in trend.reason


def test_a_finite_fit_is_that_of_the_regression() -> None:
    counts, exposures = np.array([3, 5, 9]), np.array([100, 100, 120])
    design = np.column_stack((np.ones(3), np.arange(3.0)))
    found = finite_rates(counts, exposures, design)

    assert found is not None
    np.testing.assert_array_equal(found.params, fit_rates(counts, exposures, design).params)
