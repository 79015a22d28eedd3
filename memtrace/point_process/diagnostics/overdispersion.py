"""Score tests of Poisson counts against a larger variance, for any fitted expectation.

They ask what `dispersion` asks, and weigh large expectations differently.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.types import FloatArray, Int64Array


@dataclass(frozen=True)
class Overdispersion:
    """Standard normal statistics under Poisson counts; large ones speak for over-dispersion."""

    dean_a: float
    """Dean (1992) P_A, with (y - mu)^2 - mu."""
    dean_b: float
    """P_B, with (y - mu)^2 - y."""
    dean_c: float
    """P_C, for a variance proportional to the mean."""
    cameron_trivedi_1: float
    """z of a variance mu (1 + alpha), by regression (Cameron and Trivedi 1990)."""
    alpha_1: float
    cameron_trivedi_2: float
    """z of a variance mu + alpha mu^2."""
    alpha_2: float
    p_value: float
    """One-sided, of `cameron_trivedi_1`."""
    reason: str | None = None
    """Why values are NaN."""


def overdispersion(counts: Int64Array, expected: FloatArray) -> Overdispersion:
    """Test counts, shape (W,), with their fitted Poisson means, shape (W,).

    The regressions have no intercept, with a constant for the first form and mu for the second; the
    variance of their slope is the usual one on W - 1 degrees of freedom.
    """
    w, nan = len(counts), math.nan
    if w < 2 or not expected.sum() or counts.min() == counts.max():
        reason = "too few windows" if w < 2 else "all counts are equal"
        return Overdispersion(*(nan,) * 8, reason)
    square = (counts - expected) ** 2
    scale = math.sqrt(2 * float((expected**2).sum()))
    auxiliary = (square - counts) / expected
    z1, alpha_1 = _slope(auxiliary, np.ones(w))
    z2, alpha_2 = _slope(auxiliary, expected)
    return Overdispersion(
        dean_a=float((square - expected).sum()) / scale,
        dean_b=float((square - counts).sum()) / scale,
        dean_c=float(auxiliary.sum()) / math.sqrt(2 * w),
        cameron_trivedi_1=z1,
        alpha_1=alpha_1,
        cameron_trivedi_2=z2,
        alpha_2=alpha_2,
        p_value=float(stats.norm.sf(z1)),
    )


def _slope(y: FloatArray, x: FloatArray) -> tuple[float, float]:
    """Return z and slope of a regression through the origin."""
    slope = float(x @ y / (x @ x))
    variance = float(((y - slope * x) ** 2).sum()) / (len(y) - 1) / float(x @ x)
    return slope / math.sqrt(variance) if variance > 0 else math.nan, slope
