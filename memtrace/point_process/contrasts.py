"""Two parts of training against each other, with at most one event a sequence.

The parts are given: halves, ends, the last steps, the sequences not yet trained on.
"""

import math

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from memtrace.point_process.events import EventSequence
from memtrace.point_process.models.constant import RateComparison
from memtrace.point_process.models.piecewise import parts, tenths
from memtrace.types import UNDEFINED, FloatArray, Interval

METHODS = {
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "benjamini-hochberg": "fdr_bh",
    "benjamini-yekutieli": "fdr_by",
}


def compare_shares(events: tuple[int, int], exposures: tuple[int, int]) -> RateComparison:
    """Compare the shares of events in two groups of sequences.

    The p-value is Fisher's exact one, central (twice the smaller tail): given the events, their
    number in the first group is hypergeometric in random order. The difference has Newcombe's
    interval, the ratio the one of its logarithm (Katz et al. 1978), adjusted where a count is 0.
    """
    (x, y), (s, t) = events, exposures
    low, high = confint_proportions_2indep(x, s, y, t, method="newcomb", compare="diff")
    distribution = stats.hypergeom(s + t, x + y, s)
    tail = min(float(distribution.cdf(x)), float(distribution.sf(x - 1)))
    return RateComparison(
        difference=x / s - y / t,
        difference_ci95=(float(low), float(high)),
        ratio=(x / s) / (y / t) if y else math.inf if x else math.nan,
        ratio_ci95=_ratio_interval(x, s, y, t),
        p_value=min(1.0, 2 * tail),
    )


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
    """
    given = np.asarray(p_values, float)
    known = ~np.isnan(given)
    adjusted = np.full(given.shape, math.nan)
    if known.any():
        adjusted[known] = multipletests(given[known], method=METHODS[method])[1]
    return adjusted


def _ratio_interval(x: int, s: int, y: int, t: int) -> Interval:
    if x == y == 0:
        return UNDEFINED
    method = "log" if x and y else "log-adjusted"
    low, high = confint_proportions_2indep(x, s, y, t, method=method, compare="ratio")
    return float(low) if x else 0.0, float(high) if y else math.inf
