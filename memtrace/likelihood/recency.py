"""How much longer ago, how much less known: the effect of exposure by its age, with a band.

The log-likelihood is regressed on the baseline in rows that the checkpoint had not seen, and the
mean residual of each bin of ages is compared with theirs. Where there are no such rows the oldest
bin stands for them, and the curve is relative to it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from memtrace.likelihood.difference import ROUNDING
from memtrace.likelihood.sums import Moments
from memtrace.types import FloatArray, Int64Array, Interval

FEW_ROWS = 30
"""Rows of a bin below which the band is that of drawn permutations."""
DRAWS = 9_999
LEVEL = 0.05
FEWEST = 3
"""Rows below which nothing can be compared with: a line through two leaves nothing."""


@dataclass(frozen=True)
class AgeBin:
    """Exposed rows of one range of ages."""

    steps_ago: tuple[int, int]
    """Steps between exposure and checkpoint: from, up to but not including."""
    n: int
    nats: float
    """Mean residual minus that of the rows it is compared with, nats a sequence."""
    standard_error: float
    ci95: Interval
    """For this bin alone."""
    band95: Interval
    """For all bins at once."""


@dataclass(frozen=True)
class Recency:
    """The effect of exposure by age, the youngest first."""

    bins: tuple[AgeBin, ...]
    relative: bool
    """Whether it is relative to the oldest bin, for want of unexposed rows."""
    critical: float
    """Standard errors to either side that make the band."""
    p_value: float
    """That no bin differs: of the largest difference in standard errors."""
    drawn: bool
    """Whether the band is that of drawn permutations, since a bin has few rows."""
    reason: str | None = None
    """Why there is no curve."""

    @property
    def largest(self) -> AgeBin | None:
        """Return the bin of the largest difference among those whose band leaves out 0, or None.

        So a bin of few rows is not named for its noise.
        """
        clear = [one for one in self.bins if one.band95[0] > 0 or one.band95[1] < 0]
        return max(clear, key=lambda one: abs(one.nats), default=None)

    @property
    def retention(self) -> float:
        """Return the difference of the oldest bin over the largest.

        NaN where it is relative, where no bin differs, and where there is one bin: nothing has had
        time to fade.
        """
        if self.largest is None or self.relative or len(self.bins) < 2 or not self.largest.nats:
            return math.nan
        return self.bins[-1].nats / self.largest.nats


def age_edges(oldest: int) -> list[int]:
    """Return the ends of the bins of ages in steps: 0, 1, 2, 4, 8, ... until beyond `oldest`."""
    edges = [0, 1]
    while edges[-1] <= oldest:
        edges.append(2 * edges[-1])
    return edges


def recency_curve(
    ages: Sequence[tuple[int, int]],
    bins: Sequence[Moments],
    unexposed: Moments,
    pool: FloatArray,
    seed: int | np.random.SeedSequence = 0,
) -> Recency:
    """Compare each bin of ages with the unexposed rows, or with the oldest bin.

    SE^2 = s_k^2 / n_k + s_0^2 / n_0. The band is Dunnett's (1955, J. Am. Stat. Assoc. 50:1096) of
    several means against one control, normal with the variances found. Where a bin has fewer than
    30 rows it has the variance of all bins, and the band is the 95% point of the largest difference
    when residuals are drawn for the small bins.

    Args:
        ages: Range of ages of each bin in steps, the youngest first.
        bins: Moments of each; empty bins are left out.
        unexposed: Of the unexposed rows.
        pool: Pairs of baseline and log-likelihood to draw residuals from, shape (n, 2).
        seed: Of the drawn residuals.
    """
    known = [(age, one) for age, one in zip(ages, bins, strict=True) if one.n]
    relative = unexposed.n < FEWEST
    reference = known.pop()[1] if relative and known else unexposed
    if not known or reference.n < FEWEST:
        return Recency((), relative, math.nan, math.nan, drawn=False, reason=_reason(relative))
    means, errors, few = _compared([one for _, one in known], reference)
    base = _error(reference, reference.slope)
    if base <= ROUNDING * abs(reference.y):
        reason = "the rows that are compared with do not vary"
        return Recency((), relative, math.nan, math.nan, drawn=False, reason=reason)
    family: _Dunnett | _Draws = _Dunnett(base / errors)
    if few.any():
        counts = np.array([one.n for _, one in known])
        family = _drawn(counts, few, errors, base, _residuals(pool, reference.slope), seed)
    critical = family.critical()
    largest = float(np.abs(means / errors).max())
    places = zip(known, means.tolist(), errors.tolist(), strict=True)
    return Recency(
        tuple(_bin(age, one.n, mean, error, critical) for (age, one), mean, error in places),
        relative,
        critical,
        family.tail(largest),
        drawn=bool(few.any()),
    )


def _reason(relative: bool) -> str:
    if relative:
        return "fewer than two ranges of ages, and no unexposed row to compare them with"
    return "no exposed row"


def _compared(
    bins: Sequence[Moments], reference: Moments
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return differences, their standard errors, and which bins have few rows, (bins,) each."""
    slope = reference.slope
    intercept = reference.y - slope * reference.b
    means = np.array([one.residual_mean(intercept, slope) for one in bins])
    counts = np.array([one.n for one in bins])
    squares = np.array([one.residual_squares(slope) for one in bins])
    few = counts < FEW_ROWS
    pooled = float(squares.sum()) / max(int((counts - 1).sum()), 1)
    variances = np.where(few, pooled, squares / np.maximum(counts - 1, 1))
    return means, np.sqrt(variances / counts + _error(reference, slope) ** 2), few


def _error(reference: Moments, slope: float) -> float:
    """Return the standard error of the mean residual of the rows that are compared with."""
    return math.sqrt(reference.residual_squares(slope) / (reference.n - 2) / reference.n)


def _residuals(pool: FloatArray, slope: float) -> FloatArray:
    left = pool[:, 1] - slope * pool[:, 0]
    return np.asarray(left - left.mean())


def _bin(age: tuple[int, int], n: int, mean: float, error: float, critical: float) -> AgeBin:
    z = float(stats.norm.isf(LEVEL / 2))
    alone, band = ((mean - c * error, mean + c * error) for c in (z, critical))
    return AgeBin(age, n, mean, error, alone, band)


class _Dunnett:
    """The largest of several normal differences from one control, in standard errors."""

    def __init__(self, shared: FloatArray) -> None:
        """Begin.

        Args:
            shared: Standard error of the control over that of each difference, (bins,).
        """
        self._shared = np.minimum(shared, 1 - 1e-9)[:, None]
        nodes, weights = np.polynomial.hermite_e.hermegauss(64)
        self._nodes, self._weights = nodes, weights / weights.sum()

    def tail(self, largest: float) -> float:
        """Return the chance of at least this; NaN of NaN."""
        own = np.sqrt(1 - self._shared**2)
        ends = ((sign * largest + self._shared * self._nodes) / own for sign in (1, -1))
        high, low = ends
        inside = (stats.norm.cdf(high) - stats.norm.cdf(low)).prod(axis=0)
        chance = float(self._weights @ inside)
        # Far out the integral is 1 to the last digit: there Bonferroni's bound is the value.
        far = len(self._shared) * 2 * float(stats.norm.sf(largest))
        return far if far < 1e-6 else 1 - chance

    def critical(self) -> float:
        """Return what is exceeded in 5% of cases."""
        return float(optimize.brentq(lambda c: self.tail(c) - LEVEL, 1.0, 20.0))


class _Draws:
    """The largest difference as drawn."""

    def __init__(self, largest: FloatArray) -> None:
        """Take the draws, (draws,)."""
        self._largest = largest

    def tail(self, largest: float) -> float:
        """Return the share of draws at least as large, the one that was seen among them."""
        if math.isnan(largest):
            return math.nan
        return float(1 + (self._largest >= largest).sum()) / (1 + len(self._largest))

    def critical(self) -> float:
        """Return what is exceeded in 5% of the draws."""
        return float(np.quantile(self._largest, 1 - LEVEL))


def _drawn(
    counts: Int64Array,
    few: npt.NDArray[np.bool_],
    errors: FloatArray,
    base: float,
    residuals: FloatArray,
    seed: int | np.random.SeedSequence,
) -> _Draws:
    """Draw residuals for the bins with few rows, normal means for the others."""
    rng = np.random.default_rng(seed)
    control = rng.normal(0, base, DRAWS)
    largest = np.zeros(DRAWS)
    for n, small, error in zip(counts.tolist(), few, errors.tolist(), strict=True):
        if small:
            means = rng.choice(residuals, (DRAWS, n)).mean(axis=1)
        else:
            means = rng.normal(0, math.sqrt(max(error**2 - base**2, 0.0)), DRAWS)
        np.maximum(largest, np.abs(means - control) / error, out=largest)
    return _Draws(largest)
