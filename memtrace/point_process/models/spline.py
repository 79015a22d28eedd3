"""The rate as a smooth curve over training: a cubic B-spline of its logarithm, with a band.

The band holds the whole curve at once with 95% confidence, not each point of it.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats
from scipy.interpolate import BSpline

from memtrace.point_process.events import EventSequence
from memtrace.point_process.log_linear import LogLinearRates, fit_log_linear
from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.windows import Windows
from memtrace.report.numbers import count
from memtrace.types import FloatArray

DEGREE = 3
KNOTS = 5
BINS = 512
"""Bins of the axis in each of which the rate is taken as constant."""
POINTS = 201
DRAWS = 4000
LARGEST_RANGE = 20.0
"""Coefficients of the log rate further apart have left for infinity."""
FEWEST = 100
"""Events below which a curve of nine coefficients would follow chance."""


@dataclass(frozen=True, eq=False)
class Spline:
    """A fitted curve with its simultaneous band, at equally spaced points of the axis."""

    model: Model
    u: FloatArray
    """Points of (0, 1), shape (points,)."""
    rate: FloatArray
    """Events per sequence, shape (points,)."""
    low: FloatArray
    """Lower end of the simultaneous 95% band of the rate, shape (points,)."""
    high: FloatArray
    critical: float = math.nan
    """Standard errors between the curve and the end of the band; 1.96 for a pointwise one."""

    @property
    def largest_departure(self) -> float:
        """Return the largest factor between the band and its mean rate that chance cannot explain.

        1 if a constant rate lies inside the whole band.
        """
        if not len(self.rate):
            return math.nan
        return max(1.0, float(self.low.max() / self.high.min()))


def basis(x: FloatArray, knots: FloatArray, boundary: tuple[float, float]) -> FloatArray:
    """Return the cubic B-splines at x, shape (len(x), len(knots) + 4), summing to 1 in each row."""
    ends = np.repeat(boundary, DEGREE + 1)
    every = np.concatenate((ends[: DEGREE + 1], knots, ends[DEGREE + 1 :]))
    values: FloatArray = BSpline.design_matrix(x, every, DEGREE).toarray()
    return values


def spline(events: EventSequence, rng: np.random.Generator, *, inflation: float = 1.0) -> Spline:
    """Fit the log of the rate by a cubic B-spline with equally spaced knots.

    A Poisson regression on the counts of `BINS` bins; variances are multiplied by 1 - p, for at
    most one event a sequence. The band takes the largest of the standardised deviations of the
    whole curve (Ruppert, Wand and Carroll 2003, section 6.5), by simulation of the coefficients.

    Args:
        events: Events and exposure.
        rng: Draws the coefficients for the band.
        inflation: Factor on the variance for over-dispersion between steps.
    """
    n = events.n_events
    if n < FEWEST or n == events.exposure:
        few = f"{count(n, 'event')}: a curve takes {FEWEST}"
        return _undefined(n, few if n < FEWEST else "every observed sequence is an event")
    bins = events.windows(-(-events.n // BINS))
    middle = (bins.start + np.append(bins.start[1:], events.n)) / 2 / events.n
    middle = np.minimum(middle, (bins.start + -(-events.n // BINS) / 2) / events.n).clip(0, 1)
    knots = _knots(middle, bins.exposures)
    design = basis(middle, knots, (0.0, 1.0))
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return _undefined(n, "too little of the axis was seen for a curve")
    fitted = _finite_fit(bins, design)
    if fitted is None:
        return _undefined(n, "a part without events sends the curve to minus infinity")
    gain = fitted.gain(bins.counts, bins.exposures)
    scale = (1 - events.fraction) * inflation
    return _with_band(events, fitted, knots, gain, scale, rng)


def _finite_fit(bins: Windows, design: FloatArray) -> LogLinearRates | None:
    """Return the regression, or None where the likelihood grows for ever as a rate goes to 0."""
    fitted = fit_log_linear(bins.counts, bins.exposures, design)
    if fitted is None or np.ptp(fitted.coefficients) >= LARGEST_RANGE:
        return None
    return fitted if np.isfinite(fitted.standard_errors).all() else None


def _undefined(n: int, reason: str) -> Spline:
    empty = np.empty(0)
    return Spline(undefined_model("spline", n, reason), empty, empty, empty, empty)


def _knots(middle: FloatArray, exposures: FloatArray | Any) -> FloatArray:
    """Return inner knots that cut the observed part of the axis equally."""
    share = np.cumsum(exposures) / exposures.sum()
    inner: FloatArray = np.interp(np.arange(1, KNOTS + 1) / (KNOTS + 1), share, middle)
    return inner


def _with_band(
    events: EventSequence,
    fitted: LogLinearRates,
    knots: FloatArray,
    gain: float,
    scale: float,
    rng: np.random.Generator,
) -> Spline:
    n, coefficients = events.n_events, fitted.coefficients
    covariance = fitted.covariance * scale

    rate = partial(_spline_rate, knots=knots, coefficients=coefficients)
    u = np.linspace(0.5 / POINTS, 1 - 0.5 / POINTS, POINTS)
    curve = basis(u, knots, (0.0, 1.0))
    error = np.sqrt(np.einsum("ij,jk,ik->i", curve, covariance, curve))
    root = np.linalg.cholesky(covariance)
    drawn = rng.standard_normal((DRAWS, len(coefficients))) @ (curve @ root / error[:, None]).T
    critical = float(np.quantile(np.abs(drawn).max(axis=1), 0.95))
    names = [f"log_rate_coefficient_{i + 1}" for i in range(len(coefficients))]
    width = 1.96 * np.sqrt(np.diag(covariance))
    model = Model(
        "spline",
        homogeneous(n, events.exposure).log_likelihood + gain / 2,
        dict(zip(names, map(float, coefficients), strict=True)),
        n,
        intervals={
            name: (float(b - w), float(b + w))
            for name, b, w in zip(names, coefficients, width, strict=True)
        },
        likelihood_ratio=gain,
        p_value=float(stats.chi2.sf(gain / scale, len(coefficients) - 1)),
        rate=rate,
    )
    value, factor = rate(u), np.exp(critical * error)
    return Spline(model, u, value, value / factor, value * factor, critical)


def _spline_rate(u: FloatArray, knots: FloatArray, coefficients: FloatArray) -> FloatArray:
    value: FloatArray = np.exp(basis(np.clip(u, 0, 1), knots, (0.0, 1.0)) @ coefficients)
    return value
