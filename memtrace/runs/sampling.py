"""Scan a sample in place of everything: how the rows are drawn, and what they say of all rows.

It knows row numbers; what is decided about a row, and how, is the scan's affair.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from memtrace.errors import FitError, RunError
from memtrace.types import Int64Array


def draw(start: int, stop: int, n: int, seed: int) -> Int64Array:
    """Return a simple random sample of n rows of [start, stop), ascending, without replacement."""
    rng = np.random.default_rng(seed)
    return start + np.sort(rng.choice(stop - start, n, replace=False)).astype(np.int64)


@dataclass(frozen=True)
class Sample:
    """A sampling design; with the range of a run it fixes the rows, whatever shards are cut."""

    n: int
    """Rows drawn from the whole range of the run, without replacement."""
    seed: int
    stratum_rows: int | None = None
    """None: a simple random sample. Else strata of so many rows, each with its share of n."""

    def edges(self, start: int, stop: int) -> Int64Array:
        """Return the ends of the strata of [start, stop), `(strata + 1,)`.

        Strata end at multiples of `stratum_rows`; a shorter one at either end joins its neighbour.
        """
        width = self.stratum_rows or stop - start
        inner = range(-(-start // width) * width, stop, width)
        kept = [cut for cut in inner if start + width <= cut <= stop - width]
        return np.array([start, *kept, stop], dtype=np.int64)

    def rows(self, start: int, stop: int) -> Int64Array:
        """Return the rows of the sample of [start, stop), ascending.

        Raises:
            RunError: There are fewer rows than are to be drawn.
        """
        if not 0 < self.n <= stop - start:
            raise RunError(
                f"a sample of {self.n} was asked of {stop - start} sequences; ask for 1 to "
                f"{stop - start}"
            )
        return _rows(self, start, stop)


def stratify(n: int, seed: int, population: int, sequences_per_step: int) -> Sample:
    """Return a sample stratified by step: the finest strata of whole steps that hold two rows each.

    Two are needed to tell the variance within a stratum.
    """
    steps = -(-2 * population // (n * sequences_per_step))
    return Sample(n, seed, max(steps, 1) * sequences_per_step)


@lru_cache(maxsize=4)
def _rows(sample: Sample, start: int, stop: int) -> Int64Array:
    if sample.stratum_rows is None:
        return draw(start, stop, sample.n, sample.seed)
    edges = sample.edges(start, stop)
    # Python integers: n times rows passes 2^63 for no corpus, but costs nothing to exclude.
    shares = [int(edge - start) * sample.n // (stop - start) for edge in edges]
    rng = np.random.default_rng(sample.seed)
    strata = zip(edges[:-1], np.diff(edges), np.diff(shares), strict=True)
    return np.concatenate(
        [low + np.sort(rng.choice(size, n, replace=False)) for low, size, n in strata]
    )


@dataclass(frozen=True)
class CountEstimate:
    """What a sample says of the whole population, with the error of the sampling."""

    population: int
    """Rows that the sample stands for."""
    sampled: int
    events: int
    """Events among the sampled rows."""
    count: float
    """Estimated events in the population."""
    count_ci95: tuple[float, float]
    rate: float
    """Estimated events per row."""
    rate_ci95: tuple[float, float]


def estimate_count(
    events: npt.ArrayLike, rows: npt.ArrayLike, edges: npt.ArrayLike
) -> CountEstimate:
    """Estimate how many rows of a population are events, from a sample without replacement.

    The estimate weighs strata by their size. The interval is Clopper's and Pearson's at the
    effective sample size `p (1 - p) / var(p)` (Korn and Graubard, 1998, Survey Methodology 24),
    the variance with the finite-population correction 1 - n/N of every stratum; a full count has
    no error.

    Args:
        events: Sampled rows that are events.
        rows: All sampled rows.
        edges: Ends of the strata, `(strata + 1,)`; two numbers for a simple random sample. A
            stratum with fewer than two sampled rows joins the one before it.

    Raises:
        FitError: There are fewer than two rows, or an event outside the rows.
    """
    sample, found, ends = np.asarray(rows), np.asarray(events), np.asarray(edges)
    if len(sample) < 2 or not np.isin(found, sample).all():
        raise FitError(
            f"{len(sample)} sampled rows with {len(found)} events: an estimate needs at least 2 "
            "rows, and events among them"
        )
    ends = _with_two(sample, ends)
    n, x = (np.histogram(values, ends)[0] for values in (sample, found))
    sizes = np.diff(ends)
    population, weights, p = int(sizes.sum()), sizes / sizes.sum(), x / n
    rate = float(weights @ p)
    correction = 1 - n / sizes
    variance = float((weights**2 * correction * p * (1 - p) / (n - 1)).sum())
    if variance > 0:
        effective = rate * (1 - rate) / variance
    else:  # no event, or nothing but events: as if the sample were simple
        rest = 1 - len(sample) / population
        effective = (len(sample) - 1) / rest if rest else np.inf
    low, high = _clopper_pearson(rate, effective)
    return CountEstimate(
        population=population,
        sampled=len(sample),
        events=len(found),
        count=rate * population,
        count_ci95=(low * population, high * population),
        rate=rate,
        rate_ci95=(low, high),
    )


def _with_two(rows: Int64Array, edges: Int64Array) -> Int64Array:
    """Drop the edges between which fewer than two rows lie."""
    kept, ordered = [edges[0]], np.sort(rows)
    before = np.searchsorted(ordered, edges)
    taken = 0
    for edge, count in zip(edges[1:-1], before[1:-1], strict=True):
        if count - taken >= 2 and len(ordered) - count >= 2:
            kept.append(edge)
            taken = count
    return np.array([*kept, edges[-1]])


def _clopper_pearson(rate: float, n: float) -> tuple[float, float]:
    """Return the exact 95% interval of a proportion found in n trials, which need not be whole."""
    from scipy.special import betaincinv

    if not np.isfinite(n):
        return rate, rate
    x = rate * n
    low = float(betaincinv(x, n - x + 1, 0.025)) if x > 0 else 0.0
    high = float(betaincinv(x + 1, n - x, 0.975)) if x < n else 1.0
    return low, high
