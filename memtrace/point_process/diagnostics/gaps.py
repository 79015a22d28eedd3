"""The distances between events: geometric in random order, never exponential.

Whole numbers are no exponential times: at a million events a test against them always rejects.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.types import FloatArray, Int64Array

CLASSES = 12


@dataclass(frozen=True)
class Gaps:
    """Distances between neighbouring events against the geometric distribution."""

    p: float
    """Fitted chance that the next sequence is an event: 1 / mean gap."""
    mean: float
    cv: float
    """Coefficient of variation; a geometric distribution has sqrt(1 - p)."""
    log_likelihood: float
    share_of_ones: float
    """Gaps of one sequence: events side by side; p of them are expected."""
    statistic: float
    """Rao-Robson-Nikulin chi-squared over classes of equal chance."""
    degrees_of_freedom: int
    p_value: float
    reason: str | None = None
    """Why values are NaN."""


@dataclass(frozen=True)
class LewisRobinson:
    """Laplace's test for a renewal process: for gaps of any distribution."""

    laplace: float
    cv: float
    """Coefficient of variation of the gaps, the first one measured from the origin."""
    statistic: float
    """Laplace's over cv: sqrt(1 - p), the finite-population correction, is part of it."""
    p_value: float
    reason: str | None = None
    """Why values are NaN."""


def geometric_gaps(gaps: Int64Array) -> Gaps:
    """Test whole-number gaps against the geometric distribution.

    The chi-squared statistic is corrected for p having been estimated from the gaps themselves and
    not from their classes (Rao and Robson 1974; Nikulin 1973), so that it has one degree of freedom
    less than classes.

    Args:
        gaps: Differences of neighbouring positions, at least 1, shape (n - 1,).
    """
    n, nan = len(gaps), math.nan
    if n == 0 or gaps.max() == 1:
        reason = "fewer than two events" if n == 0 else "every gap is one sequence"
        return Gaps(nan, nan, nan, nan, nan, nan, 0, nan, reason)
    mean = float(gaps.mean())
    p = 1 / mean
    statistic, df = _rao_robson(gaps, p)
    return Gaps(
        p=p,
        mean=mean,
        cv=float(gaps.std(ddof=1)) / mean if n > 1 else nan,
        log_likelihood=n * math.log(p) + float((gaps - 1).sum()) * math.log1p(-p),
        share_of_ones=float((gaps == 1).mean()),
        statistic=statistic,
        degrees_of_freedom=df,
        p_value=float(stats.chi2.sf(statistic, df)) if df else nan,
        reason=None if df and n > 1 else "too few gaps for classes",
    )


def lewis_robinson(u: FloatArray) -> LewisRobinson:
    """Test times in (0, 1) for a trend, given how their gaps vary (Lewis and Robinson 1974)."""
    n = len(u)
    gaps = np.diff(np.concatenate(([0.0], u)))
    if n < 2 or not gaps.std():
        nan = math.nan
        return LewisRobinson(nan, nan, nan, nan, "fewer than two different gaps")
    laplace = (float(u.mean()) - 0.5) * math.sqrt(12 * n)
    cv = float(gaps.std(ddof=1) / gaps.mean())
    return LewisRobinson(laplace, cv, laplace / cv, 2 * float(stats.norm.sf(abs(laplace / cv))))


def _rao_robson(gaps: Int64Array, p: float) -> tuple[float, int]:
    """Return Rao's, Robson's and Nikulin's statistic and its degrees of freedom."""
    n = len(gaps)
    classes = min(CLASSES, n // 5)
    # Class k holds the gaps in (edges[k], edges[k + 1]]; distinct ones only where p is large.
    quantiles = stats.geom.ppf(np.arange(1, classes) / max(classes, 1), p)
    edges = np.unique(np.concatenate(([0], quantiles, [np.inf])))
    above = np.exp(edges * math.log1p(-p))
    chance = -np.diff(above)
    enough = n * chance.min() >= 1 and len(chance) >= 2
    if not enough:
        return math.nan, 0
    counts = np.diff(np.searchsorted(np.sort(gaps), edges, side="right"))
    # d/dp of the chance above an edge; an infinite edge has none.
    finite = np.where(np.isinf(edges), 0.0, edges)
    slope = np.diff(finite * above) / (1 - p)
    lost = 1 / (p**2 * (1 - p)) - float((slope**2 / chance).sum())
    x2 = float(((counts - n * chance) ** 2 / (n * chance)).sum())
    return x2 + float((counts / chance) @ slope) ** 2 / (n * lost), len(chance) - 1
