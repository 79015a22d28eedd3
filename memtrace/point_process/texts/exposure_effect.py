"""Does training on a text make it memorized? Exposed texts against texts not yet exposed.

Order is random, so among texts of equal duplicate count exposure is randomised. Texts of different
counts are compared within equal counts, then combined: how likely no copy was seen depends on it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.point_process.shares import compare_shares, newcombe_interval
from memtrace.texts.exposure import CountStrata, ExposureClasses
from memtrace.types import FloatArray, Int64Array, Interval

NEYMAN_EVENTS = 5
"""Memorized texts, and others, in both groups from which on Neyman's interval is used, not
Newcombe's: where all of a group are alike its variance would be 0."""
EXACT_EVENTS = 2000
"""Memorized texts in all strata up to which the test of strata is exact."""


@dataclass(frozen=True)
class OnceEffect:
    """Texts that occur once: exposed ones minus unexposed ones."""

    exposed: tuple[int, int]
    """Memorized texts and all texts."""
    unexposed: tuple[int, int]
    """Likewise."""
    difference: float
    """Share of exposed texts that are memorized minus that of unexposed ones."""
    standard_error: float
    """Neyman (1923); NaN where a group has less than 2 texts."""
    neyman_ci95: Interval
    newcombe_ci95: Interval
    """Newcombe (1998): of the scores."""
    p_value: float
    """Fisher's exact test, central (twice the smaller tail)."""

    @property
    def ci95(self) -> Interval:
        """Return Neyman's interval where both groups have 5 events and others, else Newcombe's."""
        (x, s), (y, t) = self.exposed, self.unexposed
        many = min(x, s - x, y, t - y) >= NEYMAN_EVENTS
        return self.neyman_ci95 if many else self.newcombe_ci95


@dataclass(frozen=True)
class StratifiedEffect:
    """Texts of equal duplicate count, all counts together (Mantel and Haenszel 1959)."""

    strata: int
    """Duplicate counts of which there are texts in both groups."""
    statistic: float
    """Chi-squared with 1 degree of freedom, without continuity correction."""
    odds_ratio: float
    p_value: float
    p_value_exact: float
    """Conditional on all margins, all results that are no likelier; NaN above `EXACT_EVENTS`."""


def once_effect(strata: CountStrata) -> OnceEffect | None:
    """Compare texts that occur once; None where a group has none."""
    once = strata.duplicate_count == 1
    x, s = strata.exposed[once].sum(axis=0).tolist()
    y, t = strata.unexposed[once].sum(axis=0).tolist()
    if not s or not t:
        return None
    p, q, error = x / s, y / t, math.nan
    if min(s, t) > 1:
        error = math.sqrt(p * (1 - p) / (s - 1) + q * (1 - q) / (t - 1))
    half = float(stats.norm.ppf(0.975)) * error
    return OnceEffect(
        exposed=(x, s),
        unexposed=(y, t),
        difference=p - q,
        standard_error=error,
        neyman_ci95=(p - q - half, p - q + half),
        newcombe_ci95=newcombe_interval((x, y), (s, t)),
        p_value=compare_shares((x, y), (s, t)).p_value,
    )


def stratified_effect(strata: CountStrata) -> StratifiedEffect | None:
    """Compare texts of equal duplicate count; None where no count has texts in both groups."""
    both = (strata.exposed[:, 1] > 0) & (strata.unexposed[:, 1] > 0)
    if not both.any():
        return None
    a, s = strata.exposed[both].T.astype(float)
    c, t = strata.unexposed[both].T.astype(float)
    n, d = s + t, a + c
    variance = float((s * t * d * (n - d) / (n**2 * (n - 1))).sum())
    excess = float((a - s * d / n).sum())
    statistic = excess**2 / variance if variance else math.nan
    against = float(((s - a) * c / n).sum())
    odds = float((a * (t - c) / n).sum())
    return StratifiedEffect(
        strata=int(both.sum()),
        statistic=statistic,
        odds_ratio=odds / against if against else math.inf if odds else math.nan,
        p_value=float(stats.chi2.sf(statistic, 1)),
        p_value_exact=_exact(strata.exposed[both], strata.unexposed[both]),
    )


def sharp_null_p_value(classes: ExposureClasses) -> float:
    """Test that exposure changes no result: exposed sequences against all others, Fisher, central.

    Exact even with copies, since order is random; there is no estimate, for sequences of which a
    copy was exposed are among the others. NaN where either group is empty.
    """
    exposed, copy, unexposed = classes.exposed, classes.copy_exposed, classes.unexposed
    others = copy.events + unexposed.events, copy.exposure + unexposed.exposure
    if not exposed.exposure or not others[1]:
        return math.nan
    return compare_shares((exposed.events, others[0]), (exposed.exposure, others[1])).p_value


def _exact(exposed: Int64Array, unexposed: Int64Array) -> float:
    """Return the chance of all sums of exposed events that are no likelier than that seen."""
    if exposed[:, 0].sum() + unexposed[:, 0].sum() > EXACT_EVENTS:
        return math.nan
    chances: FloatArray = np.ones(1)
    least = 0
    for (a, s), (c, t) in zip(exposed.tolist(), unexposed.tolist(), strict=True):
        low, high = max(0, a + c - t), min(a + c, s)
        chances = np.convolve(
            chances, stats.hypergeom.pmf(np.arange(low, high + 1), s + t, a + c, s)
        )
        least += low
    seen = chances[int(exposed[:, 0].sum()) - least]
    return min(1.0, float(chances[chances <= seen * (1 + 1e-7)].sum()))
