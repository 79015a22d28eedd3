"""Charts of interventions that readers can ask: differences at the end, and along training."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from memtrace.evaluations.figures import ranks_of_size
from memtrace.evaluations.intervention.measures import run_name
from memtrace.evaluations.intervention.result import Comparison
from memtrace.report.charts import apart, data, end_names, specification, step_axis
from memtrace.report.numbers import interval, number, p_value, signed

ROW = 24
"""Height of a measure, or of a heading, in CSS pixels."""
SIGNIFICANT = 0.05
DASHES = {"short": [1, 0], "long": [6, 3]}


def difference_chart(measures: Sequence[Comparison]) -> dict[str, Any]:
    """Return the chart of differences at the last checkpoint: a heading for each measure."""
    import altair

    rows = _difference_rows(measures)
    order = [row["line"] for row in rows]
    axis = altair.Axis(labelExpr="split(datum.label, '|')[1]", ticks=False, domain=False)
    y = altair.Y("line:N", title=None, sort=order, scale=altair.Scale(domain=order), axis=axis)
    title = "points (perplexity: log, in %)" if _has_perplexity(measures) else "points"
    x = altair.X("difference:Q", title=title, axis=altair.Axis(grid=True, tickCount=5))
    red = altair.Scale(domain=["no", "yes"])
    told = [
        altair.Tooltip("measure:N"),
        altair.Tooltip("run:N", title="run"),
        altair.Tooltip("interval:N", title="difference, 95%"),
        altair.Tooltip("levels:N", title="baseline, intervened"),
        altair.Tooltip("step:Q", title="checkpoint", format=","),
        altair.Tooltip("p:N", title="p, Holm"),
    ]
    every = altair.Chart(data(rows))
    base = every.transform_filter("isValid(datum.difference)").encode(y=y)
    zero = altair.Chart(data([{"difference": 0.0}])).mark_rule(style="quiet").encode(x=x)
    text: dict[str, Any] = {"align": "left", "baseline": "middle", "fontWeight": "bold"}
    heads = every.transform_filter("isValid(datum.head)").encode(
        x=altair.value(4), y=y, text="head:N"
    )
    layers = [
        zero,
        base.mark_rule(style="quiet", strokeWidth=2).encode(
            x=altair.X("low:Q", title=title), x2="high:Q"
        ),
        base.mark_point(size=60, opacity=1).encode(
            x=x, color=altair.Color("sure:N", scale=red, legend=None), tooltip=told
        ),
        heads.mark_text(style="halo", **text),  # the line of 0 does not go through it
        heads.mark_text(**text),
    ]
    return specification(altair.layer(*layers), ROW * len(rows))


def training_chart(measures: Sequence[Comparison]) -> dict[str, Any]:
    """Return the chart of the difference of one task at every checkpoint, a line a run."""
    import altair

    rows = _training_rows(measures)
    steps = altair.Scale(zero=False, nice=False)
    x = altair.X("step:Q", title="training step", scale=steps, axis=step_axis())

    def level(column: str) -> altair.Y:
        return altair.Y(f"{column}:Q", title="percentage points")

    base = altair.Chart(data(rows)).encode(x=x)
    told = [
        altair.Tooltip("run:N"),
        altair.Tooltip("step:Q", title="checkpoint", format=","),
        altair.Tooltip("interval:N", title="difference, 95%"),
    ]
    dashes = altair.Scale(domain=list(DASHES), range=list(DASHES.values()))
    lines = base.mark_line(point=altair.OverlayMarkDef(size=25)).encode(
        y=level("difference"),
        color=altair.Color("size:Q", legend=None),
        strokeDash=altair.StrokeDash("kind:N", scale=dashes, legend=None),
        detail="run:N",
        tooltip=told,
    )
    zero = (
        altair.Chart(data([{"difference": 0.0}]))
        .mark_rule(style="quiet")
        .encode(y=level("difference"))
    )
    names = end_names(base, "step", level, "difference")
    return specification(altair.layer(zero, lines, names))


def significant(measures: Sequence[Comparison]) -> bool:
    """Return whether any of the measures differs, which is drawn in red."""
    return any(one.p_holm < SIGNIFICANT for one in measures)


def _difference_rows(measures: Sequence[Comparison]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, found in groupby(measures, key=_measure):
        rows.append({"line": f"{name}|", "head": name})
        for place, one in enumerate(found):
            last = one.last
            rows.append(
                {
                    "line": f"{name}|{_run(one)}" + "\u200b" * place,
                    "measure": name,
                    "run": _run(one),
                    "difference": 100 * last.difference,
                    "low": 100 * last.ci95[0],
                    "high": 100 * last.ci95[1],
                    "interval": _with_interval(one.last.difference, one.last.ci95),
                    "levels": f"{number(last.baseline, 3)}, {number(last.intervened, 3)}",
                    "step": last.step,
                    "p": p_value(one.p_holm),
                    "sure": "yes" if one.p_holm < SIGNIFICANT else "no",
                }
            )
    return rows


def _training_rows(measures: Sequence[Comparison]) -> list[dict[str, Any]]:
    sizes = ranks_of_size([one.parameters for one in measures])
    rows: list[dict[str, Any]] = []
    for one, size in zip(measures, sizes, strict=True):
        rows += [
            {
                "run": _run(one),
                "kind": run_name(one),
                "size": size,
                "step": pair.step,
                "difference": 100 * pair.difference,
                "interval": _with_interval(pair.difference, pair.ci95),
            }
            for pair in one.pairs
        ]
        rows[-1]["name"] = _run(one)
    levels = [row["difference"] for row in rows]
    ends = [row for row in rows if "name" in row]
    places = apart([row["difference"] for row in ends], max(levels) - min(levels))
    for row, at in zip(ends, places, strict=True):
        row["at"] = at
    return rows


def _measure(one: Comparison) -> str:
    return one.task if one.kind == "bias" else f"{one.task}, {one.metric}"


def _run(one: Comparison) -> str:
    return f"{one.model} {run_name(one)}"


def _has_perplexity(measures: Sequence[Comparison]) -> bool:
    return any("ppl" in one.metric or "perplexity" in one.metric for one in measures)


def _with_interval(value: float, ends: tuple[float, float]) -> str:
    low, high = ends
    inside = interval((100 * low, 100 * high), lambda end: signed(end, 2))
    return f"{signed(100 * value, 2)}, {inside}"
