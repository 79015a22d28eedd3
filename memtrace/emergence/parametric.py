"""Exponential, Weibull, lognormal and log-logistic times from intervals, with two point masses.

Most texts never emerge and some are extractable before they are seen: without these two masses
the shape of the rest means nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from memtrace.emergence.logs import exp, expit, logit
from memtrace.errors import FitError
from memtrace.types import FloatArray, Interval

Z95 = 1.959963984540054


def _normal_density(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))


EXTREME = 30.0
"""Logarithm of a scale beyond which no data are."""
FLAT = 0.01
"""Gain of log-likelihood below which a share that never emerges is not identified."""


class Distribution(NamedTuple):
    """The distribution of an error from below and above, and its density."""

    cdf: Callable[[FloatArray], FloatArray]
    sf: Callable[[FloatArray], FloatArray]
    pdf: Callable[[FloatArray], FloatArray]


GUMBEL = Distribution(
    cdf=lambda z: -np.expm1(-np.exp(z)),
    sf=lambda z: np.exp(-np.exp(z)),
    pdf=lambda z: np.exp(z - np.exp(z)),
)
DISTRIBUTIONS = {
    "exponential": GUMBEL,
    "weibull": GUMBEL,
    "lognormal": Distribution(special.ndtr, lambda z: special.ndtr(-z), _normal_density),
    "log-logistic": Distribution(
        special.expit,
        lambda z: special.expit(-z),
        lambda z: special.expit(z) * special.expit(-z),
    ),
}
"""Distribution of the error W in log T = location + scale W; the exponential's scale is 1."""


@dataclass(frozen=True)
class Parametric:
    """A distribution of times fitted by interval likelihood."""

    distribution: str
    location: float
    """Of log T."""
    scale: float
    """Of log T; a Weibull's shape is 1 / scale."""
    coefficients: tuple[float, ...]
    """Of the covariates, on log T."""
    emerging: float
    """Share that emerges at some time, of those not extractable before; 1 if it was not fitted."""
    before: float
    """Share extractable before exposure; 0 if it was not fitted."""
    log_likelihood: float
    intervals: dict[str, Interval]
    """95% intervals of `location`, `scale`, `emerging`, `before` where they were fitted."""
    reason: str | None = None
    """Why intervals are missing."""

    @property
    def shape(self) -> float:
        """Return 1 / scale: a Weibull's hazard falls with time below 1, rises above it."""
        return 1 / self.scale if self.scale else math.inf

    @property
    def shape_ci95(self) -> Interval | None:
        """Return the interval of the shape, None where the scale has none."""
        if "scale" not in self.intervals:
            return None
        low, high = (1 / end if end else math.inf for end in self.intervals["scale"])
        return high, low

    def share_by(self, time: npt.ArrayLike) -> FloatArray:
        """Return the share emerged by each time after exposure, of those not extractable before."""
        z = (np.log(np.asarray(time, float)) - self.location) / self.scale
        share: FloatArray = self.emerging * DISTRIBUTIONS[self.distribution].cdf(z)
        return share


def fit_parametric(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    distribution: str,
    weights: npt.ArrayLike | None = None,
    covariates: npt.ArrayLike | None = None,
    never: bool = False,
    before: bool = False,
) -> Parametric:
    """Maximise sum of w log(S(left) - S(right)), S the survival of times since exposure.

    With both atoms P(T <= 0) = b and P(T > t) = (1 - b)(1 - p G(t)): b of the sequences are
    extractable before exposure, and p of the others emerge, at times of distribution G. An interval
    (-inf, right] is that of a sequence that was not evaluated before exposure and that was never
    seen without; one known to be extractable before has right 0.

    Args:
        left: Left ends, minus infinity or at least 0, shape (n,).
        right: Right ends, infinite where it was not waited for; equal to `left` for an exact time.
        distribution: One of `DISTRIBUTIONS`.
        weights: How many each stands for, shape (n,).
        covariates: Their linear effect on log T is fitted, shape (n, c).
        never: Fit the share that never emerges.
        before: Fit the share extractable before exposure.

    Raises:
        FitError: The distribution is unknown or nothing emerged.
    """
    if distribution not in DISTRIBUTIONS:
        raise FitError(
            f"no distribution {distribution!r}; choose one of {', '.join(DISTRIBUTIONS)}"
        )
    low, high = np.asarray(left, float), np.asarray(right, float)
    w = np.ones(len(low)) if weights is None else np.asarray(weights, float)
    x = np.empty((len(low), 0)) if covariates is None else np.asarray(covariates, float)
    times = high[(w > 0) & np.isfinite(high) & (high > 0)]
    if not len(times):
        raise FitError("nothing emerged, so no distribution of the time can be fitted")
    names = ["location", *(f"x{i}" for i in range(x.shape[1]))]
    names += (
        ["scale"] * (distribution != "exponential") + ["emerging"] * never + ["before"] * before
    )
    value = _likelihood(low, high, w, x, distribution, names)
    seen = float(w[np.isfinite(high)].sum() / w.sum())
    start = {"location": math.log(np.median(times)), "emerging": logit(min(2 * seen, 0.9))}
    start["before"] = logit(max(float(w[high <= 0].sum() / w.sum()), 1e-3))
    theta = _climb(value, np.array([start.get(name, 0.0) for name in names]))
    if never:
        simple = fit_parametric(
            left,
            right,
            distribution=distribution,
            weights=weights,
            covariates=covariates,
            before=before,
        )
        if simple.log_likelihood > value(theta) - FLAT:
            return replace(simple, reason="late emergence and none at all cannot be told apart")
    found = dict(zip(names, map(float, theta), strict=True))
    errors = _errors(value, theta)
    fitted = ("location", "scale", "emerging", "before")
    return Parametric(
        distribution=distribution,
        location=found["location"],
        scale=exp(found.get("scale", 0.0)),
        coefficients=tuple(found[name] for name in names if name[0] == "x"),
        emerging=expit(found["emerging"]) if never else 1.0,
        before=expit(found["before"]) if before else 0.0,
        log_likelihood=value(theta),
        intervals={
            name: _interval(name, found[name], errors[names.index(name)])
            for name in fitted
            if name in names and errors is not None
        },
        reason=None if errors is not None else "the likelihood is flat: no intervals",
    )


def _likelihood(
    low: FloatArray,
    high: FloatArray,
    w: FloatArray,
    x: FloatArray,
    distribution: str,
    names: list[str],
) -> Callable[[FloatArray], float]:
    """Return the log-likelihood as a function of parameters that may take any value."""
    exact, never_before = low == high, np.isneginf(low)
    known_before = high <= 0
    with np.errstate(divide="ignore"):
        log_low, log_high = (np.log(np.maximum(end, 0.0)) for end in (low, high))
    error = DISTRIBUTIONS[distribution]

    def value(theta: FloatArray) -> float:
        at = dict(zip(names, theta, strict=True))
        scale = math.exp(np.clip(at.get("scale", 0.0), -EXTREME, EXTREME))
        middle = at["location"] + x @ np.array([at[name] for name in names if name[0] == "x"])
        p = expit(at["emerging"]) if "emerging" in at else 1.0
        b = expit(at["before"]) if "before" in at else 0.0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            a, z = (log_low - middle) / scale, (log_high - middle) / scale
            # From the nearer tail, so that no difference of small numbers is lost.
            within = np.where(a > 0, error.sf(a) - error.sf(z), error.cdf(z) - error.cdf(a))
            inside = p * within + np.where(np.isposinf(high), 1 - p, 0.0)
            density = p * error.pdf(a) / (scale * low) if exact.any() else 0.0
            chance = (1 - b) * np.where(exact, density, inside) + np.where(never_before, b, 0.0)
            chance = np.where(known_before, b, chance)
            return float(w @ np.log(np.maximum(chance, 1e-300)))

    return value


def _climb(value: Callable[[FloatArray], float], theta: FloatArray) -> FloatArray:
    # Relative, so that rounding in a sum over millions does not keep it from ending.
    scale = abs(value(theta)) + 1.0

    def cost(x: FloatArray) -> float:
        return -value(x) / scale

    for _ in range(2):  # a simplex that has collapsed is begun anew
        theta = np.asarray(optimize.fmin(cost, theta, xtol=1e-7, ftol=1e-14, disp=False))
    return theta


def _errors(value: Callable[[FloatArray], float], theta: FloatArray) -> FloatArray | None:
    """Return standard errors from the observed information, None where it is not positive."""
    k = len(theta)
    step = 1e-3 * np.eye(k)
    information = np.empty((k, k))
    for i in range(k):
        for j in range(k):
            a, b = step[i], step[j]
            corners = (theta + a + b, theta + a - b, theta - a + b, theta - a - b)
            pp, pm, mp, mm = (value(corner) for corner in corners)
            information[i, j] = -(pp - pm - mp + mm) / 4e-6
    try:
        variance = np.diag(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        return None
    good = (variance > 0).all() and (np.linalg.eigvalsh(information) > 0).all()
    return np.asarray(np.sqrt(variance)) if good else None


def _interval(name: str, value: float, error: float) -> Interval:
    ends = value - Z95 * error, value + Z95 * error
    back = {"scale": exp, "emerging": expit, "before": expit}.get(name, float)
    return back(ends[0]), back(ends[1])
