"""Regressions of rates where the likelihood has no finite maximum, or all but none."""

from functools import partial

import numpy as np
import pytest
import statsmodels.api as sm

from memtrace.emergence.process.models import drift_of, smooth_rate
from memtrace.point_process.log_linear import fit_log_linear
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
    assert fit_log_linear(windows.counts, exposures, np.column_stack((np.ones(3), u))) is None

    trend, model = drift_of(windows, u)
    assert np.isnan(trend.theta)
    assert model.reason == trend.reason
    assert "no finite numbers" in trend.reason


@pytest.mark.parametrize("seed", range(5))
def test_a_poisson_regression_agrees_with_statsmodels(seed) -> None:
    rng = np.random.default_rng(seed)
    g, exposures = 40, rng.integers(100, 10_000, 40)
    design = np.column_stack((np.ones(g), rng.normal(size=(g, 2))))
    counts = rng.poisson(exposures * np.exp(design @ [-4.0, 0.5, -0.3]))
    found = fit_log_linear(counts, exposures, design)
    peer = sm.GLM(counts, design, sm.families.Poisson(), offset=np.log(exposures)).fit(tol=1e-13)

    assert found is not None
    close = partial(np.testing.assert_allclose, rtol=1e-10)
    close(found.coefficients, peer.params)
    close(found.covariance, np.linalg.inv(design.T @ (design * found.expected[:, None])))
    # statsmodels takes them at the last step but one.
    close(found.standard_errors, peer.bse, rtol=1e-8)
    close(found.expected, peer.fittedvalues)
    close([found.deviance, found.pearson], [peer.deviance, peer.pearson_chi2])
