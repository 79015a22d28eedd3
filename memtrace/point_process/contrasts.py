"""Two parts of training against each other: as Poisson rates, or with at most one event a sequence.

The parts are given: halves, ends, the last steps, the sequences not yet trained on.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.errors import FitError
from memtrace.point_process.events import EventSequence
from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.models.piecewise import parts, tenths
from memtrace.point_process.models.trend import Equivalence, check_margin
from memtrace.point_process.shares import RateComparison, compare_shares
from memtrace.types import UNDEFINED, FloatArray, Interval

LEVEL = 0.05
HOLM, HOCHBERG = "holm", "hochberg"
BENJAMINI_HOCHBERG, BENJAMINI_YEKUTIELI = "benjamini-hochberg", "benjamini-yekutieli"
METHODS = (HOLM, HOCHBERG, BENJAMINI_HOCHBERG, BENJAMINI_YEKUTIELI)


def halves_and_ends(events: EventSequence) -> dict[str, RateComparison]:
    """Compare the second half of training with the first, and the last tenth with the first."""
    compared: dict[str, RateComparison] = {}
    cuts = {
        "second half against first": (events.n // 2,),
        "last tenth against first": tenths(events),
    }
    for name, where in cuts.items():
        if not all(0 < cut < events.n for cut in where) or not where:
            continue
        there = parts(events, where)
        if len(there.counts) == len(where) + 1:
            ends = (int(there.counts[-1]), int(there.counts[0]))
            compared[name] = compare_shares(
                ends, (int(there.exposures[-1]), int(there.exposures[0]))
            )
    return compared


def adjust_p_values(p_values: FloatArray | list[float], method: str = "holm") -> FloatArray:
    """Adjust p-values for their number; undefined ones stay so and do not count.

    Checkpoints of one model are strongly dependent: `holm` and `benjamini-yekutieli` hold for any
    dependence, `hochberg` and `benjamini-hochberg` do not.

    Raises:
        KeyError: There is no such method.
    """
    given = np.asarray(p_values, float)
    # Undefined ones are sorted last.
    order, m = np.argsort(given), int((~np.isnan(given)).sum())
    rank = np.arange(1, m + 1)
    factor = {
        HOLM: m + 1 - rank,
        HOCHBERG: m + 1 - rank,
        BENJAMINI_HOCHBERG: m / rank,
        BENJAMINI_YEKUTIELI: m / rank * (1 / rank).sum(),
    }[method]
    scaled = given[order[:m]] * factor
    # A larger p-value never becomes the smaller one: Holm steps down, the others step up.
    if method == HOLM:
        stepped = np.maximum.accumulate(scaled)
    else:
        stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    adjusted = np.full(given.shape, math.nan)
    adjusted[order[:m]] = np.minimum(stepped, 1.0)
    return adjusted


@dataclass(frozen=True)
class RateRatio:
    """Two Poisson rates, compared exactly given the sum of their counts.

    Where rates are equal the first count is binomial (n, r) of the sum n, with r the first's share
    of the exposure; at a ratio rho the chance is r rho / (r rho + 1 - r) (Przyborowski and
    Wilenski 1940). No large number is assumed, and the interval agrees with the p-value.
    """

    events: tuple[int, int]
    exposures: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Return the first rate over the second; NaN if both are 0, infinite if the second is."""
        (x, y), (s, t) = self.events, self.exposures
        return (x / s) / (y / t) if y else math.inf if x else math.nan

    def p_greater(self, ratio: float = 1.0) -> float:
        """Return the one-sided p-value of a true ratio of at most `ratio`."""
        return float(stats.binom.sf(self.events[0] - 1, sum(self.events), self._chance(ratio)))

    def p_less(self, ratio: float = 1.0) -> float:
        """Return the one-sided p-value of a true ratio of at least `ratio`."""
        return float(stats.binom.cdf(self.events[0], sum(self.events), self._chance(ratio)))

    @property
    def p_value(self) -> float:
        """Return the central p-value of equal rates: twice the smaller tail (Fay 2010)."""
        return min(1.0, 2 * min(self.p_greater(), self.p_less()))

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the exact interval of the ratio, from Clopper and Pearson's (1934) of the chance.

        It is unbounded on the side of a count of 0; undefined without events.
        """
        if not sum(self.events):
            return UNDEFINED
        ends = binomial_interval(self.events[0], sum(self.events), confidence)
        scale = self.exposures[1] / self.exposures[0]
        low, high = map(float, ends)
        return scale * low / (1 - low), scale * high / (1 - high) if high < 1 else math.inf

    def equivalence(self, margin: float) -> Equivalence:
        """Test by two exact one-sided tests whether the ratio lies within (1 / margin, margin).

        Schuirmann (1987); with an exact interval as in Wellek (2010).

        Raises:
            FitError: The margin is not above 1.
        """
        check_margin(margin)
        if not sum(self.events):
            return Equivalence(margin, None, math.nan)
        p_value = max(self.p_greater(1 / margin), self.p_less(margin))
        return Equivalence(margin, p_value < LEVEL, p_value)

    def _chance(self, ratio: float) -> float:
        first = ratio * self.exposures[0]
        return first / (first + self.exposures[1])


def compare_rates(events: tuple[int, int], exposures: tuple[float, float]) -> RateRatio:
    """Compare two Poisson rates; `compare_shares` knows of at most one event a sequence.

    Args:
        events: Events in each of the two parts.
        exposures: What was observed of each: sequences, steps, or time.

    Raises:
        FitError: A count is below 0 or not whole, or an exposure is not above 0.
    """
    if min(events) < 0 or any(count != int(count) for count in events):
        raise FitError(f"events {events} must be two whole numbers, at least 0")
    if not all(0 < exposure < math.inf for exposure in exposures):
        raise FitError(f"exposures {exposures} must be above 0 and finite")
    first, second = map(int, events)
    return RateRatio((first, second), exposures)
