"""The constant rate: exact intervals, its log-likelihood, and the control group.

It does not ask whether the rate is constant.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from statsmodels.stats.rates import confint_poisson

from memtrace.point_process.models.model import Model
from memtrace.types import UNDEFINED, FloatArray, Interval


@dataclass(frozen=True)
class RateComparison:
    """Two rates with at most one event a sequence: the exposed against the unexposed rows."""

    difference: float
    """First rate minus second, events per sequence."""
    difference_ci95: Interval
    ratio: float
    """First rate over second; NaN if both are zero, infinite if only the second is."""
    ratio_ci95: Interval
    p_value: float
    """Exact two-sided conditional test of equal rates, central (twice the smaller tail)."""
    p_greater: float = math.nan
    """Exact one-sided: of a first rate so much larger."""
    p_minimum_likelihood: float = math.nan
    """Two-sided, of counts no likelier; it can disagree with the interval (Fay 2010)."""


def garwood_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the exact two-sided interval of Poisson rates, elementwise (Garwood 1936)."""
    return poisson_interval(events, exposure, "exact-c", confidence)


def poisson_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, method: str, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return another interval of Poisson rates, by the method's name in statsmodels.

    `score`, `wald`, `jeff`, `midp-c`, `sqrt-a` and more: see `statsmodels.stats.rates`. `midp-c`
    takes one number at a time.
    """
    counts = np.asarray(events)
    low, high = confint_poisson(
        counts if counts.ndim else counts.item(),
        np.asarray(exposure) if np.ndim(exposure) else float(np.asarray(exposure)),
        method=method,
        alpha=1 - confidence,
    )
    return low, high


def wilson_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the score interval of rates with at most one event a sequence (Wilson 1927)."""
    low, high = proportion_confint(
        np.asarray(events), np.asarray(exposure), alpha=1 - confidence, method="wilson"
    )
    return low, high


def binomial_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the exact interval of rates with at most one event a sequence, elementwise.

    Clopper and Pearson (1934). It is narrower than Garwood's by sqrt(1 - p), where p is the rate.
    """
    low, high = proportion_confint(
        np.asarray(events), np.asarray(exposure), alpha=1 - confidence, method="beta"
    )
    return low, high


def homogeneous(n_events: int, exposure: float) -> Model:
    """Fit a constant rate: n log(n / T) - n, with 0 log 0 = 0."""
    rate = n_events / exposure if exposure else math.nan
    reason = None if n_events else "no events" if exposure else "no exposed sequence was scanned"
    log_likelihood = n_events * math.log(rate) - n_events if n_events else 0.0 * rate
    return Model(
        "homogeneous",
        log_likelihood,
        {"rate_per_sequence": rate},
        n_events,
        rate=partial(_constant_rate, rate=rate),
        reason=reason,
    )


def _constant_rate(u: FloatArray, rate: float) -> FloatArray:
    return np.full(np.shape(u), rate)


def compare_rates(events: tuple[int, int], exposures: tuple[int, int]) -> RateComparison:
    """Compare two rates: difference by Newcombe's hybrid score, ratio exact given the total.

    The exact ratio treats the counts as Poisson: X1 given X1 + X2 is binomial with odds
    r t1 / t2 (Przyborowski and Wilenski 1940). For rates that are not small it is conservative.
    """
    (x, y), (s, t) = events, exposures
    low, high = confint_proportions_2indep(x, s, y, t, method="newcomb", compare="diff")
    return RateComparison(
        difference=x / s - y / t,
        difference_ci95=(float(low), float(high)),
        ratio=_divide(x * t, y * s),
        ratio_ci95=_ratio_interval(x, y, t / s),
        p_value=_central_p(x, x + y, s / (s + t)),
        p_greater=float(stats.binom.sf(x - 1, x + y, s / (s + t))),
        p_minimum_likelihood=float(stats.binomtest(x, x + y, s / (s + t)).pvalue)
        if x + y
        else math.nan,
    )


def _ratio_interval(x: int, y: int, scale: float) -> Interval:
    if x + y == 0:
        return UNDEFINED
    low, high = binomial_interval(x, x + y)
    return scale * _divide(float(low), 1 - float(low)), scale * _divide(
        float(high), 1 - float(high)
    )


def _central_p(x: int, total: int, share: float) -> float:
    tail = min(stats.binom.cdf(x, total, share), stats.binom.sf(x - 1, total, share))
    return min(1.0, 2 * float(tail))


def _divide(a: float, b: float) -> float:
    if b:
        return a / b
    return math.inf if a else math.nan
