"""The shares of events in two groups of sequences, compared exactly."""

import math
from dataclasses import dataclass

from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from memtrace.types import UNDEFINED, Interval


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
    interval, the ratio the one of its logarithm (Katz et al. 1978), adjusted where a count is 0.
    """
    (x, y), (s, t) = events, exposures
    low, high = confint_proportions_2indep(x, s, y, t, method="newcomb", compare="diff")
    distribution = stats.hypergeom(s + t, x + y, s)
    tail = min(float(distribution.cdf(x)), float(distribution.sf(x - 1)))
    return RateComparison(
        difference=x / s - y / t,
        difference_ci95=(float(low), float(high)),
        ratio=(x / s) / (y / t) if y else math.inf if x else math.nan,
        ratio_ci95=_ratio_interval(x, s, y, t),
        p_value=min(1.0, 2 * tail),
    )


def _ratio_interval(x: int, s: int, y: int, t: int) -> Interval:
    if x == y == 0:
        return UNDEFINED
    method = "log" if x and y else "log-adjusted"
    low, high = confint_proportions_2indep(x, s, y, t, method=method, compare="ratio")
    return float(low) if x else 0.0, float(high) if y else math.inf
