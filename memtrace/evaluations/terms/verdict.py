"""Accuracy and the frequency of terms in plain sentences."""

import math

from memtrace.evaluations.populations import populations_told
from memtrace.evaluations.terms.result import SIGNIFICANT, Series, TermResult, falls, grows
from memtrace.report.numbers import count


def verdict(result: TermResult) -> str:
    """Say in how many series accuracy goes with frequency, and in how many that changes."""
    known = [one for one in result.series if not math.isnan(one.p_holm)]
    if not known:
        return "No relation could be estimated at the last checkpoint of any series."
    up = sum(map(rises, known))
    down = sum(one.p_holm < SIGNIFICANT and one.relations[-1].slope < 0 for one in known)
    fallen = f", and falls in {down}" if down else ""
    left = len(result.series) - len(known)
    untested = f"; {left} more could not be tested" if left else ""
    said = (
        f"At the last checkpoint of {models_told(result)}, accuracy rises with frequency in {up} "
        f"of {_series(known)} of a model, task and shots (Holm over all of them)"
    )
    return f"{said}{fallen}{untested}. {_changes(result)}"


def models_told(result: TermResult) -> str:
    """Return which models answered."""
    return populations_told((one.population, one.model) for one in result.series)


def rises(one: Series) -> bool:
    """Say whether accuracy is shown to rise with frequency (adjusted p below 5%)."""
    return one.p_holm < SIGNIFICANT and one.relations[-1].slope > 0


def _changes(result: TermResult) -> str:
    tested = [one for one in result.series if not math.isnan(one.change_p_holm)]
    if not tested:
        return "No change along training could be tested: that needs a slope at 3 checkpoints."
    up, down = sum(map(grows, tested)), sum(map(falls, tested))
    if not up + down:
        return f"Along training a change of the slope is shown in none of {_series(tested)}."
    return (
        f"Along training a change of the slope is shown in {up + down} of {_series(tested)} (Holm "
        f"over all of them): it grows in {up} and falls in {down}."
    )


def _series(found: list[Series]) -> str:
    return count(len(found), "series", "series")
