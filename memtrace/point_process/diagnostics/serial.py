"""Does an event, or a full window, make the next one likelier? Dependence between neighbours.

Only the order of the events among the observed sequences counts, not where the gaps lay.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from memtrace.types import FloatArray, Int64Array

LAGS = 10
SHORT = 500
"""Windows below which chi-squared rejects too often: 6.4% of 79 windows in random order, not 5%."""
DRAWS = 499


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


def ljung_box(
    values: FloatArray | Int64Array, lags: int = LAGS, rng: np.random.Generator | None = None
) -> LjungBox:
    """Test for autocorrelation (Ljung and Box 1978): W (W + 2) sum r_k^2 / (W - k).

    Args:
        values: Counts of equal windows, or their residuals: a short window would stand out.
        lags: How many autocorrelations.
        rng: Shuffles a short series for its p-value; without it that is chi-squared's.
    """
    lags = min(lags, len(values) - 2)
    if lags < 1 or values.min() == values.max():
        reason = "too few windows" if lags < 1 else "all counts are equal"
        return LjungBox(max(lags, 0), math.nan, math.nan, math.nan, (), reason)
    w = len(values)
    r = _autocorrelation(values[None], lags)[0]
    statistic = float(_box(r, w))
    p_value = float(stats.chi2.sf(statistic, lags))
    if rng is not None and w < SHORT:
        shuffled = rng.permuted(np.tile(values, (DRAWS, 1)), axis=1)
        null = _box(_autocorrelation(shuffled, lags), w)
        p_value = float((1 + (null >= statistic * (1 - 1e-12)).sum()) / (DRAWS + 1))
    return LjungBox(lags, statistic, p_value, w * float((r**2).sum()), tuple(map(float, r)))


def _autocorrelation(values: FloatArray | Int64Array, lags: int) -> FloatArray:
    """Return the first autocorrelations `(draws, lags)` of series `(draws, W)`."""
    # statsmodels correlates all W lags with each other: 24 s for Pythia's 286,000 windows.
    centred = values - values.mean(axis=1, keepdims=True)
    products = [(centred[:, k:] * centred[:, :-k]).sum(axis=1) for k in range(1, lags + 1)]
    r: FloatArray = np.stack(products, axis=1) / (centred**2).sum(axis=1, keepdims=True)
    return r


def _box(r: FloatArray, w: int) -> FloatArray:
    statistic: FloatArray = w * (w + 2) * (r**2 / (w - np.arange(1, r.shape[-1] + 1))).sum(axis=-1)
    return statistic


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
    distribution = stats.hypergeom(total, total - n + 1, n)
    return min(1.0, 2 * min(float(distribution.cdf(blocks)), float(distribution.sf(blocks - 1))))


def _table_statistics(table: Int64Array, expected: FloatArray) -> tuple[float, float]:
    if (expected == 0).any():
        return math.nan, math.nan
    g2 = 2 * float(special.xlogy(table, table / expected).sum())
    return g2, float(((table - expected) ** 2 / expected).sum())
