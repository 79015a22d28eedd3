"""The emergence of abilities in plain sentences, each about one population of models."""

import math
from collections.abc import Sequence

from memtrace.emergence.curves import SizeTrend
from memtrace.evaluations.abilities.result import AbilityCurve, AbilityResult
from memtrace.evaluations.populations import Population
from memtrace.report.numbers import count, interval, number, percent, ratio

NAMED = 3
"""Populations that have a sentence of their own."""


def verdict(result: AbilityResult) -> str:
    """Say when the task that is known best emerges in each population, and in how many curves."""
    if not result.main:
        return "No task has an accuracy, so there is no curve to test."
    groups = named_populations(result)
    told = [_when(result, *group) for group in groups.items()]
    others = len(by_population(result.headline)) - len(groups)
    if others:
        told.append(f"The tables have {count(others, 'other family', 'other families')}.")
    return " ".join([*told, _counted(result)])


def by_population(curves: Sequence[AbilityCurve]) -> dict[Population, list[AbilityCurve]]:
    """Return the curves of each population, in order."""
    found: dict[Population, list[AbilityCurve]] = {}
    for one in sorted(curves, key=lambda one: one.population.order):
        found.setdefault(one.population, []).append(one)
    return found


def named_populations(result: AbilityResult) -> dict[Population, list[AbilityCurve]]:
    """Return the headline by population, for those of most models: they have a sentence each."""
    groups = by_population(result.headline)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1]))[:NAMED])


def range_of(curves: Sequence[AbilityCurve]) -> tuple[AbilityCurve, AbilityCurve]:
    """Return the curves that emerged earliest and latest."""
    ordered = sorted(curves, key=_share)
    return ordered[0], ordered[-1]


def _when(result: AbilityResult, population: Population, curves: list[AbilityCurve]) -> str:
    """Say when the headline's task emerges in models of one population."""
    first, last = range_of(curves)
    ends = f"{_place(first)} to {_place(last)}" if len(curves) > 1 else _place(first)
    level = "half" if result.level == 0.5 else percent(result.level)
    partly = any(one.steps[-1] < one.last_step for one in curves)
    gain = "its gain until the last evaluation" if partly else "its gain"
    gain += ", untested," if any(math.isnan(one.p_value) for one in curves) else ""
    of = "training" if population.suite else "the steps that were evaluated"
    task = f"{first.task} with {count(first.shots, 'shot')}" if first.shots else first.task
    said = f"In {population.told(len(curves))}, {task} has made {level} of {gain} at {ends} of {of}"
    return f"{said}{_moves(result, first)}."


def _place(one: AbilityCurve) -> str:
    """Return a model's emergence time with its interval."""
    ends = one.emergence.share_ci95 if one.emergence else None
    known = interval(ends, percent) if ends else "interval unknown"
    return f"{percent(_share(one))} ({one.model}: {known})"


def _counted(result: AbilityResult) -> str:
    """Say in how many of the tested curves an ability is shown, and in how many of each kind."""
    tested, main = result.tested, result.main
    if not tested:
        return f"No gain could be tested: {_why_untested(main)}."
    parts = [
        f"{sum(one.emerged for one in curves):,} of {len(curves):,} {population.kind}"
        for population, curves in by_population(tested).items()
    ]
    each = f": {' and '.join(parts)}" if 1 < len(parts) <= NAMED else ""
    left = len(main) - len(tested)
    untested = f"; {left:,} more could not be tested" if left else ""
    emerged = sum(one.emerged for one in tested)
    return (
        "A significant gain that ends above guessing, where that level is known, is shown in "
        f"{f'{emerged:,}' if emerged else 'none'} of {count(len(tested), 'curve')} "
        f"(Holm over all of them){each}{untested}."
    )


def _why_untested(main: Sequence[AbilityCurve]) -> str:
    """Return what all curves lack."""
    if all(one.steps[0] != 0 for one in main):
        return f"none of {count(len(main), 'curve')} begins at step 0"
    if all(len(one.steps) < 2 or one.steps[0] != 0 for one in main):
        return f"none of {count(len(main), 'curve')} has step 0 and a later checkpoint"
    return f"{count(len(main), 'curve')} with an unknown standard error at an end"


def _share(one: AbilityCurve) -> float:
    return one.emergence.share if one.emergence else math.nan


def _moves(result: AbilityResult, one: AbilityCurve) -> str:
    """Say how the emergence of a curve's task moves with size in its population, if known."""
    place = (one.task, one.metric, one.shots, one.population, "normalized_emergence")
    for found in result.trends:
        key = (found.task, found.metric, found.shots, found.population, found.time_scale)
        if key == place:
            return f", {_factor(found.trend)}"
    return ""


def _factor(trend: SizeTrend) -> str:
    """Say how much later, or earlier, models of ten times the parameters are."""
    if trend.factor_ci95 is None or math.isnan(trend.factor_ci95[0]):
        return "with an unknown change with size"
    low, high = trend.factor_ci95
    later = trend.factor >= 1
    factor = trend.factor if later else 1 / trend.factor
    ends = (low, high) if later else (1 / high, 1 / low)
    maybe = ", so perhaps not at all" if low <= 1 <= high else ""
    said = f"{number(factor, 3)} times {'later' if later else 'earlier'}"
    return f"{said} with ten times the parameters (95% {interval(ends, ratio)}{maybe})"
