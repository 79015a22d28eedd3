"""Does the rate drift along training? A log-linear rate, the ratio end over start, equivalence.

It models one steady drift and nothing else: no bumps, no change points.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import optimize, stats

from memtrace.errors import FitError
from memtrace.point_process.diagnostics.dispersion import Dispersion, dispersion
from memtrace.point_process.diagnostics.long_run import LongRun, long_run_variance
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.windows import Windows
from memtrace.types import UNDEFINED, FloatArray, Interval

SERIES = 1e-2
"""Below this argument the hyperbolic functions are replaced by their series, exact to 1e-14."""
CELLS = 4096
"""More observed ranges than this are gathered into so many cells of the axis before integration."""
NEAR = 0.02
FEW_EVENTS = 100
"""Below this many events the signed root is corrected for the skewness of their mean position."""
LEAST_EXPECTED = 1e-3
"""Least expectation of what is left over at the end of the axis."""
OVER, LONG_RUN_OVER = 0.025, 0.1
"""Levels at which over-dispersion about the trend, of single steps and of long stretches, widens
its intervals: with these 95% intervals hold 95 to 96% of independent data."""


def check_margin(margin: float) -> None:
    """Refuse a margin that is no rate ratio above 1.

    Raises:
        FitError: It is not.
    """
    if not 1 < margin < math.inf:
        raise FitError(f"margin {margin} must be a rate ratio above 1, such as 1.05")


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests that the rate ratio lies within (1 / margin, margin)."""

    margin: float
    equivalent: bool | None
    """Whether the 90% interval lies inside; None if the ratio is undefined."""
    p_value: float
    """Larger p-value of the two one-sided tests."""


@dataclass(frozen=True, eq=False)
class Trend:
    """Fitted rate a exp(theta u) along u = (index + 1/2) / n in (0, 1)."""

    theta: float
    """Log of the rate at the end over the rate at the start; NaN if undefined."""
    standard_error: float
    """Of theta, for a Poisson process: 1 / sqrt(observed information)."""
    null_standard_error: float
    """The same at theta = 0, which decides how small a drift can be found."""
    scale: float
    """Variance of theta relative to a Poisson process: 1 - p, times `inflation`."""
    mean_u: float
    """Mean of u over the events, the sufficient statistic."""
    n_events: int
    axis: FloatArray
    """The observed part of the axis in units of u, as `observed_axis` returns it."""
    about: Dispersion | None = None
    """Dispersion of window counts about the trend; None if it was not asked for."""
    long_run: LongRun | None = None
    """Variance of long stretches about the trend; None if not asked for, or too little is seen."""
    reason: str | None = None
    """Why values are NaN."""

    @property
    def overdispersion(self) -> float:
        """Return the index of dispersion of single steps where it is significant, 1 elsewhere."""
        over = self.about is not None and self.about.binomial.p_over < OVER
        return self.about.binomial.value if self.about is not None and over else 1.0

    @property
    def inflation(self) -> float:
        """Return the factor by which over-dispersion widens the variance; 1 if there is none.

        That of long stretches, at least 1: it holds for shocks to single steps and for lasting
        ones. Where too little is seen for it, that of single steps.
        """
        if self.long_run is None:
            return self.overdispersion
        return max(self.long_run.value, 1.0) if self._widened else 1.0

    @property
    def _widened(self) -> bool:
        over = self.long_run is not None and self.long_run.p_over < LONG_RUN_OVER
        return over or self.overdispersion > 1

    @property
    def _law(self) -> Any:
        """Return the distribution of the pivot: Student's t where its variance was measured."""
        measured = self._widened and self.long_run is not None
        return stats.t(self.long_run.degrees_of_freedom) if measured else stats.norm()  # type: ignore[union-attr]

    @property
    def rate_ratio(self) -> float:
        """Return the rate at the end of the axis over the rate at its start."""
        return _exp(self.theta)

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of no drift, by the likelihood ratio."""
        return 2 * float(self._law.sf(abs(self.pivot(0.0))))

    @property
    def likelihood_ratio(self) -> float:
        """Return twice the log-likelihood gained over a constant rate, of a Poisson process."""
        return self.signed_root(0.0) ** 2 * self.scale

    def signed_root(self, theta: float) -> float:
        """Return the signed root of the scaled likelihood ratio at `theta`, near N(0, 1)."""
        if self.reason:
            return math.nan
        fitted, _, _ = exponential_moments(self.theta, self.axis)
        there, _, _ = exponential_moments(theta, self.axis)
        gain = self.n_events * ((self.theta - theta) * (self.mean_u - 0.5) - (fitted - there))
        return math.copysign(math.sqrt(max(2 * gain / self.scale, 0.0)), self.theta - theta)

    def pivot(self, theta: float) -> float:
        """Return what tests and intervals take as N(0, 1) at `theta`: nearly exact for few events.

        Student's t takes the place of N(0, 1) where the variance of long stretches was measured.

        With few events it is r + log(q / r) / r, q being Wald's statistic (Barndorff-Nielsen 1986),
        of which the error falls as n^(-3/2); with many the signed root r itself.
        """
        r = self.signed_root(theta)
        if self.reason or self.n_events >= FEW_EVENTS:
            return r
        if abs(r) < NEAR:
            # Both r and q vanish at the estimate: there the correction is that of its neighbours.
            near = 2 * NEAR * self.standard_error * math.sqrt(self.scale)
            sides = self._correction(self.theta - near), self._correction(self.theta + near)
            return r + sum(sides) / 2
        return r + self._correction(theta)

    def _correction(self, theta: float) -> float:
        r = self.signed_root(theta)
        q = (self.theta - theta) / (self.standard_error * math.sqrt(self.scale))
        return math.log(q / r) / r

    def interval(self, confidence: float) -> Interval:
        """Return the profile-likelihood interval of the rate ratio, with the scale.

        An end beyond the largest float is infinite, one below the smallest 0: `log_interval` has
        their logarithms.
        """
        low, high = self.log_interval(confidence)
        return _exp(low), _exp(high)

    def log_interval(self, confidence: float) -> Interval:
        """Return the logarithms of the ends of `interval`, the interval of theta."""
        if self.reason:
            return UNDEFINED
        z = float(self._law.isf((1 - confidence) / 2))
        width = z * self.standard_error * math.sqrt(self.scale)
        low = _root(lambda t: self.pivot(t) - z, self.theta, -width)
        high = _root(lambda t: self.pivot(t) + z, self.theta, width)
        return low, high

    def equivalence(self, margin: float) -> Equivalence:
        """Test whether a drift of `margin` or more, either way, can be ruled out.

        Raises:
            FitError: The margin is not above 1.
        """
        check_margin(margin)
        if self.reason:
            return Equivalence(margin, None, math.nan)
        low, high = self.pivot(-math.log(margin)), -self.pivot(math.log(margin))
        p_value = float(self._law.sf(min(low, high)))
        return Equivalence(margin, p_value < 0.05, p_value)

    def detectable_ratio(self, power: float = 0.8) -> float:
        """Return the rate ratio that a 5% test finds with this power, given the events."""
        z = self._law.isf(0.025) + self._law.isf(1 - power)
        return _exp(float(z) * self.null_standard_error * math.sqrt(self.scale))

    def density(self, u: FloatArray) -> FloatArray:
        """Return the fitted rate at u, in events per unit of u."""
        log_integral, _, _ = exponential_moments(self.theta, self.axis)
        rate: FloatArray = self.n_events * np.exp(self.theta * (u - 0.5) - log_integral)
        return rate


def log_linear(events: EventSequence, *, step: int | None = None) -> Trend:
    """Fit a log-linear rate by maximum likelihood on the observed ranges (Cox and Lewis 1966, 3.3).

    The score equation sets the mean of u over the events equal to its mean under the density
    proportional to exp(theta u) on the observed ranges; on a full axis that mean is
    1 / (1 - exp(-theta)) - 1 / theta. At most one event fits on a sequence, so the variance is
    that of a Poisson process times 1 - p.

    Args:
        events: Events and exposure.
        step: Length of the windows whose dispersion about the trend, if significant, widens the
            intervals: a shock to one optimizer step moves all its sequences together, and may last
            for many steps (see `long_run_variance`). None for no such check.
    """
    axis = observed_axis(events)
    if reason := _undefined(events):
        nan = math.nan
        return Trend(nan, nan, nan, nan, nan, events.n_events, axis, reason=reason)
    # An exact integer sum, so that nothing is lost at 10^6 events on an axis of 10^8.
    mean_u = (int(events.positions.sum()) / events.n_events + 0.5) / events.n
    # Gathered cells may end inside the range of the events by less than a cell.
    ends = np.array([(axis[0] - axis[1]).min(), (axis[0] + axis[1]).max()]) + 0.5
    mean_u = float(np.clip(mean_u, *(ends + np.array([0.25, -0.25]) / events.n)))
    theta = _root(lambda t: mean_u - 0.5 - exponential_moments(t, axis)[1], 0.0, 1.0)
    about, long_run = (None, None) if step is None else _about(events, theta, step)
    trend = Trend(
        theta=theta,
        standard_error=(exponential_moments(theta, axis)[2] * events.n_events) ** -0.5,
        null_standard_error=(exponential_moments(0.0, axis)[2] * events.n_events) ** -0.5,
        scale=1 - events.fraction,
        mean_u=mean_u,
        n_events=events.n_events,
        axis=axis,
        about=about,
        long_run=long_run,
    )
    return replace(trend, scale=trend.scale * trend.inflation)


def log_linear_model(events: EventSequence, trend: Trend) -> Model:
    """Return the log-linear fit as a model beside the constant rate."""
    if trend.reason:
        return undefined_model("log-linear", events.n_events, trend.reason)
    constant = homogeneous(events.n_events, events.exposure).log_likelihood
    start = float(trend.density(np.array([0.0]))[0]) / events.n
    return Model(
        "log-linear",
        constant + trend.likelihood_ratio / 2,
        {"rate_per_sequence_start": start, "log_rate_ratio": trend.theta},
        events.n_events,
        intervals={"log_rate_ratio": trend.log_interval(0.95)},
        likelihood_ratio=trend.likelihood_ratio,
        p_value=trend.p_value,
        rate=partial(_rate_per_sequence, trend=trend, n=events.n),
    )


def _rate_per_sequence(u: FloatArray, trend: Trend, n: int) -> FloatArray:
    return trend.density(u) / n


def observed_axis(events: EventSequence) -> FloatArray:
    """Return the observed ranges as middle (in v = u - 1/2), half length and mass, shape (3, k).

    A scattered sample has millions of ranges. They are gathered into cells of the axis, each of
    which keeps its mass, mean and variance, so that a rate exp(theta u) is integrated over them
    with a relative error of order (theta / CELLS)^3.
    """
    ranges = events.observed / max(events.n, 1) - 0.5
    middle, half = ranges.mean(axis=1), np.diff(ranges, axis=1)[:, 0] / 2
    if len(middle) <= CELLS:
        return np.stack((middle, half, 2 * half))
    cell = np.minimum(((middle + 0.5) * CELLS).astype(np.int64), CELLS - 1)
    mass = np.bincount(cell, 2 * half)
    full = mass > 0
    mean = np.bincount(cell, 2 * half * middle)[full] / mass[full]
    square = np.bincount(cell, 2 * half * (middle**2 + half**2 / 3))[full] / mass[full]
    return np.stack((mean, np.sqrt(3 * np.maximum(square - mean**2, 0.0)), mass[full]))


def exponential_moments(theta: float, axis: FloatArray) -> tuple[float, float, float]:
    """Return log integral, mean and variance of v = u - 1/2 under exp(theta v) on the axis.

    Each range of half length h is a tilted uniform with integral proportional to sinh(z)/z, mean
    h L(z) from its middle and variance h^2 L'(z), where z = theta h and L is Langevin's function
    coth z - 1/z; the whole is their mixture.
    """
    middle, half, mass = axis
    z = theta * half
    log_mass = theta * middle + np.log(mass) + _log_sinhc(z)
    top = log_mass.max()
    weight = np.exp(log_mass - top)
    total = weight.sum()
    weight /= total
    means = middle + half * _langevin(z)
    mean = float(weight @ means)
    variance = float(weight @ (half**2 * _langevin_slope(z) + (means - mean) ** 2))
    return float(top + np.log(total)), mean, variance


def _log_sinhc(z: FloatArray) -> FloatArray:
    a = np.abs(z)
    big = np.maximum(a, SERIES)
    return np.where(
        a < SERIES,
        a**2 / 6 - a**4 / 180,
        big + np.log1p(-np.exp(-2 * big)) - np.log(2 * big),
    )


def _langevin(z: FloatArray) -> FloatArray:
    big = np.where(np.abs(z) < SERIES, SERIES, z)
    return np.where(
        np.abs(z) < SERIES, z / 3 - z**3 / 45 + 2 * z**5 / 945, 1 / np.tanh(big) - 1 / big
    )


def _langevin_slope(z: FloatArray) -> FloatArray:
    a = np.abs(z)
    big = np.maximum(a, SERIES)
    # csch^2 by exponentials of a negative argument, which cannot overflow.
    csch2 = 4 * np.exp(-2 * big) / np.expm1(-2 * big) ** 2
    return np.where(a < SERIES, 1 / 3 - a**2 / 15 + 2 * a**4 / 189, 1 / big**2 - csch2)


def _undefined(events: EventSequence) -> str | None:
    if events.exposure == 0:
        return "no exposed sequence was scanned"
    if events.n_events == 0:
        return "no events"
    return "every observed sequence is an event" if events.n_events == events.exposure else None


def _about(events: EventSequence, theta: float, length: int) -> tuple[Dispersion, LongRun | None]:
    windows = events.windows(length)
    middle = np.minimum(windows.start + length / 2, (windows.start + events.n) / 2) / events.n
    # Relative to the highest rate, so that not all of them underflow.
    tilt = windows.exposures * np.exp(theta * middle - (theta * middle).max())
    expected = tilt * (events.n_events / tilt.sum())
    # Neighbours share one window until they expect an event: X2 has no law where none can be.
    before = np.cumsum(expected) - expected
    first = np.flatnonzero(np.diff(np.floor(before + 1e-9), prepend=-1.0))
    merged = Windows(
        windows.start[first],
        np.add.reduceat(windows.counts, first),
        np.add.reduceat(windows.exposures, first),
    )
    mean = np.maximum(np.add.reduceat(expected, first), LEAST_EXPECTED)
    centre = np.add.reduceat(expected * middle, first) / mean
    design = np.column_stack((np.ones(len(mean)), centre))
    about = dispersion(merged, expected=mean, parameters=2, design=design)
    return about, long_run_variance(merged, mean, events.fraction, design)


def _exp(x: float) -> float:
    return math.inf if x > 709 else math.exp(x)


def _root(score: Callable[[float], float], start: float, width: float) -> float:
    """Find where the decreasing `score` vanishes, in the direction of `width` first."""
    lower, upper = sorted((start, start + width))
    while score(upper) > 0:
        lower, upper = upper, upper + 2 * abs(upper - lower)
    while score(lower) < 0:
        lower, upper = lower - 2 * abs(upper - lower), lower
    return float(optimize.brentq(score, lower, upper, xtol=1e-13, rtol=1e-13))
