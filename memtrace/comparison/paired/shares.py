"""The same texts asked of two models: a 2 x 2 table, McNemar's exact test, and intervals.

A text counts once, however many copies it has: copies get one answer.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize, special

from memtrace.point_process.contrasts import RateRatio, compare_rates
from memtrace.types import UNDEFINED, Interval

Z95 = float(special.ndtri(0.975))


@dataclass(frozen=True)
class PairedShares:
    """Texts that both models were asked for, by who memorized them."""

    texts: int
    both: int
    """Memorized by both models."""
    baseline_only: int
    model_only: int

    @property
    def neither(self) -> int:
        """Return how many texts neither model memorized."""
        return self.texts - self.both - self.baseline_only - self.model_only

    @property
    def baseline_share(self) -> float:
        """Return the share that the baseline memorized; NaN without texts."""
        return self._share(self.both + self.baseline_only)

    @property
    def model_share(self) -> float:
        """Return the share that the other model memorized; NaN without texts."""
        return self._share(self.both + self.model_only)

    @property
    def difference(self) -> float:
        """Return the share of the model minus that of the baseline; NaN without texts."""
        return self._share(self.model_only - self.baseline_only)

    @property
    def difference_ci95(self) -> Interval:
        """Return the score interval of the difference (Tango 1998)."""
        return tango_interval(self.model_only, self.baseline_only, self.texts)

    @property
    def p_value(self) -> float:
        """Return the exact two-sided p-value of equal shares (McNemar 1947).

        Of the texts that one model alone memorized, those of the first are binomial with chance
        1/2; the p-value is twice the smaller tail, 1 where there are none.
        """
        return self._only.p_value if self.texts else math.nan

    @property
    def odds_ratio(self) -> float:
        """Return the conditional odds ratio: texts of the model alone over those of the baseline.

        Infinite where the baseline alone has none, NaN where neither has.
        """
        return self._only.ratio

    @property
    def odds_ratio_ci95(self) -> Interval:
        """Return its exact interval, from that of a binomial share (Clopper and Pearson 1934)."""
        return self._only.interval()

    @property
    def _only(self) -> RateRatio:
        return compare_rates((self.model_only, self.baseline_only), (1, 1))

    def _share(self, n: int) -> float:
        return n / self.texts if self.texts else math.nan


def tango_interval(more: int, fewer: int, n: int) -> Interval:
    """Return the 95% score interval of a difference of paired shares, (more - fewer) / n.

    Tango (1998), Stat. Med. 17:891: the differences d at which (more - fewer - n d) /
    sqrt(n (2 q + d (1 - d))) is within 1.96, q the most likely chance of a pair of the second kind
    given d. At d = 0 this is McNemar's statistic.

    Args:
        more: Pairs of which only the first is a success.
        fewer: Pairs of which only the second is.
        n: All pairs; without any the interval is undefined.
    """
    if not n:
        return UNDEFINED
    middle = (more - fewer) / n
    # Wald's half width, never 0: the score's is of that order.
    width = Z95 * math.sqrt(more + fewer + Z95**2) / n
    low = _end(lambda d: _score(d, more, fewer, n) - Z95, middle, -width, -1.0)
    high = _end(lambda d: _score(d, more, fewer, n) + Z95, middle, width, 1.0)
    return low, high


def _score(d: float, more: int, fewer: int, n: int) -> float:
    linear = (2 * n - more + fewer) * d - more - fewer
    constant = -fewer * d * (1 - d)
    root = math.sqrt(max(linear**2 - 8 * n * constant, 0.0))
    # The larger root of 2 n q^2 + linear q + constant, without subtracting what is nearly equal.
    q = (root - linear) / (4 * n) if linear < 0 else -2 * constant / (linear + root or 1.0)
    variance = n * (2 * q + d * (1 - d))
    distance = more - fewer - n * d
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _end(excess: Callable[[float], float], middle: float, step: float, limit: float) -> float:
    """Return where `excess` changes its sign on the way from the middle to a limit."""
    sign = math.copysign(1.0, -step)  # of the score far below and far above
    near, far = middle, middle + step
    while abs(far) < 1 and sign * excess(far) < 0:
        near, far = far, far + 2 * (far - near)
    if abs(far) >= 1:
        far = limit * (1 - 1e-15)
        if sign * excess(far) < 0 or abs(near) >= abs(far):
            return limit
    return float(optimize.brentq(excess, near, far, xtol=1e-16, rtol=1e-12))
