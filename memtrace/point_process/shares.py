"""The shares of events in two groups of sequences, compared exactly."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

Z = float(special.ndtri(0.975))
"""Standard errors on either side that a 95% interval takes."""
FEW = 5
"""Events, and others, in both groups from which on the logarithm of the ratio is normal enough."""


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


def compare_shares(events: tuple[int, int], exposures: tuple[int, int]) -> RateComparison:
    """Compare the shares of events in two groups of sequences.

    The p-value is Fisher's exact one, central (twice the smaller tail): given the events, their
    number in the first group is hypergeometric in random order. The difference has Newcombe's
    interval, the ratio the one of its logarithm (Katz et al. 1978), or with few events or few
    others in a group that of two Poisson rates given all events, which is at least 95%.
    """
    (x, y), (s, t) = events, exposures
    distribution = stats.hypergeom(s + t, x + y, s)
    tail = min(float(distribution.cdf(x)), float(distribution.sf(x - 1)))
    return RateComparison(
        difference=x / s - y / t,
        difference_ci95=newcombe_interval(events, exposures),
        ratio=(x / s) / (y / t) if y else math.inf if x else math.nan,
        ratio_ci95=_ratio_interval(x, s, y, t),
        p_value=min(1.0, 2 * tail),
    )


def newcombe_interval(events: tuple[int, int], exposures: tuple[int, int]) -> Interval:
    """Return the 95% interval of the first share minus the second (Newcombe 1998, method 10).

    The distances of Wilson's (1927) intervals from both shares are combined.
    """
    count, size = np.array(events), np.array(exposures)
    share, low, high = count / size, *_wilson_interval(count, size)
    difference = float(share[0] - share[1])
    below = math.hypot(share[0] - low[0], high[1] - share[1])
    above = math.hypot(share[1] - low[1], high[0] - share[0])
    return difference - below, difference + above


def _wilson_interval(count: Int64Array, size: Int64Array) -> tuple[FloatArray, FloatArray]:
    share, denominator = count / size, 1 + Z**2 / size
    centre = (share + Z**2 / (2 * size)) / denominator
    half = Z * np.sqrt(share * (1 - share) / size + Z**2 / (4 * size**2)) / denominator
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _ratio_interval(x: int, s: int, y: int, t: int) -> Interval:
    """Return the 95% interval of the ratio of two shares."""
    if x == y == 0:
        return UNDEFINED
    if min(x, s - x, y, t - y) < FEW:
        return _conditional_interval(x, s, y, t)
    middle, half = math.log((x / s) / (y / t)), Z * math.sqrt(1 / x - 1 / s + 1 / y - 1 / t)
    return math.exp(middle - half), math.exp(middle + half)


def _conditional_interval(x: int, s: int, y: int, t: int) -> Interval:
    """Return the exact interval of the ratio of two Poisson rates, given x + y events.

    The first of them is then binomial (Przyborowski and Wilenski 1940). Binomial counts vary less
    than Poisson ones, so it holds 95% of them or more.
    """
    low = float(stats.beta.ppf(0.025, x, y + 1)) if x else 0.0  # Clopper and Pearson (1934)
    high = float(stats.beta.ppf(0.975, x + 1, y)) if y else 1.0
    return low / (1 - low) * t / s, high / (1 - high) * t / s if y else math.inf
