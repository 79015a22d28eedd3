"""By when had a part of the texts that emerged done so? As far as checkpoints can tell."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.types import UNDEFINED, Interval

ROUNDING = 1e-9
"""Of a part times a number of texts, which may be a whole number."""


@dataclass(frozen=True)
class Quantile:
    """A quantile of times that are known to lie between two checkpoints only."""

    bounds: Interval = UNDEFINED
    """Between them it lies for certain, and nothing narrower is known."""
    ci95: Interval = UNDEFINED
    """With the sampling error of the texts: at least 95%."""


def quantile_of(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    part: float,
    *,
    most: float = math.inf,
    widening: float = 1.0,
) -> Quantile:
    """Bound a quantile of times that lie in (left, right].

    The k-th time in order lies between the k-th of all left ends and the k-th of all right ends:
    these bounds are sharp (Manski 2003, Partial Identification of Probability Distributions, ch.
    1). The interval is that of order statistics, from the binomial distribution (Conover 1999,
    Practical Nonparametric Statistics, section 3.2), of the left ends below and the right ends
    above.

    Args:
        left: Left ends, shape (n,), n above 0.
        right: Right ends, finite, shape (n,).
        part: Of the texts, above 0 and below 1.
        most: Largest time there can be.
        widening: Root of the factor by which counts vary more than of independent texts.
    """
    low, high = np.sort(np.asarray(left, float)), np.sort(np.asarray(right, float))
    n = len(low)
    alike = max(1, round(n / widening**2))  # as many independent texts
    first, last = (float(stats.binom.ppf(p, alike, part)) for p in (0.025, 0.975))
    place = max(0, math.ceil(part * n - ROUNDING) - 1)
    below = math.floor(first / alike * n + ROUNDING) - 1
    above = math.ceil((last + 1) / alike * n - ROUNDING) - 1
    return Quantile(
        (float(low[place]), float(high[place])),
        (float(low[below]) if below >= 0 else 0.0, float(high[above]) if above < n else most),
    )
