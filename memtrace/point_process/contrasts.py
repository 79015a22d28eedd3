"""Two parts of training against each other, with at most one event a sequence.

The parts are given: halves, ends, the last steps, the sequences not yet trained on.
"""

import math

import numpy as np
from statsmodels.stats.multitest import multipletests

from memtrace.point_process.events import EventSequence
from memtrace.point_process.models.piecewise import parts, tenths
from memtrace.point_process.shares import RateComparison, compare_shares
from memtrace.types import FloatArray

METHODS = {
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "benjamini-hochberg": "fdr_bh",
    "benjamini-yekutieli": "fdr_by",
}


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
