"""Accuracy and the frequency of terms in one plain sentence."""

import math

from memtrace.evaluations.terms.result import TermResult, sets_in
from memtrace.report.numbers import count


def verdict(result: TermResult) -> str:
    """Say in how many series accuracy rises with frequency, and in how many that sets in."""
    known = [one for one in result.series if not math.isnan(one.p_holm)]
    if not known:
        return "No relation could be estimated at the last checkpoint of any series."
    up = [one for one in known if one.p_holm < 0.05 and one.relations[-1].slope > 0]
    down = [one for one in known if one.p_holm < 0.05 and one.relations[-1].slope < 0]
    said = (
        f"At the last checkpoint accuracy rises with frequency in {len(up)} of "
        f"{count(len(known), 'series', 'series')} of a model, task and shots (Holm)"
    )
    said += f", and falls in {len(down)}" if down else ""
    moved = [one for one in known if sets_in(one)]
    return f"{said}; in {len(moved)} the relation strengthens at a change point along training."
