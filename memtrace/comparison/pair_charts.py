"""Heat maps of pairs of runs that readers can ask: what one predicts of another, and overlap."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from memtrace.comparison.agreement import Agreement
from memtrace.comparison.heat_maps import FEW, texts_behind
from memtrace.comparison.result import ComparisonResult
from memtrace.report.charts import MOST_ROWS, data, specification
from memtrace.report.numbers import interval, number, percent

if TYPE_CHECKING:
    import altair

Rows = list[dict[str, Any]]

CELL, NARROW, AROUND = 34, 22, 120
"""Height of a row of a heat map, of one of many, and least height of all, in CSS pixels."""
MANY = 7
"""Columns above which their names stand upright."""
LEAST_ROOM, DIGIT = 17, 0.42
"""Width of a cell from which its number is written in it, in CSS pixels; and the height of the
number, of that width."""
PALE = 0.3
"""Opacity of a cell that few texts stand behind."""
LETTER = 7
"""Width of a letter of a name, in CSS pixels."""
BESIDE = 45
"""Width of the title of an axis and of its ticks, in CSS pixels."""


def precision_chart(found: ComparisonResult) -> dict[str, Any] | None:
    """Return the heat map of the precision of each prediction."""
    return _prediction_map(found, "precision")


def recall_chart(found: ComparisonResult) -> dict[str, Any] | None:
    """Return the heat map of the recall of each prediction."""
    return _prediction_map(found, "recall")


def overlap_chart(found: ComparisonResult) -> dict[str, Any] | None:
    """Return the heat map of Jaccard's index of each pair."""
    rows = []
    for one in found.drawn_overlaps:
        for a, b in ((one.a, one.b), (one.b, one.a)):
            agreement = one.agreement
            said = {"value": agreement.jaccard.value, "shared": f"{agreement.both:,} texts"}
            said["interval"] = _with_interval(agreement.jaccard.value, agreement.jaccard.ci95)
            counts = one.agreement.first, one.agreement.second
            either = counts if a == one.a else counts[::-1]
            said["few"] = texts_behind(agreement, "overlap") < FEW
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


def _prediction_map(found: ComparisonResult, name: str) -> dict[str, Any] | None:
    rows = [
        {
            "from": found.label(one.source),
            "to": found.label(one.target),
            **_agreement(one.every, name),
        }
        for one in found.drawn_predictions
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
    few = texts_behind(found, name) < FEW
    return {"value": measure[name].value, "few": few, "shared": shared, **said, **numbers}


def _heat_map(
    found: ComparisonResult, rows: Rows, told: dict[str, str], titles: Sequence[str]
) -> dict[str, Any] | None:
    """Return a map of pairs: darker for more, on one scale, with the numbers where they have room.

    Cells that few texts stand behind are pale.

    Returns:
        None for more pairs than a chart takes.
    """
    import altair

    if len(rows) > MOST_ROWS:
        return None
    order = [found.label(place) for place in range(len(found.runs))]
    across, down = (len({row[side] for row in rows}) for side in ("to", "from"))
    many = across > MANY
    under = "split(datum.label, ' step ')"  # a step stands under its model
    lines = "replace(datum.label, ' step ', ' ')" if many else under
    longest, beside = (_letters(row[side] for row in rows) * LETTER for side in ("to", "from"))
    # Of the place, not of the cells, whose width the names take part in: else both would turn.
    flat = f"width > 0 && (containerSize()[0] - {beside + BESIDE}) / {across} > {longest}"
    axis = altair.Axis(
        labelAngle=altair.ExprRef(f"{flat} ? 0 : {-90 if many else -45}"),
        labelAlign=altair.ExprRef(f"{flat} ? 'center' : 'right'"),
        labelBaseline=altair.ExprRef(f"{flat} ? 'top' : 'middle'"),
        labelExpr=f"{flat} ? {under} : {lines}",
        labelOverlap=many,
    )
    base = altair.Chart(data(rows)).encode(
        x=altair.X("to:N", title=titles[0], sort=order, axis=axis),
        y=altair.Y("from:N", title=titles[1], sort=order, axis=altair.Axis(labelExpr=lines)),
        tooltip=[altair.Tooltip(f"{name}:N", title=title) for name, title in told.items()],
    )
    opacity = altair.condition("datum.few", altair.value(PALE), altair.value(1))
    cells = base.mark_rect().encode(color=_share_colour(), opacity=opacity)
    height = max(AROUND, (NARROW if many else CELL) * down)
    return specification(altair.layer(cells, *_numbers(base, across)), height)


def _letters(names: Iterable[str]) -> int:
    """Return the length of the longest line of names, under which their steps stand."""
    return max((len(line) for name in names for line in name.split(" step ")), default=1)


def _share_colour() -> "altair.Color":
    """Return the colours of shares from 0% to 100%: the same in every heat map."""
    import altair

    legend = altair.Legend(format=".0%", title=None, orient="top", values=[0, 0.5, 1])
    return altair.Color("value:Q", scale=altair.Scale(domain=[0, 1]), legend=legend)


def _numbers(base: "altair.Chart", across: int) -> list[Any]:
    """Return the percentages in the cells, as large as these allow, and read on any colour.

    Of black and white one has a contrast of 4.5 or more on every colour: 21 is above 4.5 squared.
    """
    import altair

    room = f"width / {across}"
    size = altair.ExprRef(f"{room} < {LEAST_ROOM} ? 0 : min(12, {DIGIT} * {room})")
    written = altair.Text("percent:N")
    ground = "scale('color', datum.value)"
    read = altair.ExprRef(
        f"contrast('white', {ground}) > contrast('black', {ground}) ? 'white' : 'black'"
    )
    base = base.transform_calculate(percent="format(100 * datum.value, '.0f')")
    few, many = (base.transform_filter(f"{no}datum.few") for no in ("", "!"))
    return [
        few.mark_text(fontSize=size).encode(text=written),
        many.mark_text(fontSize=size, color=read).encode(text=written),
    ]


def _with_interval(value: float, ends: tuple[float, float]) -> str:
    return f"{percent(value)}, {interval(ends, percent)}"
