"""Distributions of window counts: binomial, beta-binomial, Poisson, negative binomial.

They measure how the rate varies between windows, whatever the order of the windows.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special, stats

from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray, Int64Array, Interval

OF = "window counts"
LONGEST = 1_000_000
"""Sequences in a window above which the beta-binomial, a sum over them, is left out."""


def count_models(windows: Windows) -> tuple[Model, ...]:
    """Fit every distribution to the counts of all windows."""
    return (
        binomial_counts(windows),
        beta_binomial(windows),
        poisson_counts(windows),
        negative_binomial(windows),
    )


def binomial_counts(windows: Windows) -> Model:
    """Fit one chance of an event to every sequence: what random order gives."""
    if reason := _undefined(windows):
        return undefined_model("binomial", len(windows.counts), reason, of=OF)
    p = windows.counts.sum() / windows.exposures.sum()
    value = float(np.sum(stats.binom.logpmf(windows.counts, windows.exposures, p)))
    return Model("binomial", value, {"p": float(p)}, len(windows.counts), OF)


def beta_binomial(windows: Windows) -> Model:
    """Fit chances that vary from window to window as a beta distribution with correlation rho.

    The log-likelihood is Griffiths' (1973) in theta = rho / (1 - rho), as sums of logarithms that
    stay exact as theta goes to 0. At the boundary rho = 0 half of the random orders lie, so the
    p-value is half of chi-squared's (Self and Liang 1987).
    """
    name, simple = "beta-binomial", binomial_counts(windows)
    longest = int(windows.exposures.max(initial=0))
    if simple.reason or longest == 1 or longest > LONGEST:
        alone = "windows of one sequence cannot vary beyond chance"
        long = f"windows of more than {LONGEST:,} sequences take too long to fit"
        reason = simple.reason or (alone if longest == 1 else long)
        return undefined_model(name, len(windows.counts), reason, of=OF)
    (y, m), times = _distinct(windows)
    constant = float(times @ _log_choose(m, y))

    def log_likelihood(p: float, theta: float) -> float:
        r = np.arange(m.max()) * theta
        hits, misses, all_ = (
            np.concatenate(([0.0], np.cumsum(np.log(first + r)))) for first in (p, 1 - p, 1.0)
        )
        return constant + float(times @ (hits[y] + misses[m - y] - all_[m]))

    p = simple.parameters["p"]
    slope = y * (y - 1) / (2 * p) + (m - y) * (m - y - 1) / (2 * (1 - p)) - m * (m - 1) / 2
    start = max((_pearson(windows, binomial=True) - 1) / float(np.median(windows.exposures)), 1e-6)
    if float(times @ slope) <= 0:
        return _at_boundary(name, simple, {"p": p, "rho": 0.0})
    (p, theta), value, error = _maximise(log_likelihood, p, start, special.expit, special.logit)
    rho, low, high = (t / (1 + t) for t in _log_interval(theta, error))
    return _with_boundary(
        name, value, {"p": p, "rho": rho}, {"rho": (low, high)}, simple, len(windows.counts)
    )


def poisson_counts(windows: Windows) -> Model:
    """Fit a constant Poisson rate to the counts."""
    if reason := _undefined(windows):
        return undefined_model("Poisson counts", len(windows.counts), reason, of=OF)
    rate = windows.counts.sum() / windows.exposures.sum()
    value = float(np.sum(stats.poisson.logpmf(windows.counts, rate * windows.exposures)))
    parameters = {"rate_per_sequence": float(rate)}
    return Model("Poisson counts", value, parameters, len(windows.counts), OF)


def negative_binomial(windows: Windows) -> Model:
    """Fit Poisson counts whose rate varies as a gamma distribution: variance mu + alpha mu^2 (NB2).

    Counts that vary no more than Poisson ones have no finite fit in the size 1 / alpha: alpha is 0
    then, the likelihood ratio 0 and the p-value 1.
    """
    name, simple = "negative binomial", poisson_counts(windows)
    if simple.reason:
        return undefined_model(name, len(windows.counts), simple.reason, of=OF)
    (y, e), times = _distinct(windows)
    rate = simple.parameters["rate_per_sequence"]
    if float(times @ ((y - rate * e) ** 2 - y)) <= 0:
        return _at_boundary(name, simple, {"rate_per_sequence": rate, "alpha": 0.0})
    constant = -float(times @ special.gammaln(y + 1))

    def log_likelihood(rate: float, alpha: float) -> float:
        mu, j = rate * e, np.concatenate(([0.0], np.cumsum(np.log1p(alpha * np.arange(y.max())))))
        terms = j[y] + special.xlogy(y, mu) - (y + 1 / alpha) * np.log1p(alpha * mu)
        return constant + float(times @ terms)

    start = float(times @ ((y - rate * e) ** 2 - y)) / float(times @ (rate * e) ** 2)
    (rate, alpha), value, error = _maximise(log_likelihood, rate, start, np.exp, np.log)
    _, low, high = _log_interval(alpha, error)
    return _with_boundary(
        name,
        value,
        {"rate_per_sequence": rate, "alpha": alpha},
        {"alpha": (low, high)},
        simple,
        len(windows.counts),
    )


def _undefined(windows: Windows) -> str | None:
    if not len(windows.counts):
        return "no exposed sequence was scanned"
    if not windows.counts.sum():
        return "no events"
    full = windows.counts.sum() == windows.exposures.sum()
    return "every observed sequence is an event" if full else None


def _distinct(windows: Windows) -> tuple[Int64Array, Int64Array]:
    """Return the distinct pairs (count, exposure), shape (2, k), and how often each occurs."""
    base = int(windows.exposures.max()) + 1
    code, times = np.unique(windows.counts * base + windows.exposures, return_counts=True)
    return np.stack(np.divmod(code, base)), times


def _log_choose(m: Int64Array, y: Int64Array) -> FloatArray:
    value: FloatArray = special.gammaln(m + 1) - special.gammaln(y + 1) - special.gammaln(m - y + 1)
    return value


def _pearson(windows: Windows, *, binomial: bool) -> float:
    """Return Pearson's X2 over the number of windows."""
    p = windows.counts.sum() / windows.exposures.sum()
    mean = windows.exposures * p
    return float(((windows.counts - mean) ** 2 / (mean * (1 - p if binomial else 1))).mean())


def _maximise(
    log_likelihood: Callable[[float, float], float],
    first: float,
    second: float,
    forth: Callable[[float], float],
    back: Callable[[float], float],
) -> tuple[tuple[float, float], float, float]:
    """Maximise over a location on its own scale and a variance on that of its logarithm.

    Returns:
        Both at the maximum, the maximum, and the standard error of the log of the variance.
    """

    def loss(x: FloatArray) -> float:
        return -log_likelihood(float(forth(x[0])), math.exp(x[1]))

    start = np.array([back(first), math.log(second)])
    found = optimize.minimize(
        loss,
        start,
        method="Nelder-Mead",
        options={
            "xatol": 1e-9,
            "fatol": 1e-10,
            "maxiter": 1000,
            "initial_simplex": start + np.array([[0, 0], [0.02, 0], [0, 0.3]]),
        },
    )
    step = 1e-3 * np.eye(2)
    hessian = np.array(
        [
            [
                sum(s * t * loss(found.x + s * a + t * b) for s in (1, -1) for t in (1, -1)) / 4e-6
                for b in step
            ]
            for a in step
        ]
    )
    determinant = float(np.linalg.det(hessian))
    error = math.sqrt(hessian[0, 0] / determinant) if determinant > 0 else math.inf
    return (float(forth(found.x[0])), math.exp(found.x[1])), -float(found.fun), error


def _log_interval(value: float, error: float) -> tuple[float, float, float]:
    """Return the value with the ends of its 95% interval, symmetric on the log scale."""
    factor = math.exp(min(1.96 * error, 700.0))
    return value, value / factor, value * factor


def _at_boundary(name: str, simple: Model, parameters: dict[str, float]) -> Model:
    return Model(
        name,
        simple.log_likelihood,
        parameters,
        simple.observations,
        OF,
        likelihood_ratio=0.0,
        p_value=1.0,
    )


def _with_boundary(
    name: str,
    value: float,
    parameters: dict[str, float],
    intervals: dict[str, Interval],
    simple: Model,
    windows: int,
) -> Model:
    gain = max(2 * (value - simple.log_likelihood), 0.0)
    return Model(
        name,
        value,
        parameters,
        windows,
        OF,
        intervals,
        likelihood_ratio=gain,
        p_value=float(stats.chi2.sf(gain, 1)) / 2,
    )
