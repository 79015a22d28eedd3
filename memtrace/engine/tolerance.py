"""How far a difference of two logits may be off, from errors that were measured on some rows.

Errors of one row are nearly normal, and of one size: that of the error of the row's hidden state.
The sizes of rows differ, and are nearly log-normal. So an error is normal with a log-normal
standard deviation, and its tail is known from the spread of the sizes, which some hundred rows show
well; the largest error alone shows it badly.
"""

import math

import numpy as np
from scipy.special import chdtri, digamma, ndtr, polygamma

CHANCE = 1e-7
"""That an error is beyond the tolerance. A wrong decision also needs a margin between the two, of
that sign: some hundred times rarer still."""
CONFIDENCE = 0.95  # of the upper bound on the spread of the sizes
MOST_SPREAD = 2.0  # of the log of a size: as much as is believed, and where one row is all there is
LARGEST = 1.5  # times the largest error seen: never less

_Z = np.linspace(-8.0, 12.0, 2001)
_WEIGHT = np.exp(-(_Z**2) / 2) / math.sqrt(2 * math.pi) * (_Z[1] - _Z[0])


def tolerance_of(errors: np.ndarray, *, cautious: bool = True) -> float | None:
    """A tolerance that differences of logits with such errors stay within.

    Args:
        errors: `(rows, m)`, of m logits that compete.
        cautious: Take the spread of the rows' sizes at its upper confidence bound.

    Returns:
        In the unit of the errors; None where no row is finite.
    """
    errors = errors[np.isfinite(errors).all(axis=1)]
    if not len(errors):
        return None
    if errors.shape[1] < 2:  # nothing competes
        return 0.0
    centred = errors - errors.mean(axis=1, keepdims=True)
    # What a row has in common moves no difference, so m errors have m - 1 degrees of freedom.
    freedom = errors.shape[1] - 1
    sizes = np.sqrt((centred**2).sum(axis=1) / freedom)
    largest = float(np.ptp(errors, axis=1).max())
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return 0.0
    level, spread = _sizes(np.log(sizes), freedom, cautious=cautious)
    return max(LARGEST * largest, quantile(level + math.log(2) / 2, spread))


def quantile(level: float, spread: float, chance: float = CHANCE) -> float:
    """What a normal error exceeds in size by this chance, its deviation being log-normal.

    Args:
        level: Mean of the log of the deviation.
        spread: Standard deviation of that log.
        chance: Both signs together.
    """
    relative = np.exp(spread * _Z)
    high = 40 + 20 * spread  # logs of the quantile in units of exp(level)
    low = -high
    for _ in range(60):
        middle = (low + high) / 2
        beyond = float((_WEIGHT * 2 * ndtr(-math.exp(middle) / relative)).sum())
        low, high = (middle, high) if beyond > chance else (low, middle)
    return math.exp(level + high)


def _sizes(logs: np.ndarray, freedom: int, *, cautious: bool) -> tuple[float, float]:
    """Mean and standard deviation of the log of rows' true sizes, from sizes that were estimated.

    The log of a chi-square with k degrees of freedom has mean digamma(k/2) + log 2 and variance
    trigamma(k/2) (Bartlett & Kendall, J. R. Statist. Soc. Suppl. 8, 1946).
    """
    half, rows = freedom / 2, len(logs)
    level = float(logs.mean() - (digamma(half) - math.log(half)) / 2)
    if rows < 2:
        return level, MOST_SPREAD
    variance = float(logs.var(ddof=1))
    if cautious:
        variance *= (rows - 1) / float(chdtri(rows - 1, CONFIDENCE))
    variance -= float(polygamma(1, half)) / 4
    return level, min(MOST_SPREAD, math.sqrt(max(0.0, variance)))
