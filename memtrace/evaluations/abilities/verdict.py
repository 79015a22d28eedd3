"""The emergence of abilities in one plain sentence."""

import math

from memtrace.evaluations.abilities.result import AbilityCurve, AbilityResult
from memtrace.report.numbers import count, interval, number, percent, ratio


def verdict(result: AbilityResult) -> str:
    """Say how many curves gain, when the task that is known best did, and how that moves."""
    counted = _counted([one for one in result.curves if one.main])
    found = result.headline
    if not found:
        return f"{counted}: there is no emergence time to tell."
    ordered = sorted(found, key=_share)
    first, last = (f"{percent(_share(one))} ({one.model})" for one in (ordered[0], ordered[-1]))
    when = f"{first} to {last}" if len(found) > 1 else first
    known = any(one.parameters for one in found)
    of = "training" if known else "the steps that were evaluated"
    level = "half" if result.level == 0.5 else percent(result.level)
    told = f"{found[0].task} has made {level} of its gain at {when} of {of}"
    return f"{counted}. {told}{_moves(result)}."


def _counted(main: list[AbilityCurve]) -> str:
    emerged = [one for one in main if one.emerged]
    untested = sum(math.isnan(one.p_value) for one in emerged)
    sure = len(emerged) - untested
    said = (
        "A significant gain that ends above guessing, where its level is known, in "
        f"{sure} of {count(len(main), 'curve')}"
    )
    return f"{said}; untested for want of standard errors: {untested} more" if untested else said


def _share(one: AbilityCurve) -> float:
    return one.emergence.share if one.emergence else math.nan


def _moves(result: AbilityResult) -> str:
    """Say how the headline's emergence moves with size, if it is known."""
    one = result.headline[0]
    place = (one.task, one.metric, one.shots, "normalized_emergence")
    known = [t for t in result.trends if (t.task, t.metric, t.shots, t.time_scale) == place]
    if not known:
        return ""
    best = max(known, key=lambda t: t.trend.models).trend
    way = "later" if best.factor > 1 else "earlier"
    factor = best.factor if best.factor > 1 else 1 / best.factor
    ends = best.factor_ci95
    sure = ends and (ends[0] > 1 or ends[1] < 1)
    said = f": {number(factor, 3)} times {way} with ten times the parameters"
    return f"{said} ({'' if sure else 'not significantly; '}95% interval {interval(ends, ratio)})"
