"""The chart of texts by the runs that memorized them: bars above dots (Lex et al. 2014)."""

import json
from typing import Any

from memtrace.comparison.combinations_figure import MOST_BARS
from memtrace.comparison.result import ComparisonResult
from memtrace.report.charts import data, specification
from memtrace.report.numbers import percent
from memtrace.report.typeset import typeset

LINE = 20
"""Height of a run, in CSS pixels."""
BARS = 8
"""Height of the highest bar, in lines."""
LEAST = 6
"""Bars that have room: fewer are no wider."""
DIGIT = 8
"""Width of a digit, in CSS pixels."""


def combinations_chart(found: ComparisonResult) -> dict[str, Any] | None:
    """Return the chart of how many texts exactly these runs memorized, above the runs.

    One axis has both: bars stand above 0, and each run has a line below it. So the chart has one
    width, that of its place.
    """
    import altair

    one = found.combinations
    if one is None or not len(one.texts):
        return None
    runs = [typeset(found.label(place)) for place in one.runs]
    names = json.dumps(runs, ensure_ascii=False)
    lines = [-place for place in range(1, len(runs) + 1)]
    scale = altair.Scale(domain=[-len(runs) - 0.6, BARS + 1.6], nice=False)
    axis = altair.Axis(
        values=lines, labelExpr=f"{names}[-datum.value - 1]", grid=False, domain=False, ticks=False,
        labelOverlap=False, labelLimit=200,
    )  # fmt: skip

    def level(column: str) -> altair.Y:
        return altair.Y(f"{column}:Q", title=None, scale=scale, axis=axis)

    rows = _bars(found, runs)
    places = list(range(max(LEAST, len(rows))))
    within = altair.Scale(domain=places, paddingInner=0.25, paddingOuter=0.1)
    x = altair.X("place:O", axis=None, scale=within)
    told = [altair.Tooltip("by:N", title="memorized by"), altair.Tooltip("of:N", title="texts")]
    bars = altair.Chart(data(rows)).encode(x=x, tooltip=told)
    upright = f"width / {len(places)} < {DIGIT * max(len(row['texts']) for row in rows)}"
    numbers = bars.mark_text(
        angle=altair.ExprRef(f"{upright} ? 270 : 0"),
        align=altair.ExprRef(f"{upright} ? 'left' : 'center'"),
        baseline=altair.ExprRef(f"{upright} ? 'middle' : 'bottom'"),
        dx=altair.ExprRef(f"{upright} ? 4 : 0"),
        dy=altair.ExprRef(f"{upright} ? 0 : -3"),
    )
    dots = altair.Chart(data(_dots(found, rows))).encode(x=x, y=level("line"))
    point: dict[str, Any] = {"size": 70, "opacity": 1}
    layers = [
        bars.mark_bar().encode(y=level("height"), y2=altair.datum(0)),
        numbers.encode(y=level("height"), text="texts:N"),
        dots.transform_filter("!datum.member").mark_point(style="band", **point),
        bars.mark_rule(strokeWidth=2, style="ink").encode(y=level("low"), y2="high"),
        dots.transform_filter("datum.member").mark_point(style="ink", **point).encode(tooltip=told),
    ]
    return specification(altair.layer(*layers), LINE * (BARS + 2 + len(runs)))


def _bars(found: ComparisonResult, runs: list[str]) -> list[dict[str, Any]]:
    """Return a row for each combination that is drawn: its texts, its runs, and where they are."""
    one = found.combinations
    if one is None:
        return []
    rows = []
    for place, (texts, members) in enumerate(zip(one.texts, one.members, strict=True)):
        which = members.nonzero()[0]
        by = "all" if len(which) == len(runs) > 1 else ", ".join(runs[at] for at in which)
        share = percent(int(texts) / one.scanned) if one.scanned else ""
        rows.append(
            {
                "place": place,
                "texts": f"{int(texts):,}",
                "of": f"{int(texts):,}, {share} of {one.scanned:,}",
                "by": by,
                "height": BARS * int(texts) / int(one.texts[0]),
                "low": -1.0 - int(which[-1]),
                "high": -1.0 - int(which[0]),
            }
        )
    return rows[:MOST_BARS]


def _dots(found: ComparisonResult, bars: list[dict[str, Any]]) -> list[dict[str, Any]]:
    one = found.combinations
    if one is None:
        return []
    return [
        {
            "place": bar["place"],
            "line": -1 - run,
            "member": bool(one.members[bar["place"], run]),
            "by": bar["by"],
            "of": bar["of"],
        }
        for bar in bars
        for run in range(len(one.runs))
    ]
