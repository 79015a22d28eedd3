"""The emergence of abilities as it is printed: the verdict, the numbers, and what was read."""

from typing import TYPE_CHECKING

from memtrace.evaluations.abilities.result import AbilityCurve, AbilityResult
from memtrace.evaluations.abilities.verdict import verdict
from memtrace.evaluations.text import files_table
from memtrace.report.numbers import DASH, interval, number, p_value, percent, ratio
from memtrace.report.text import Columns, columns, sections

if TYPE_CHECKING:
    from rich.console import RenderableType


def text(result: AbilityResult) -> "RenderableType":
    """Return the verdict and the tables."""
    blocks: list[tuple[str, RenderableType]] = []
    if result.headline:
        blocks.append((f"{result.headline[0].task}, by model", _headline(result.headline)))
    for family in sorted({one.family for one in result.curves}):
        for shots in sorted({one.shots for one in result.curves}):
            blocks += _shares(result, family, shots)
    if any(one.time_scale == "normalized_emergence" for one in result.trends):
        blocks.append(("With ten times the parameters (unadjusted)", _trends(result)))
    blocks.append(("Evaluations", files_table(result.evaluations)))
    return sections("Emergence of abilities", verdict(result), blocks)


def _headline(found: tuple[AbilityCurve, ...]) -> Columns:
    names = (
        "model",
        "step",
        "95% interval",
        "of training",
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


def _shares(result: AbilityResult, family: str, shots: int) -> "list[tuple[str, RenderableType]]":
    """Return heading and table of tasks by models; none where no task emerged in two models."""
    mine = [o for o in result.curves if (o.family, o.shots, o.main) == (family, shots, True)]
    models = sorted({(one.parameters or 0, one.model) for one in mine})
    by_task: dict[str, dict[str, AbilityCurve]] = {}
    for one in mine:
        by_task.setdefault(one.task, {})[one.model] = one
    few = min(2, len(models))
    shown = {t: row for t, row in by_task.items() if sum(o.emerged for o in row.values()) >= few}
    if not shown:
        return []
    names = ("task", *(model.removesuffix(f"-{family}") for _, model in models))
    rows = [
        (task, *(_share(row.get(model)) for _, model in models))
        for task, row in sorted(shown.items())
    ]
    group = f"{family}, {shots} shots" if family else f"{shots} shots"
    left = len(by_task) - len(shown)
    others = f"; {left} more emerged in fewer than {few} models: see --json" if left else ""
    heading = f"Normalized emergence in % of training ({group}{others})"
    return [(heading, columns(names, rows))]


def _share(one: AbilityCurve | None) -> str:
    if one is None or one.emergence is None or not one.emerged:
        return DASH
    return f"{100 * one.emergence.share:.2f}"


def _trends(result: AbilityResult) -> Columns:
    names = ("task", "metric", "shots", "models", "later by", "95% interval", "tau", "p")
    rows = [
        (
            f"{one.task} ({one.family})" if one.family else one.task,
            one.metric,
            str(one.shots),
            str(one.trend.models),
            f"x {ratio(one.trend.factor)}",
            interval(one.trend.factor_ci95, ratio),
            f"{one.trend.rank_correlation:.2f}",
            p_value(one.trend.p_value),
        )
        for one in result.trends
        if one.time_scale == "normalized_emergence"
    ]
    return columns(names, rows)
