"""The MIL-HDBK-189 test: do the logs of the positions add up to what random order gives?"""

import math

import numpy as np
from scipy import stats

from memtrace.types import Int64Array

DIRECT = 1_000_000
"""Axes up to so many sequences have the moments of log(1/u) summed; on longer ones both are 1."""


def mil_hdbk_p(ranks: Int64Array, total: int) -> float:
    """Return the two-sided p-value of the MIL-HDBK-189 statistic for events in random order.

    Without replacement its variance is smaller by 1 - p than chi-squared's: the gamma distribution
    with the exact mean and variance is used, which is chi-squared in the limit.
    """
    n = len(ranks)
    if n in (0, total):
        return math.nan
    value = float(-np.log((ranks + 0.5) / total).sum())
    mean, variance = _log_moments(total)
    variance *= (total - n) / max(total - 1, 1)
    gamma = stats.gamma(n * mean**2 / variance, scale=variance / mean)
    return float(min(1.0, 2 * min(gamma.cdf(value), gamma.sf(value))))


def _log_moments(total: int) -> tuple[float, float]:
    """Return mean and variance of log(1/u) over the middles of `total` sequences."""
    if total > DIRECT:
        return 1.0, 1.0
    logs = -np.log((np.arange(total) + 0.5) / total)
    return float(logs.mean()), float(logs.var())
