"""Two runs on the texts that both scanned: how well the first tells what the second memorized.

Texts are the units, near-copies one: so counts are multinomial over (both, first alone, second
alone, neither). Precision, recall and Jaccard's index are binomial shares given their denominator,
and have exact intervals (Clopper and Pearson 1934). F1 = 2 J / (1 + J) increases with Jaccard's
index J, so that its interval is that of J, transformed. Matthews' correlation coefficient has the
interval of the delta method, on the scale of its Fisher transform.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.shares import Z
from memtrace.types import UNDEFINED, Interval

EACH = 0.975
"""Confidence of each of two intervals that hold together with 95% (Bonferroni)."""


@dataclass(frozen=True)
class Measure:
    """A number with its interval."""

    value: float
    """NaN where it is not defined."""
    ci95: Interval


@dataclass(frozen=True)
class Agreement:
    """Texts by what two runs memorized."""

    both: int
    first: int
    """Memorized by the first run, whatever the second did."""
    second: int
    """Memorized by the second run."""
    texts: int
    """Scanned by both runs."""

    @property
    def either(self) -> int:
        """Return how many one of the two memorized, or both."""
        return self.first + self.second - self.both

    @cached_property
    def precision(self) -> Measure:
        """Return the share of what the first memorized that the second did: both / first."""
        return share(self.both, self.first)

    @cached_property
    def recall(self) -> Measure:
        """Return the share of what the second memorized that the first did: both / second."""
        return share(self.both, self.second)

    @cached_property
    def jaccard(self) -> Measure:
        """Return Jaccard's index, both / either."""
        return share(self.both, self.either)

    @cached_property
    def f1(self) -> Measure:
        """Return the harmonic mean of precision and recall, 2 both / (first + second)."""
        j = self.jaccard
        low, high = (2 * end / (1 + end) for end in j.ci95)
        return Measure(2 * j.value / (1 + j.value), (low, high))

    @cached_property
    def mcc(self) -> Measure:
        """Return Matthews' correlation coefficient, phi of the 2 x 2 table (Matthews 1975)."""
        value = phi(self.both, self.first, self.second, self.texts)
        return Measure(value, _phi_interval(self, value))


def share(count: int, of: int, confidence: float = 0.95) -> Measure:
    """Return a share of texts with its exact interval; undefined without any."""
    if not of:
        return Measure(math.nan, UNDEFINED)
    low, high = binomial_interval(count, of, confidence)
    return Measure(count / of, (float(low), float(high)))


def phi(both: float, first: float, second: float, texts: float) -> float:
    """Return the correlation of two binary variables; NaN where one does not vary."""
    variances = first * (texts - first) * second * (texts - second)
    if variances <= 0:
        return math.nan
    return (texts * both - first * second) / math.sqrt(variances)


def _phi_interval(found: Agreement, value: float) -> Interval:
    """Return tanh(atanh(phi) -+ z se / (1 - phi^2)), with a count of 1/2 added to every cell.

    The standard error is that of the delta method for a multinomial table (Bishop, Fienberg and
    Holland 1975, section 14.6).
    """
    if math.isnan(value):
        return UNDEFINED
    both = found.both + 0.5
    first, second, n = found.first + 1.0, found.second + 1.0, found.texts + 2.0
    centre = phi(both, first, second, n)
    se = _phi_error(both / n, first / n, second / n, centre, n)
    middle, half = math.atanh(centre), Z * se / (1 - centre**2)
    low, high = math.tanh(middle - half), math.tanh(middle + half)
    return min(low, value), max(high, value)


def _phi_error(both: float, p: float, q: float, r: float, n: float) -> float:
    """Return the standard error of phi: that of its influence on each cell, exactly."""
    cells = np.array([both, p - both, q - both, 1 - p - q + both])
    x = (np.array([1, 1, 0, 0]) - p) / math.sqrt(p * (1 - p))
    y = (np.array([1, 0, 1, 0]) - q) / math.sqrt(q * (1 - q))
    influence = x * y - r * (x**2 + y**2) / 2
    return math.sqrt(float(cells @ influence**2) / n)
