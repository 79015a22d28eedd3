"""Does an event, or a full window, make the next one likelier? Dependence between neighbours.

It knows the order of the events among the observed sequences, and not where the gaps lay.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from memtrace.point_process.events import FloatArray, Int64Array

LAGS = 10


@dataclass(frozen=True)
class LjungBox:
    """Autocorrelations of window counts, and whether they are all zero."""

    lags: int
    statistic: float
    p_value: float
    box_pierce: float
    autocorrelation: tuple[float, ...]
    """At lags 1, 2, ..., `lags`."""
    reason: str | None = None
    """Why values are NaN."""


@dataclass(frozen=True)
class Runs:
    """Runs of events and of others, and transitions between neighbouring sequences."""

    runs: int
    expected: float
    """Number of runs in random order."""
    variance: float
    z: float
    p_value: float
    """Exact, two-sided: of the number of blocks of neighbouring events, which is hypergeometric in
    random order. That number is half of the runs, and fixes the transitions, up to the two ends."""
    transitions: tuple[int, int, int, int]
    """Neighbours (no, no), (no, event), (event, no), (event, event)."""
    markov_g2: float
    """Likelihood ratio of a first-order Markov chain against independence, chi-squared on 1."""
    markov_x2: float
    """Pearson's statistic of the same table."""
    reason: str | None = None
    """Why values are NaN."""


def ljung_box(values: FloatArray | Int64Array, lags: int = LAGS) -> LjungBox:
    """Test for autocorrelation (Ljung and Box 1978): W (W + 2) sum r_k^2 / (W - k).

    Args:
        values: Counts of equal windows, or their residuals: a short window would stand out.
        lags: How many autocorrelations.
    """
    lags = min(lags, len(values) - 2)
    if lags < 1 or values.min() == values.max():
        reason = "too few windows" if lags < 1 else "all counts are equal"
        return LjungBox(max(lags, 0), math.nan, math.nan, math.nan, (), reason)
    # statsmodels correlates all W lags with each other: 24 s for Pythia's 286,000 windows.
    w, centred = len(values), values - values.mean()
    r = np.array([centred[k:] @ centred[:-k] for k in range(1, lags + 1)]) / (centred @ centred)
    statistic = w * (w + 2) * float((r**2 / (w - np.arange(1, lags + 1))).sum())
    return LjungBox(
        lags,
        statistic,
        float(stats.chi2.sf(statistic, lags)),
        w * float((r**2).sum()),
        tuple(map(float, r)),
    )


def runs(ranks: Int64Array, total: int) -> Runs:
    """Test whether events come in runs, given their number (Wald and Wolfowitz 1940).

    Args:
        ranks: Ascending ranks of the events among the observed sequences.
        total: Observed sequences.
    """
    n, nan = len(ranks), math.nan
    if n in (0, total):
        reason = "no events" if n == 0 else "every observed sequence is an event"
        return Runs(int(total > 0), nan, nan, nan, nan, (0, 0, 0, 0), nan, nan, reason)
    both = int((np.diff(ranks) == 1).sum())
    # Every event but one at the very end is followed by something, and so is what it follows.
    out, into = n - int(ranks[-1] == total - 1), n - int(ranks[0] == 0)
    table = np.array([[total - 1 - out - into + both, into - both], [out - both, both]])
    number = 1 + int(table[0, 1] + table[1, 0])
    expected = 1 + 2 * n * (total - n) / total
    variance = (expected - 1) * (expected - 2) / (total - 1) if total > 1 else nan
    z = (number - expected) / math.sqrt(variance) if variance > 0 else nan
    margins = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(table.sum(), 1)
    g2, x2 = _table_statistics(table, margins)
    return Runs(
        number,
        expected,
        variance,
        z,
        _blocks_p(n - both, n, total),
        (int(table[0, 0]), int(table[0, 1]), int(table[1, 0]), int(table[1, 1])),
        g2,
        x2,
        None if variance > 0 else "there is but one arrangement",
    )


def _blocks_p(blocks: int, n: int, total: int) -> float:
    """Return the central p-value of k blocks: chance C(n - 1, k - 1) C(T - n + 1, k) / C(T, n)."""
    law = stats.hypergeom(total, total - n + 1, n)
    return min(1.0, 2 * min(float(law.cdf(blocks)), float(law.sf(blocks - 1))))


def _table_statistics(table: Int64Array, expected: FloatArray) -> tuple[float, float]:
    if (expected == 0).any():
        return math.nan, math.nan
    g2 = 2 * float(special.xlogy(table, table / expected).sum())
    return g2, float(((table - expected) ** 2 / expected).sum())
