"""Charts of counterfactual profiles that readers can ask: effects, and their course."""

from typing import Any

from memtrace.comparison.profile.effects import Effect
from memtrace.comparison.profile.result import Profile
from memtrace.report.charts import HATCHED, MOST_ROWS, data, specification
from memtrace.report.numbers import DASH, interval, number, p_value

CELL, AROUND = 24, 60
"""Height of a row of cells, and of what is around them, in CSS pixels."""
LEAST = 220
"""Height of a chart, at least, in CSS pixels."""
HIGHEST = 480
"""Height of the cells, at most, in CSS pixels."""


def effect_chart(one: Profile) -> dict[str, Any] | None:
    """Return the map of effects: cohorts by checkpoints, with the line of exposure.

    Returns:
        None for more cells than a chart takes.
    """
    import altair

    rows = [row for place in range(len(one.cohorts)) for row in _cells(one, place)]
    if not rows or len(rows) > MOST_ROWS:
        return None
    top = max(abs(row["effect"]) for row in rows if "effect" in row) or 1.0
    labels: dict[str, Any] = {"labelOverlap": True, "labelExpr": "format(datum.value, ',d')"}
    columns = altair.Scale(domain=list(one.steps), paddingInner=0, paddingOuter=0)
    lines = altair.Scale(domain=[row.by for row in one.cohorts], paddingInner=0, paddingOuter=0)
    across, down = altair.Axis(labelAngle=0, **labels), altair.Axis(**labels)

    def x(at: float) -> altair.X:
        return altair.X("step:O", title="checkpoint", scale=columns, axis=across, bandPosition=at)

    def y(at: float) -> altair.Y:
        name = "first seen by step"
        return altair.Y("by:O", title=name, scale=lines, axis=down, bandPosition=at)

    scale = altair.Scale(domain=[-top, top], range="diverging", interpolate="rgb")
    legend = altair.Legend(orient="top", title=one.outcome_unit, format=".3~g", tickCount=3)
    colour = altair.Color("effect:Q", scale=scale, legend=legend)
    told = [
        altair.Tooltip("by:O", title="first seen by step", format=","),
        altair.Tooltip("step:O", title="checkpoint", format=","),
        altair.Tooltip("interval:N", title=f"effect in {one.outcome_unit}, 95%"),
        altair.Tooltip("p:N"),
        altair.Tooltip("texts:N", title="texts"),
    ]
    base = altair.Chart(data(rows)).encode(tooltip=told)
    known, unknown = (base.transform_filter(f"{no}isValid(datum.effect)") for no in ("", "!"))
    edge = altair.Chart(data(_edge(one)))
    layers = [
        unknown.mark_rect(fill=HATCHED).encode(x=x(0.5), y=y(0.5)),
        known.mark_rect().encode(x=x(0.5), y=y(0.5), color=colour),
        edge.mark_rule(strokeWidth=2, style="ink").encode(
            x=x(0), y=y(0), y2=altair.Y2("by:O", bandPosition=1)
        ),
        edge.transform_filter("datum.more")
        .mark_rule(strokeWidth=2, style="ink")
        .encode(x=x(0), x2=altair.X2("step:O", bandPosition=1), y=y(1)),
    ]
    sure = known.transform_filter("datum.sure").mark_point(size=14, style="ink")
    layers.append(sure.encode(x=x(0.5), y=y(0.5)))
    return specification(altair.layer(*layers), min(HIGHEST, max(LEAST, CELL * len(one.cohorts))))


def course_chart(one: Profile) -> dict[str, Any] | None:
    """Return the chart of the mean effect by checkpoints since exposure."""
    import altair

    if one.instantaneous is None:
        return None
    shown = [
        (0, one.instantaneous),
        *((later.checkpoints, later.effect) for later in one.persistent),
    ]
    rows = [{"since": since, **_told(effect)} for since, effect in shown]
    if one.before is not None:
        rows.append({"since": -1, "before": "before", **_told(one.before)})
    title = "checkpoints since the first that had seen it"
    few = altair.ExprRef(f"min({len(rows)}, ceil(width / 40))")
    whole = altair.Axis(format="d", tickCount=few, tickMinStep=1)
    x = altair.X("since:Q", title=title, axis=whole, scale=altair.Scale(nice=False, padding=12))
    unit = f"effect, {one.outcome_unit}"

    def level(column: str) -> altair.Y:
        return altair.Y(f"{column}:Q", title=unit)

    told = [
        altair.Tooltip("since:Q", title="checkpoints since"),
        altair.Tooltip("interval:N", title=f"effect in {one.outcome_unit}, 95%"),
        altair.Tooltip("p:N"),
        altair.Tooltip("texts:N", title="texts"),
    ]
    base = altair.Chart(data(rows)).encode(x=x)
    after, before = (base.transform_filter(f"{no}isValid(datum.before)") for no in ("!", ""))
    layers = [
        altair.Chart(data([{"none": 0}])).mark_rule(style="quiet").encode(y=level("none")),
        after.mark_rule().encode(y=level("low"), y2="high:Q"),
        after.mark_line().encode(y=level("effect")),
        after.mark_point(size=45).encode(y=level("effect"), tooltip=told),
        before.mark_rule(style="alert").encode(y=level("low"), y2="high:Q"),
        before.mark_point(size=45, style="alert").encode(y=level("effect"), tooltip=told),
        before.mark_text(style="alert", strokeWidth=0, align="left", dx=7, dy=-9).encode(
            y=level("effect"), text="before:N"
        ),
    ]
    return specification(altair.layer(*layers))


def _cells(one: Profile, cohort: int) -> list[dict[str, Any]]:
    by = one.cohorts[cohort].by
    cells = {place: _told(effect) for (of, place), effect in one.cells.items() if of == cohort}
    cells[cohort] = {"effect": 0.0, "interval": "0: the baseline", "p": DASH, "texts": DASH}
    unknown = {"interval": "not defined", "p": DASH, "texts": DASH}
    return [
        {"by": by, "step": step, **cells.get(place, unknown)}
        for place, step in enumerate(one.steps)
    ]


def _told(effect: Effect) -> dict[str, Any]:
    low, high = effect.ci95
    ends = interval((low, high), lambda value: number(value, 3))
    return {
        "effect": effect.estimate,
        "low": low,
        "high": high,
        "interval": f"{number(effect.estimate, 3)}, {ends}",
        "p": p_value(effect.p_value),
        "sure": effect.p_value < 0.05,
        "texts": f"{effect.texts:,}",
    }


def _edge(one: Profile) -> list[dict[str, Any]]:
    """Return the first checkpoint that had seen each cohort: the line of exposure is left of it."""
    by = [cohort.by for cohort in one.cohorts]
    return [{"by": step, "step": step, "more": step != by[-1]} for step in by if step in one.steps]
