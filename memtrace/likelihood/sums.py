"""Second moments of log-likelihoods and a baseline in ranges of rows, added block by block.

The sums are taken about a fixed centre, so that they lose nothing where values are far from 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from memtrace.types import FloatArray, Int64Array

ROUNDING = 1e-12
"""Share of a sum of squares below which what is left of it is rounding."""


@dataclass(frozen=True)
class Moments:
    """What the rows of a group add up to; b is the baseline, y the log-likelihood."""

    n: int
    b: float
    """Mean of b."""
    y: float
    """Mean of y."""
    bb: float
    """Sum of squares of b about its mean."""
    by: float
    """Sum of products of b and y about their means."""
    yy: float
    """Sum of squares of y about its mean."""

    @property
    def variance(self) -> float:
        """Return the variance of y; NaN below 2 rows."""
        return self.yy / (self.n - 1) if self.n > 1 else math.nan

    @property
    def slope(self) -> float:
        """Return the least-squares slope of y on b, 0 where b is the same in every row."""
        return self.by / self.bb if self.bb > 0 else 0.0

    def residual_mean(self, intercept: float, slope: float) -> float:
        """Return the mean of y - intercept - slope b; NaN without rows."""
        return self.y - intercept - slope * self.b

    def residual_squares(self, slope: float) -> float:
        """Return the sum of squares of y - slope b about its mean; 0 where it is rounding."""
        left = self.yy - 2 * slope * self.by + slope**2 * self.bb
        return left if left > ROUNDING * (self.yy + slope**2 * self.bb) else 0.0


class Sums:
    """The sums of each of several ranges of rows."""

    def __init__(self, ranges: int, centre: tuple[float, float]) -> None:
        """Begin with nothing.

        Args:
            ranges: How many ranges there are.
            centre: A baseline and a log-likelihood about which sums are taken.
        """
        self._centre = centre
        self._table = np.zeros((ranges, 6))

    def add(self, ends: Int64Array, b: FloatArray, y: FloatArray) -> None:
        """Add a block of rows in order of the ranges.

        Args:
            ends: Where in the block each range begins, and the end of the last, (ranges + 1,).
            b: Baselines, (n,).
            y: Log-likelihoods, (n,).
        """
        x, z = b - self._centre[0], y - self._centre[1]
        for place in np.flatnonzero(np.diff(ends)):
            part = slice(int(ends[place]), int(ends[place + 1]))
            u, v = x[part], z[part]
            self._table[place] += len(u), u.sum(), v.sum(), u @ u, u @ v, v @ v

    def moments(self, first: int, stop: int) -> Moments:
        """Return the moments of the ranges [first, stop) together."""
        n, b, y, bb, by, yy = self._table[first:stop].sum(axis=0).tolist()
        if not n:
            return Moments(0, math.nan, math.nan, 0.0, 0.0, 0.0)
        mean_b, mean_y = b / n, y / n
        return Moments(
            int(n),
            self._centre[0] + mean_b,
            self._centre[1] + mean_y,
            max(bb - n * mean_b**2, 0.0),
            by - n * mean_b * mean_y,
            max(yy - n * mean_y**2, 0.0),
        )
