"""Rank correlation of training order and log-likelihood: exact values, or fixed bins of them.

Positions are distinct, so their ranks are 0, 1, ...; values get mid-ranks. In bins only the count
and the sum of positions of each are kept, which is exact for the binned values.
"""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.report.numbers import count
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

ENUMERATED, DRAWN, DRAWS = 10, 100, 9_999
"""Rows below which all permutations are taken, and below which so many are drawn."""
ROUNDING = 1e-12
"""Share of a sum of squares below which what is left of it is rounding."""
ALL_EQUAL = "all values are the same"
NOTHING_LEFT = "given the baseline nothing is left to order"
BINS = 1 << 16
LONGEST = 32.0
"""Nats a token that the last bin holds and all beyond: a chance of 1e-14 for each token."""


@dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation; with a baseline, of what the baseline leaves of both ranks."""

    n: int
    rho: float
    z: float
    """Standard normal without any correlation."""
    p_value: float
    """Two-sided: of all permutations, of drawn ones or normal, as `n` allows."""
    ci95: Interval
    reason: str | None = None

    @property
    def detectable(self) -> float:
        """Return the correlation that rows as many show with 80% power at 5%: 2.8 / sqrt(n - 1).

        NaN where that is 1 or more: of so few rows one near 1 may show, or none.
        """
        quantiles = float(stats.norm.isf(0.025) + stats.norm.ppf(0.8))
        least = quantiles / math.sqrt(self.n - 1) if self.n > 1 else math.inf
        return least if least < 1 else math.nan


def rank_correlation(values: FloatArray, seed: int | np.random.SeedSequence = 0) -> RankCorrelation:
    """Correlate the ranks of values with their order (Spearman 1904).

    The interval is tanh(atanh rho -+ 1.96 sqrt((1 + rho^2 / 2) / (n - 3))) (Bonett and Wright 2000,
    Psychometrika 65:23); the p-value that of all permutations below 10 rows, of 9,999 drawn ones
    below 100, else ``2 sf(|rho| sqrt(n - 1))``.

    Args:
        values: In order of training, shape (n,).
        seed: Of the drawn permutations.
    """
    n = len(values)
    ranks = stats.rankdata(values) - (n + 1) / 2
    places = np.arange(n) - (n - 1) / 2
    rho = _correlation(float(places @ ranks), float(places @ places), float(ranks @ ranks))
    if n >= DRAWN or math.isnan(rho):
        return _of_rho(rho, n, None)
    ours = abs(float(places @ ranks)) * (1 - 1e-12)
    if n < ENUMERATED:
        sums = np.array(list(permutations(places))) @ ranks
        return _of_rho(rho, n, float((np.abs(sums) >= ours).mean()))
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(places, (DRAWS, 1)), axis=1) @ ranks
    return _of_rho(rho, n, float(1 + (np.abs(drawn) >= ours).sum()) / (1 + DRAWS))


def partial_correlation(values: FloatArray, baseline: FloatArray) -> RankCorrelation:
    """Correlate what a baseline leaves of the ranks of values and of their order.

    Residuals of rank(order) and rank(value) on rank(baseline), their Pearson correlation r; p is
    ``2 sf(|r| sqrt(n - 2))``, the interval that of `rank_correlation` with one row less.

    Args:
        values: In order of training, shape (n,).
        baseline: Of the same rows.
    """
    n = len(values)
    places = np.asarray(np.arange(n) - (n - 1) / 2, float)
    y, b = (np.asarray(stats.rankdata(one), float) - (n + 1) / 2 for one in (values, baseline))
    squares = float(b @ b)
    left = [_without(one, b, squares) for one in (places, y)]
    r = _correlation(*(float(x @ z) for x, z in (left, [left[0]] * 2, [left[1]] * 2)))
    return _of_rho(r, n, None, covariates=1, nothing=NOTHING_LEFT if y.any() else ALL_EQUAL)


def bins_of(values: FloatArray, tokens: int) -> Int64Array:
    """Return the bin of each log-likelihood, ascending with it: equal steps of its square root.

    So bins are narrowest near 0, where the memorized ones are: 0.008 nats wide at -64, 3e-5 at
    -0.001, of continuations of 32 tokens.

    Args:
        values: Log-likelihoods of at most 0, shape (n,).
        tokens: Of a continuation.
    """
    scale = BINS / math.sqrt(LONGEST * tokens)
    bins = np.sqrt(np.maximum(-values, 0.0)) * scale
    found: Int64Array = BINS - 1 - np.minimum(bins, BINS - 1).astype(np.int64)
    return found


class BinnedRanks:
    """How many rows each bin of values has, and the sum of their positions."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.counts: Int64Array = np.zeros(BINS, np.int64)
        self.positions: FloatArray = np.zeros(BINS)
        self.n = 0

    def add(self, bins: Int64Array) -> None:
        """Add a block of rows, which follow those before them in training, by their bins."""
        if not len(bins):
            return
        self.counts += np.bincount(bins, minlength=BINS)
        # Sums of whole numbers: exact up to 2^53 in each bin.
        self.positions += np.bincount(bins, np.arange(self.n, self.n + len(bins)), minlength=BINS)
        self.n += len(bins)

    def after(self, other: "BinnedRanks") -> "BinnedRanks":
        """Return these rows and others that all come before them in training."""
        both = BinnedRanks()
        both.counts = self.counts + other.counts
        both.positions = other.positions + self.positions + other.n * self.counts
        both.n = self.n + other.n
        return both

    def correlation(self) -> RankCorrelation:
        """Return the rank correlation of the binned values and their order."""
        n, counts = self.n, self.counts.astype(float)
        ranks = np.cumsum(counts) - counts / 2 - n / 2
        centred = self.positions - counts * (n - 1) / 2
        places = n * (n**2 - 1) / 12
        rho = _correlation(float(ranks @ centred), places, float(counts @ ranks**2))
        return _of_rho(rho, n, None)


def compare_ranks(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return the two-sided p-value that two groups have one distribution, from counts in bins.

    Mann and Whitney (1947), normal, with the variance of tied values; NaN where a group is empty
    or all values are tied.

    Args:
        one: Rows of the first group in each of ascending bins, shape (bins,).
        other: Those of the second.
    """
    x, y = np.asarray(one, float), np.asarray(other, float)
    m, n, both = x.sum(), y.sum(), x + y
    total = m + n
    ranks = np.cumsum(both) - both / 2
    excess = float(x @ ranks - m * total / 2)
    ties = float((both**3 - both).sum()) / (total * (total - 1)) if total > 1 else math.nan
    variance = m * n / 12 * (total + 1 - ties)
    return float(2 * stats.norm.sf(abs(excess) / math.sqrt(variance))) if variance > 0 else math.nan


def _without(values: FloatArray, b: FloatArray, squares: float) -> FloatArray:
    """Return what b leaves of centred values; zeros where that is rounding."""
    left: FloatArray = values - (b @ values / squares if squares else 0.0) * b
    return left if float(left @ left) > ROUNDING * float(values @ values) else np.zeros(len(left))


def _correlation(xy: float, xx: float, yy: float) -> float:
    return min(max(xy / math.sqrt(xx * yy), -1.0), 1.0) if xx > 0 and yy > 0 else math.nan


def _of_rho(
    rho: float,
    n: int,
    p_permuted: float | None,
    covariates: int = 0,
    nothing: str = ALL_EQUAL,
) -> RankCorrelation:
    if math.isnan(rho):
        reason = f"{count(n, 'row')}: no order to test" if n < 2 else nothing
        return RankCorrelation(n, math.nan, math.nan, math.nan, UNDEFINED, reason)
    z = rho * math.sqrt(max(n - 1 - covariates, 0))
    p = float(2 * stats.norm.sf(abs(z))) if p_permuted is None else p_permuted
    return RankCorrelation(n, rho, z, p, _interval(rho, n - 3 - covariates))


def _interval(rho: float, freedom: int) -> Interval:
    if freedom < 1:
        return -1.0, 1.0
    if abs(rho) == 1:
        # Beside the end there is the correlation of ranks of which two neighbours are exchanged.
        n = freedom + 3
        end = _interval(1 - 12 / (n * (n**2 - 1)), freedom)[0]
        return (end, 1.0) if rho > 0 else (-1.0, -end)
    half = float(stats.norm.isf(0.025)) * math.sqrt((1 + rho**2 / 2) / freedom)
    centre = math.atanh(rho)
    return math.tanh(centre - half), math.tanh(centre + half)
