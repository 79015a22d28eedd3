"""Charts of terms that readers can ask: accuracy against count, and the slope along training."""

import math
from typing import Any

from memtrace.evaluations.figures import ranks_of_size
from memtrace.evaluations.populations import short_names
from memtrace.evaluations.terms.figures import groups, in_figure
from memtrace.evaluations.terms.result import TermResult
from memtrace.report.charts import apart, data, end_names, specification, step_axis
from memtrace.report.numbers import interval, number

Z95 = 1.96


def accuracy_chart(result: TermResult, task: str) -> dict[str, Any]:
    """Return the chart of mean accuracy in ten groups of terms of like count, a line a model."""
    import altair

    rows = _accuracies(result, task)
    log = altair.Scale(type="symlog", nice=False)
    x = altair.X("count:Q", title="count of the term", scale=log, axis=_powers(rows))

    def level(column: str) -> altair.Y:
        near = altair.Scale(zero=False)
        return altair.Y(f"{column}:Q", title="accuracy", scale=near)

    base = altair.Chart(data(rows)).encode(x=x)
    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("count:Q", title="mean count of the group", format=",.3~s"),
        altair.Tooltip("accuracy:Q", format=".3f"),
    ]
    lines = _lines(base, level("accuracy"), told)
    return specification(altair.layer(lines, end_names(base, "count", level, "accuracy")))


def slope_chart(result: TermResult, task: str) -> dict[str, Any] | None:
    """Return the chart of the slope at each checkpoint with 95% intervals, None without any."""
    import altair

    rows = _slopes(result, task)
    if not rows:
        return None
    wide = altair.Scale(zero=False, nice=False, padding=8)
    x = altair.X("step:Q", title="training step", scale=wide, axis=step_axis())

    def level(column: str) -> altair.Y:
        return altair.Y(f"{column}:Q", title="slope, log odds")

    base = altair.Chart(data(rows)).encode(x=x)
    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("step:Q", title="checkpoint", format=","),
        altair.Tooltip("interval:N", title="slope, 95%"),
    ]
    layers = [
        altair.Chart(data([{"none": 0}])).mark_rule(style="quiet").encode(y=level("none")),
        base.mark_rule().encode(y=level("low"), y2="high:Q", color=_by_size()),
        _lines(base, level("slope"), told),
        end_names(base, "step", level, "slope"),
    ]
    return specification(altair.layer(*layers))


def _lines(base: Any, y: Any, told: list[Any]) -> Any:
    """Return a line with points for each model."""
    import altair

    return base.mark_line(point=altair.OverlayMarkDef(size=25)).encode(
        y=y, color=_by_size(), detail="model:N", tooltip=told
    )


def _by_size() -> Any:
    import altair

    return altair.Color("size:Q", legend=None)


def _powers(rows: list[dict[str, Any]]) -> Any:
    """Return an axis of powers of ten, with few numbers on a narrow chart."""
    import altair

    most = max((row["count"] for row in rows), default=1.0)
    last = max(1, math.ceil(math.log10(max(most, 1))))
    powers = [0, *(10**power for power in range(last + 1))]
    few = [0, *(10**power for power in range(last % 2, last + 1, 2))]
    values = altair.ExprRef(f"width < 500 ? {few} : {powers}")
    return altair.Axis(values=values, labelExpr="format(datum.value, '~s')")


def _accuracies(result: TermResult, task: str) -> list[dict[str, Any]]:
    mine = in_figure(result, task)
    names = short_names(one.model for one in mine)
    sizes = ranks_of_size([one.parameters for one in mine])
    rows: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for one, size in zip(mine, sizes, strict=True):
        same = {"model": names[one.model], "size": size}
        for count, accuracy in zip(*groups(result, one), strict=True):
            rows.append({**same, "count": count, "accuracy": accuracy})
        ends.append(rows[-1])
    _name(ends, [row["accuracy"] for row in rows], "accuracy")
    return rows


def _slopes(result: TermResult, task: str) -> list[dict[str, Any]]:
    mine = in_figure(result, task)
    names = short_names(one.model for one in mine)
    sizes = ranks_of_size([one.parameters for one in mine])
    rows: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for one, size in zip(mine, sizes, strict=True):
        known = [relation for relation in one.relations if relation.reason is None]
        for relation in known:
            half = Z95 * relation.slope_error
            low, high = relation.slope - half, relation.slope + half
            said = (
                f"{number(relation.slope, 2)}, {interval((low, high), lambda end: number(end, 2))}"
            )
            middle = {"slope": relation.slope, "low": low, "high": high, "interval": said}
            rows.append({"model": names[one.model], "size": size, "step": relation.step, **middle})
        ends += rows[-1:] if known else []
    _name(ends, [0.0, *(row[side] for row in rows for side in ("low", "high"))], "slope")
    return rows


def _name(ends: list[dict[str, Any]], levels: list[float], column: str) -> None:
    """Name the last point of each line, none over another."""
    places = apart([row[column] for row in ends], max(levels) - min(levels))
    for row, at in zip(ends, places, strict=True):
        row |= {"name": row["model"], "at": at}
