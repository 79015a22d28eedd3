"""Charts of a comparison that readers can ask: shares by size, pairs, and copies seen."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from memtrace.comparison.agreement import Agreement
from memtrace.comparison.deduplication.copies import Seen
from memtrace.comparison.deduplication.result import Deduplication, TwinStep
from memtrace.comparison.result import ComparisonResult
from memtrace.report.charts import MOST_ROWS, data, specification
from memtrace.report.numbers import interval, number, percent

if TYPE_CHECKING:
    import altair

Rows = list[dict[str, Any]]

CELL, AROUND = 26, 120
"""Height of a row of a heat map and least height of its inside, in CSS pixels."""
MOST_NUMBERS = 7
"""Columns up to which cells have their number written in them."""


def scale_chart(found: ComparisonResult) -> dict[str, Any]:
    """Return the chart of the share of texts against parameters; the reader chooses the step."""
    import altair

    rows = _scale_rows(found)
    base, choice = _at_step(rows)
    x = altair.X("parameters:Q", title="parameters", scale=_log_scale(rows, "parameters", 1.6))
    axis = altair.Axis(format=".2~%", tickCount=6)
    share, scale = "share of the texts trained on", _log_scale(rows, "low", 1.2, "high")
    y = altair.Y("share:Q", title=share, axis=axis, scale=scale)
    low = altair.Y("low:Q", title=share, axis=axis, scale=scale)
    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("parameters:Q", format=","),
        altair.Tooltip("count:N", title="texts memorized"),
        altair.Tooltip("interval:N", title="share, 95% by counts"),
    ]
    base = base.encode(x=x)
    line = base.mark_line(strokeWidth=1, strokeDash=[4, 3]).encode(
        y=y, detail="line:N", order=altair.Order("parameters:Q")
    )
    named = base.mark_text(align="left", dx=9).encode(y=y, text="model:N")
    points = base.mark_point(size=70).encode(y=y, tooltip=told)
    layers = [line.transform_filter("datum.line"), base.mark_rule().encode(y=low, y2="high:Q")]
    return specification(altair.layer(*layers, points, named).add_params(*choice))


def precision_chart(found: ComparisonResult) -> dict[str, Any]:
    """Return the heat map of the precision of each prediction."""
    return _prediction_map(found, "precision")


def recall_chart(found: ComparisonResult) -> dict[str, Any]:
    """Return the heat map of the recall of each prediction."""
    return _prediction_map(found, "recall")


def overlap_chart(found: ComparisonResult) -> dict[str, Any]:
    """Return the heat map of Jaccard's index of each pair."""
    rows = []
    for one in found.overlaps:
        for a, b in ((one.a, one.b), (one.b, one.a)):
            agreement = one.agreement
            said = {"value": agreement.jaccard.value, "shared": f"{agreement.both:,} texts"}
            said["interval"] = _with_interval(agreement.jaccard.value, agreement.jaccard.ci95)
            counts = one.agreement.first, one.agreement.second
            either = counts if a == one.a else counts[::-1]
            said |= {"has": f"{either[0]:,}", "other": f"{either[1]:,}"}
            rows.append({"from": found.label(a), "to": found.label(b), **said})
    told = {
        "from": "run",
        "to": "other run",
        "shared": "memorized by both",
        "has": "by the run",
        "other": "by the other",
        "interval": "Jaccard's index, 95%",
    }
    return _heat_map(found, rows, told, ("other run", "run"))


def copies_chart(one: Deduplication) -> dict[str, Any]:
    """Return the chart of shares by copies seen; the reader chooses the step."""
    import altair

    rows = [row for step in one.steps for row in _copies_rows(one, step)]
    base, choice = _at_step(rows)
    strata = list(dict.fromkeys(row["copies"] for row in rows))
    x = altair.X("copies:N", title="copies seen", sort=strata, axis=altair.Axis(labelAngle=0))
    within = altair.Scale(domain=[0, max((row["high"] for row in rows), default=1) or 1])
    axis, share = altair.Axis(format=".2~%"), "share of these texts"
    y = altair.Y("share:Q", title=share, axis=axis, scale=within)
    low = altair.Y("low:Q", title=share, axis=axis, scale=within)
    models = list(dict.fromkeys(row["model"] for row in rows))
    legend = altair.Legend(orient="top", title=None)
    colour = altair.Color("model:N", scale=altair.Scale(domain=models), legend=legend)
    beside = altair.XOffset("model:N", sort=models)
    told = [
        altair.Tooltip("model:N"),
        altair.Tooltip("copies:N", title="copies seen"),
        altair.Tooltip("count:N", title="texts memorized"),
        altair.Tooltip("interval:N", title="share, exact 95%"),
    ]
    base = base.encode(x=x, xOffset=beside, color=colour)
    whiskers = base.mark_rule(strokeWidth=2).encode(y=low, y2="high:Q")
    points = base.mark_point(size=70).encode(y=y, tooltip=told)
    return specification(altair.layer(whiskers, points).add_params(*choice))


CHARTS: dict[str, Callable[[ComparisonResult], dict[str, Any]]] = {
    "scale": scale_chart,
    "precision": precision_chart,
    "recall": recall_chart,
    "overlap": overlap_chart,
    "deduplication": lambda found: copies_chart(found.deduplication[-1]),
}
"""Figure -> the chart that takes its place where charts can be drawn."""


def _at_step(rows: Rows) -> "tuple[altair.Chart, list[altair.Parameter]]":
    """Return a chart of the rows of one step, the last at first, and what chooses the step."""
    import altair

    base = altair.Chart(data(rows))
    steps = sorted({row["step"] for row in rows})
    if len(steps) < 2:
        return base, []
    bound = altair.binding_select(options=steps, name="Step: ")
    choice = altair.param(name="step", value=steps[-1], bind=bound)
    return base.transform_filter("datum.step == step"), [choice]


def _log_scale(rows: Rows, low: str, room: float, high: str | None = None) -> "altair.Scale":
    """Return a log axis that holds all values, with so many times more room at both ends."""
    import altair

    ends = min(row[low] for row in rows) / room, max(row[high or low] for row in rows) * room
    return altair.Scale(type="log", domain=list(ends), nice=False)


def _scale_rows(found: ComparisonResult) -> Rows:
    """Return the runs that have a place on log axes, with the line that each is on."""
    lines = {run: place for place, one in enumerate(found.lines) for run in _on_line(found, place)}
    rows = []
    for point in found.points:
        run, seen = found.runs[point.run], point.exposed
        if run.parameters and seen.texts:
            rows.append(
                {
                    "model": run.model,
                    "step": run.step,
                    "parameters": run.parameters,
                    "line": f"line {lines[point.run]}" if point.run in lines else "",
                    "count": f"{seen.texts:,} of {seen.of_texts:,}",
                    **_share(seen.share.value, seen.share.ci95),
                }
            )
    return rows


def _on_line(found: ComparisonResult, place: int) -> Iterable[int]:
    one = found.lines[place]
    return one.runs if one.exposure == "exposed" and one.line is not None else ()


def _copies_rows(one: Deduplication, step: TwinStep) -> Rows:
    rows = []
    for copies, shares in step.by_copies.items():
        sides: dict[str, Seen] = {
            one.standard: shares.standard,
            one.deduplicated: shares.deduplicated,
        }
        rows += [
            {
                "model": model.rpartition("/")[2],
                "step": step.step,
                "copies": copies,
                "count": f"{seen.memorized:,} of {seen.texts:,}",
                **_share(seen.share.value, seen.share.ci95),
            }
            for model, seen in sides.items()
            if seen.texts
        ]
    return rows


def _share(value: float, ends: tuple[float, float]) -> dict[str, Any]:
    said = _with_interval(value, ends)
    return {"share": value, "low": ends[0], "high": ends[1], "interval": said}


def _with_interval(value: float, ends: tuple[float, float]) -> str:
    return f"{percent(value)}, {interval(ends, percent)}"


def _prediction_map(found: ComparisonResult, name: str) -> dict[str, Any]:
    rows = [
        {
            "from": found.label(one.source),
            "to": found.label(one.target),
            **_agreement(one.every, name),
        }
        for one in found.predictions
        if not one.reason
    ]
    told = {
        "from": "from",
        "to": "to",
        "shared": "texts",
        "precision": "precision, 95%",
        "recall": "recall, 95%",
        "f1": "F1",
        "mcc": "Matthews correlation",
    }
    return _heat_map(found, rows, told, ("predicted run", "run that predicts"))


def _agreement(found: Agreement, name: str) -> dict[str, Any]:
    measure = {"precision": found.precision, "recall": found.recall}
    shared = f"{found.both:,} in both, of {found.first:,} and {found.second:,}"
    said = {key: _with_interval(one.value, one.ci95) for key, one in measure.items()}
    numbers = {"f1": number(found.f1.value, 3), "mcc": number(found.mcc.value, 3)}
    return {"value": measure[name].value, "shared": shared, **said, **numbers}


def _heat_map(
    found: ComparisonResult, rows: Rows, told: dict[str, str], titles: Sequence[str]
) -> dict[str, Any]:
    """Return a map of pairs: darker for more, with the numbers where there is room for them."""
    import altair

    order = [found.label(place) for place in range(len(found.runs))]
    across, down = (len({row[side] for row in rows}) for side in ("to", "from"))
    axis = altair.Axis(labelAngle=-45 if across > 2 else 0, labelLimit=140)
    shares = altair.Scale(domain=[0, 1])
    legend = None if across <= MOST_NUMBERS else altair.Legend(format="%", title=None)
    base = altair.Chart(data(rows[:MOST_ROWS])).encode(
        x=altair.X("to:N", title=titles[0], sort=order, axis=axis),
        y=altair.Y("from:N", title=titles[1], sort=order, axis=altair.Axis(labelLimit=140)),
        tooltip=[altair.Tooltip(f"{name}:N", title=title) for name, title in told.items()],
    )
    cells = base.mark_rect().encode(color=altair.Color("value:Q", scale=shares, legend=legend))
    height = max(AROUND, CELL * down)
    if across > MOST_NUMBERS:
        return specification(cells, height)
    numbers = base.mark_text().encode(text=altair.Text("value:Q", format=".0%"))
    return specification(altair.layer(cells, numbers), height)
