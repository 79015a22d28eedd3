"""How much more do counts vary over long stretches of training than in random order?

Shocks that last for several steps add to the variance of a trend far more than to that of the
counts of single steps.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray

WAVES = 8
"""Slowest waves that count. Few of them see shocks that last long; the price is a t on 8 degrees
of freedom, which widens intervals by 18%."""
WINDOWS_PER_WAVE, EVENTS_PER_WAVE = 4, 5


@dataclass(frozen=True)
class LongRun:
    """Variance of the slowest waves in the counts, about a fitted rate."""

    value: float
    """Relative to random order."""
    degrees_of_freedom: int
    """Number of waves: value times it is chi-squared in random order."""
    p_over: float
    """Probability of a value at least as large in random order."""


def long_run_variance(
    windows: Windows, expected: FloatArray, share: float, design: FloatArray
) -> LongRun | None:
    """Measure the variance at the slowest frequencies; None if windows or events are too few.

    The mean square of the residuals' projections on the first cosines, made orthogonal to what was
    fitted: then it is independent of the estimates, which relative to it have Student's t
    distribution on as many degrees of freedom, also where shocks last long (Phillips 2005; Mueller
    2014; Lazarus, Lewis, Stock and Watson 2018).

    Args:
        windows: Counts, W windows in order.
        expected: Fitted counts, shape (W,).
        share: Share of the sequences that are events.
        design: Columns of the log-linear rate, shape (W, k).
    """
    waves = min(
        WAVES, len(expected) // WINDOWS_PER_WAVE, int(windows.counts.sum()) // EVENTS_PER_WAVE
    )
    if waves < 2 or share >= 1:
        return None
    root = np.sqrt(expected)
    residual = (windows.counts - expected) / (root * np.sqrt(1 - share))
    passed = (np.cumsum(expected) - expected / 2) / expected.sum()
    cosines = np.cos(np.pi * np.outer(passed, np.arange(1, waves + 1)))
    columns = root[:, None] * np.column_stack((design, cosines))
    basis = np.linalg.qr(columns)[0][:, design.shape[1] :]
    value = float(((basis.T @ residual) ** 2).mean())
    return LongRun(value, waves, float(stats.chi2.sf(value * waves, waves)))
