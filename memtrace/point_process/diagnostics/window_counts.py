"""The distribution of window counts: against a random order, and as Q-Q points against a Poisson.

Counts carry no order: sorting the windows changes nothing here.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.point_process import simulate
from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray, Int64Array

MAX_BARS = 40
DRAWS = 99
"""Random orders behind the band; the 95th smallest of 99 maxima bounds 95% of them."""


@dataclass(frozen=True, eq=False)
class Rootogram:
    """How many windows hold each number of events, and how many a random order would give."""

    edges: Int64Array
    """Bar b holds counts in [edges[b], edges[b + 1]), shape (bars + 1,)."""
    observed: Int64Array
    """Windows in each bar, shape (bars,)."""
    expected: FloatArray
    """Expected windows with at most one event a sequence (binomial counts), shape (bars,)."""
    band95: float
    """95% of random orders keep `|sqrt(observed) - sqrt(expected)|` within it in every bar."""

    @property
    def hanging(self) -> FloatArray:
        """Return sqrt(observed) - sqrt(expected): its noise is near 1/2 in every bar (Tukey)."""
        difference: FloatArray = np.sqrt(self.observed) - np.sqrt(self.expected)
        return difference


def rootogram(windows: Windows, rng: np.random.Generator) -> Rootogram:
    """Compare the frequencies of window counts with those of events in random order.

    Args:
        windows: Counts and exposures of at least one window with at least one event.
        rng: Draws the random orders of the band.
    """
    n_events = int(windows.counts.sum())
    edges = _edges(windows, n_events / int(windows.exposures.sum()))
    expected = expected_frequencies(windows, edges)
    largest = np.empty(DRAWS)
    for i in range(DRAWS):
        drawn = simulate.window_counts(windows.exposures, n_events, rng)
        roots = np.sqrt(np.histogram(drawn, edges)[0])
        largest[i] = np.abs(roots - np.sqrt(expected)).max()
    observed = np.histogram(windows.counts, edges)[0]
    band = np.sort(largest)[round(0.95 * (DRAWS + 1)) - 1]
    return Rootogram(edges, observed, expected, float(band))


def expected_frequencies(windows: Windows, edges: Int64Array) -> FloatArray:
    """Return the windows expected in each bar if every sequence is an event with equal chance.

    The count of a window of e observed sequences is binomial (e, p).
    """
    sizes, times = np.unique(windows.exposures, return_counts=True)
    p = windows.counts.sum() / windows.exposures.sum()
    below = np.asarray(stats.binom.cdf(edges[:, None] - 1, sizes, p), np.float64)
    return np.diff(below @ times)


def qq_points(counts: Int64Array) -> Int64Array:
    """Return Poisson quantile, window count and number of windows of each distinct Q-Q point.

    The i-th smallest of W counts is set against the Poisson quantile of i / (W + 1) at their mean,
    the construction of the Pythia paper's figure (`ProbPlot` of statsmodels). Shape (points, 3).
    """
    share = np.arange(1, len(counts) + 1) / (len(counts) + 1)
    quantiles = stats.poisson.ppf(share, counts.mean()).astype(np.int64)
    pairs, windows = np.unique(
        np.column_stack((quantiles, np.sort(counts))), axis=0, return_counts=True
    )
    return np.column_stack((pairs, windows))


def global_envelope(windows: Windows, rng: np.random.Generator) -> tuple[Int64Array, Int64Array]:
    """Return between which numbers of windows hold at most k events in random order, for each k.

    19 of 20 random orders stay inside for every k at once: each k has the same binomial tail, as
    small as the smallest one of 95% of the draws (a global envelope; Myllymaki et al. 2017). Two
    arrays of shape (most events + 2,).
    """
    n_events, total = int(windows.counts.sum()), len(windows.counts)
    p = n_events / int(windows.exposures.sum())
    most = int(stats.binom.isf(1e-9 / total, windows.exposures.max(), p)) + 2
    share = expected_frequencies(windows, np.arange(most + 1)).cumsum() / total
    binomial = stats.binom(total, np.minimum(share, 1.0))
    drawn = np.empty((DRAWS, most), np.int64)
    for i in range(DRAWS):
        counts = simulate.window_counts(windows.exposures, n_events, rng)
        drawn[i] = np.bincount(np.minimum(counts, most - 1), minlength=most).cumsum()
    smallest = np.minimum(binomial.cdf(drawn), binomial.sf(drawn - 1)).min(axis=1)
    level = np.sort(smallest)[round(0.05 * (DRAWS + 1)) - 1]
    fewest, most_windows = binomial.ppf(level), binomial.isf(level)
    return np.asarray(fewest, np.int64), np.asarray(most_windows, np.int64)


def _edges(windows: Windows, p: float) -> Int64Array:
    """Cut the range that holds all counts, seen and likely, into at most MAX_BARS equal bars."""
    tail = 0.01 / len(windows.counts)
    low = min(windows.counts.min(), stats.binom.ppf(tail, windows.exposures.min(), p))
    high = max(windows.counts.max(), stats.binom.isf(tail, windows.exposures.max(), p))
    width = int(-(-(high - low + 1) // MAX_BARS))
    return np.arange(int(low), int(high) + width + 1, width, dtype=np.int64)
