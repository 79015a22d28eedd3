"""The mean of a paired difference, added up block by block: each text counts once."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.types import UNDEFINED, Interval


@dataclass(frozen=True)
class MeanDifference:
    """The mean of independent differences, with what is needed to add more of them."""

    texts: int
    mean: float
    """NaN without texts."""
    squares: float
    """Sum of the squares about the mean."""

    @property
    def standard_error(self) -> float:
        """Return the standard error of the mean; NaN with fewer than two texts."""
        if self.texts < 2:
            return math.nan
        return math.sqrt(self.squares / (self.texts - 1) / self.texts)

    @property
    def reason(self) -> str | None:
        """Return why there is no interval, or None."""
        if self.texts < 2:
            return "fewer than two texts were scanned by both"
        return (
            None
            if self.standard_error > 0
            else "all texts differ alike: the error cannot be estimated"
        )

    @property
    def ci95(self) -> Interval:
        """Return the interval of Student's t; undefined where the error is 0."""
        if self.reason:
            return UNDEFINED
        half = float(stats.t.ppf(0.975, self.texts - 1)) * self.standard_error
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of a mean of 0; NaN where the error is 0 or undefined."""
        if not self.standard_error > 0:
            return math.nan
        return 2 * float(stats.t.sf(abs(self.mean) / self.standard_error, self.texts - 1))

    def plus(self, other: "MeanDifference") -> "MeanDifference":
        """Return the mean of both (Chan, Golub and LeVeque 1983)."""
        n = self.texts + other.texts
        if not self.texts or not other.texts:
            return self if self.texts else other
        apart = other.mean - self.mean
        mean = self.mean + apart * other.texts / n
        between = apart**2 * self.texts * other.texts / n
        return MeanDifference(n, mean, self.squares + other.squares + between)

    def minus(self, other: "MeanDifference") -> tuple[float, Interval]:
        """Return this mean minus that of other texts, and its interval (Welch 1947)."""
        apart = self.mean - other.mean
        parts = [each.standard_error**2 for each in (self, other)]
        total = sum(parts)
        if not total > 0:
            return apart, UNDEFINED
        freedom = total**2 / sum(
            part**2 / (each.texts - 1) for part, each in zip(parts, (self, other), strict=True)
        )
        half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)
        return apart, (apart - half, apart + half)


def mean_difference(values: npt.ArrayLike) -> MeanDifference:
    """Return the mean of differences, one of each text, shape (n,)."""
    found = np.asarray(values, float)
    if not len(found):
        return MeanDifference(0, math.nan, 0.0)
    mean = float(found.mean())
    return MeanDifference(len(found), mean, float(((found - mean) ** 2).sum()))
