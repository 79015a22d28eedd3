"""The chart of abilities that readers can ask: one task at a time, a line a model."""

from itertools import groupby
from typing import Any

from memtrace.evaluations.abilities.figures import shown_tasks
from memtrace.evaluations.abilities.result import AbilityCurve, AbilityResult
from memtrace.evaluations.figures import ranks_of_size
from memtrace.report.charts import apart, data, end_names, specification
from memtrace.report.numbers import count

DASHES = {"": [1, 0]}
"""Family of models -> dashes of its lines; other families have `DASHED`."""
DASHED = [5, 3]


def curve_chart(result: AbilityResult) -> dict[str, Any]:
    """Return the chart of one task at a time, chosen by the reader; models carry their names."""
    import altair

    curves = _drawn(result)
    tasks = list(dict.fromkeys(map(_task, curves)))
    rows = [row for _, found in groupby(curves, key=_task) for row in _rows(list(found))]
    choice = altair.param(
        name="task", value=tasks[0], bind=altair.binding_select(options=tasks, name="Task: ")
    )
    few = altair.ExprRef("width < 500 ? [0, 10, 1000, 100000] : [0, 1, 10, 100, 1000, 10000, 1e5]")
    steps = altair.Scale(type="symlog", nice=False)
    axis = altair.Axis(values=few, format=",d")
    x = altair.X("step:Q", title="training step", scale=steps, axis=axis)

    def level(column: str) -> altair.Y:
        near = altair.Scale(zero=False)
        return altair.Y(f"{column}:Q", title="level, in the metric of the task", scale=near)

    base = altair.Chart(data(rows)).transform_filter("datum.task == task").encode(x=x)
    families = list(dict.fromkeys(row["family"] for row in rows))
    dashes = altair.Scale(domain=families, range=[DASHES.get(one, DASHED) for one in families])
    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("step:Q", format=","),
        altair.Tooltip("level:Q", format=".3f"),
    ]
    lines = base.mark_line(point=altair.OverlayMarkDef(size=20)).encode(
        y=level("level"),
        color=altair.Color("size:Q", legend=None),
        strokeDash=altair.StrokeDash("family:N", scale=dashes, legend=None),
        detail="model:N",
        tooltip=told,
    )
    names = end_names(base, "step", level, "level")
    return specification(altair.layer(lines, names).add_params(choice))


def _drawn(result: AbilityResult) -> list[AbilityCurve]:
    """Return the curves of the tasks that are shown, task by task, in all models."""
    shown = shown_tasks(result)
    return [one for key in shown for one in result.main if (one.task, one.shots) == key]


def _task(one: AbilityCurve) -> str:
    return f"{one.task}, {count(one.shots, 'shot')}"


def _rows(curves: list[AbilityCurve]) -> list[dict[str, Any]]:
    """Return the points of the curves of a task; the last of each has its name and where it is."""
    sizes = ranks_of_size([one.parameters for one in curves])
    levels = [value for one in curves for value in one.values]
    ends = [one.values[-1] for one in curves]
    places = apart(ends, max(levels) - min(levels))
    rows = []
    for one, size, at in zip(curves, sizes, places, strict=True):
        same = {
            "task": _task(one),
            "model": one.model,
            "family": one.population.family,
            "size": size,
        }
        points = [
            {**same, "step": step, "level": value}
            for step, value in zip(one.steps, one.values, strict=True)
        ]
        points[-1] |= {"name": one.model, "at": at}
        rows += points
    return rows
