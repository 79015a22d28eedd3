"""The emergence of abilities as it is printed: the verdict, the numbers, and what was read."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from memtrace.evaluations.abilities.result import KNOWN, AbilityCurve, AbilityResult
from memtrace.evaluations.abilities.verdict import by_population, verdict
from memtrace.evaluations.populations import Population, populations_told
from memtrace.evaluations.text import files_table
from memtrace.report.numbers import DASH, count, interval, number, p_value, percent, ratio
from memtrace.report.text import Columns, columns, sections

if TYPE_CHECKING:
    from rich.console import RenderableType

UNPLACED = f"a-b: the 95% interval, where it spans more than a factor of {KNOWN}: no time is known"


def text(result: AbilityResult) -> "RenderableType":
    """Return the verdict and the tables."""
    blocks: list[tuple[str, RenderableType]] = []
    if result.headline:
        blocks.append((f"{result.headline[0].task}, by model", _headline(result.headline)))
    for population, curves in by_population(result.main).items():
        for shots in sorted({one.shots for one in curves}):
            blocks += _shares(population, [one for one in curves if one.shots == shots])
    if any(one.time_scale == "normalized_emergence" for one in result.trends):
        blocks.append(("With ten times the parameters (unadjusted)", _trends(result)))
    if any(one.emerged and not one.placed for one in result.main):
        blocks.append(("Read with care", UNPLACED))
    blocks.append(("Evaluations", files_table(result.evaluations)))
    return sections("Emergence of abilities", verdict(result), blocks, source=models(result))


def models(result: AbilityResult) -> str:
    """Return which models were evaluated."""
    return populations_told((one.population, one.model) for one in result.curves)


def _headline(found: tuple[AbilityCurve, ...]) -> Columns:
    names = (
        "model",
        "step",
        "95% interval",
        "of training" if all(one.population.suite for one in found) else "of steps",
        "log steps",
        "tokens/param",
        "final",
        "chance",
    )
    return columns(names, [_headline_row(one) for one in found if one.emergence])


def _headline_row(one: AbilityCurve) -> tuple[str, ...]:
    found = one.emergence
    if found is None:
        return (one.model,)
    return (
        one.model,
        number(round(found.step)),
        interval(found.step_ci95, lambda step: f"{step:,.0f}"),
        percent(found.share),
        percent(found.log_share),
        number(found.tokens_per_parameter, 3),
        number(one.values[-1], 3),
        number(one.chance, 3),
    )


def _shares(
    population: Population, mine: Sequence[AbilityCurve]
) -> "list[tuple[str, RenderableType]]":
    """Return heading and table of tasks by models; none where no task emerged in two models."""
    names = [model for _, model in sorted({(one.parameters or 0, one.model) for one in mine})]
    by_task: dict[str, dict[str, AbilityCurve]] = {}
    for one in mine:
        by_task.setdefault(one.task, {})[one.model] = one
    emerged = {task: sum(one.emerged for one in row.values()) for task, row in by_task.items()}
    shown = sorted(task for task, n in emerged.items() if n >= min(2, len(names)))
    if not shown:
        return []
    rows = [(task, *(_share(by_task[task].get(name)) for name in names)) for task in shown]
    of = "training" if population.suite else "the steps that were evaluated"
    group = _group(population, mine[0].shots)
    heading = f"Normalized emergence in % of {of} ({group}{_left(emerged, shown)})"
    return [(heading, columns(("task", *(_short(name, population) for name in names)), rows))]


def _group(population: Population, shots: int) -> str:
    return ", ".join(filter(None, (population.suite, population.kind, count(shots, "shot"))))


def _left(emerged: Mapping[str, int], shown: Sequence[str]) -> str:
    """Say how many tasks the table leaves out: what emerged in one model, and what in none."""
    none = sum(not n for n in emerged.values())
    one = len(emerged) - len(shown) - none
    said = [f"{one:,} more in one model"] if one else []
    said += [f"{none:,} in none"] if none else []
    return f"; {' and '.join(said)}: see --json" if said else ""


def _short(model: str, population: Population) -> str:
    """Return a model's name without the family, which the heading names."""
    return model.removesuffix(f"-{population.family}") if population.suite else model


def _share(one: AbilityCurve | None) -> str:
    """Return when a task emerged; where that is hardly known, between which ends it lies."""
    if one is None or one.emergence is None or not one.emerged:
        return DASH
    ends = one.emergence.share_ci95
    if one.placed or ends is None:
        return f"{100 * one.emergence.share:.2f}"
    return f"{100 * ends[0]:.2g}-{100 * ends[1]:.2g}"


def _label(population: Population, suites: bool) -> str:
    return f"{population.suite} {population.kind}" if suites else population.kind


def _trends(result: AbilityResult) -> Columns:
    several = len({one.population for one in result.trends}) > 1
    suites = len({one.population.suite for one in result.trends}) > 1
    names = ("task", "metric", "shots", "models", "later by", "95% interval", "tau", "p")
    rows = [
        (
            f"{one.task} ({_label(one.population, suites)})" if several else one.task,
            one.metric,
            str(one.shots),
            str(one.trend.models),
            f"x {ratio(one.trend.factor)}",
            interval(one.trend.factor_ci95, ratio),
            DASH if math.isnan(one.trend.rank_correlation) else f"{one.trend.rank_correlation:.2f}",
            p_value(one.trend.p_value),
        )
        for one in result.trends
        if one.time_scale == "normalized_emergence"
    ]
    return columns(names, rows)
