"""Charts of fits that readers can ask: rate over training, cumulative deviation, drifts."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.point_process.diagnostics.uniformity import deviations
from memtrace.point_process.figures.axes import axis_name, position
from memtrace.point_process.figures.training import CURVE, rate_in_parts, rate_top
from memtrace.point_process.result import PoissonResult
from memtrace.report.charts import data, specification
from memtrace.report.numbers import p_value
from memtrace.report.tables import checkpoint_column

if TYPE_CHECKING:
    import altair

SPLINE = 25
"""Points of a curve in a chart: enough for a smooth line."""
NEAR = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0)
FAR = (0.001, 0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0)
"""Ticks of a narrow and of a wide axis of ratios."""
WIDE = 2.5
"""Times its lower end to which a wide one reaches."""
FARTHEST = 1000
"""Ratio that a chart of drifts draws at most: one wild fit would flatten all others."""


def rate_chart(fit: PoissonResult, texts: str = "") -> dict[str, Any]:
    """Return the chart of the rate in equal parts, the spline with its band, and known cuts.

    Hovering a part shows its steps, its count and its exact 95% interval. Of copies there are
    neither intervals nor a band.

    Args:
        fit: The fit.
        texts: Page that lists the texts; a click on a part leads to those that have a copy in it.
    """
    import altair

    x = altair.X("x:Q", title=_axis(fit))
    y = altair.Y("rate:Q", title=_rate_axis(fit))
    low = altair.Y("low:Q", title=_rate_axis(fit))
    # One layer has the ends of the axes for all: a page of many charts is smaller so.
    whole = position(fit, np.array([0.0, fit.events.n])).tolist()
    all_x = altair.X("x:Q", title=_axis(fit), scale=altair.Scale(domain=whole, nice=False))
    top = altair.Scale(domain=[0, float(f"{rate_top(fit):.4g}")])
    all_y = altair.Y("rate:Q", title=_rate_axis(fit), scale=top)
    points = altair.Chart(data(_part_rows(fit, texts)))
    told = [
        altair.Tooltip("x:Q", title=f"{_axis(fit)}, middle of the part", format=",.0f"),
        altair.Tooltip("events:Q", title="memorized", format=","),
        altair.Tooltip("of:Q", title="of sequences", format=","),
        altair.Tooltip("rate:Q", format=".4g"),
    ]
    ends = []
    if not fit.has_copies:
        told.append(altair.Tooltip("low:Q", title="exact 95%, from", format=".4g"))
        told.append(altair.Tooltip("high:Q", title="to", format=".4g"))
        ends.append(points.mark_rule(style="quiet").encode(x=x, y=low, y2="high:Q"))
    mean = altair.Chart(data([{"rate": fit.rate_per_window}]))
    layers = [
        *_spline(fit, x, y, low),
        *_cuts(fit, x),
        mean.mark_rule(strokeDash=[4, 3], style="quiet").encode(y=y),
        *ends,
        points.mark_point(size=45, opacity=1, cursor="pointer" if texts else "default").encode(
            x=all_x, y=all_y, tooltip=told
        ),
    ]
    return specification(altair.layer(*layers))


def cumulative_chart(fit: PoissonResult) -> dict[str, Any]:
    """Return the chart of how far the events run ahead of the sequences, with its 95% band."""
    import altair

    events, spread = fit.events, fit.uniformity
    before, after = deviations(events.ranks, events.exposure)
    kept = np.unique(np.linspace(0, events.n_events - 1, CURVE // 2).astype(np.int64))
    kept = np.union1d(kept, [np.abs(before).argmax(), np.abs(after).argmax()])
    xs = position(fit, np.repeat(events.positions[kept], 2))
    ys = np.column_stack((before[kept], after[kept])).ravel()
    rows = [
        {"x": float(at), "ahead": 100 * float(y), "order": i}
        for i, (at, y) in enumerate(zip(xs, ys, strict=True))
    ]
    bound = 100 * spread.ks_critical95
    ends = position(fit, np.array([0.0, events.n]))
    band = [{"x": float(end), "low": -bound, "high": bound} for end in ends]
    x = altair.X("x:Q", title=_axis(fit), scale=altair.Scale(nice=False))
    y_title = "events ahead, % of all events"
    y = altair.Y("ahead:Q", title=y_title)
    told = [
        altair.Tooltip("x:Q", title=_axis(fit), format=",.0f"),
        altair.Tooltip("ahead:Q", title="ahead, %", format=".2f"),
    ]
    inside = altair.Chart(data(band)).mark_area(opacity=0.6)
    line = altair.Chart(data(rows)).mark_line(tooltip=True)
    return specification(
        altair.layer(
            inside.encode(x=x, y=altair.Y("low:Q", title=y_title), y2="high:Q"),
            line.encode(x=x, y=y, order="order:Q", tooltip=told),
        )
    )


def drift_chart(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the chart of the drift of many fits, those that have one, in their order.

    Args:
        rows: What `several.comparison` returns.
    """
    import altair

    found = [
        {
            "fit": row["label"],
            "place": place + 1,
            "ratio": row["rate_ratio"],
            "at": _bounded(row["rate_ratio"]),
            "low": _bounded(row["ci90"][0]),
            "high": _bounded(row["ci90"][1]),
            "p": p_value(row["p_value_holm"]),
        }
        for place, row in enumerate(rows)
        if math.isfinite(row["rate_ratio"])
    ]
    within = altair.Scale(domain=[found[0]["place"] - 0.5, found[-1]["place"] + 0.5], nice=False)
    places = [row["place"] for row in found]
    name, names = checkpoint_column([row["label"] for row in rows], "fit")
    named = f"{json.dumps(names)}[datum.value - 1]"
    which = altair.Axis(values=places, labelExpr=named, labelOverlap=True, grid=False)
    named_as = "checkpoint, training step" if name == "step" else name
    base = altair.Chart(data(found)).encode(
        x=altair.X("place:Q", title=named_as, axis=which, scale=within)
    )
    title = "rate, end/start"
    scale, ratios = altair.Scale(type="log", nice=False, padding=6), _ratio_axis(found)
    told = ["fit:N", altair.Tooltip("ratio:Q", title=title, format=".3g")]
    told.append(altair.Tooltip("p:N", title="p, Holm"))
    one = altair.Chart(data([{"ratio": 1.0}])).mark_rule(strokeDash=[4, 3], style="quiet")
    return specification(
        altair.layer(
            base.mark_rule(style="quiet").encode(
                y=altair.Y("low:Q", title=title, scale=scale, axis=ratios), y2="high:Q"
            ),
            base.mark_point(opacity=1).encode(
                y=altair.Y("at:Q", title=title, scale=scale, axis=ratios), tooltip=told
            ),
            one.encode(y=altair.Y("ratio:Q", title=title, scale=scale, axis=ratios)),
        )
    )


def is_far(ratio: float) -> bool:
    """Return whether a ratio is drawn at `FARTHEST` in its place."""
    return ratio != _bounded(ratio)


def _ratio_axis(rows: Sequence[dict[str, Any]]) -> "altair.Axis":
    """Return an axis of ratios that has 1 in any case, and round ratios around it."""
    import altair

    levels = [1.0, *(row[end] for row in rows for end in ("low", "at", "high"))]
    low, high = min(levels), max(levels)
    ticks = NEAR if high / low < WIDE else FAR
    return altair.Axis(values=[tick for tick in ticks if low <= tick <= high], format="~g")


def _bounded(ratio: float) -> float:
    """Return a ratio within the chart; NaN stays what it is."""
    return min(max(ratio, 1 / FARTHEST), FARTHEST)


def _part_rows(fit: PoissonResult, texts: str) -> list[dict[str, Any]]:
    parts = rate_in_parts(fit)
    columns = {
        "x": parts.x,
        "rate": parts.rate,
        "events": parts.counts,
        "of": parts.exposures,
    }
    if not fit.has_copies:
        columns |= {"low": parts.low, "high": parts.high}
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    if texts:
        for row, start, stop in zip(found, parts.start, parts.stop, strict=True):
            row["anchor"] = f"{texts}#rows={start}-{stop - 1}"
    return found


def _spline(fit: PoissonResult, x: "altair.X", y: "altair.Y", low: "altair.Y") -> list[Any]:
    import altair

    curve = fit.spline
    if not len(curve.u) or fit.trend.reason:
        return []
    kept = np.unique(np.linspace(0, len(curve.u) - 1, SPLINE).astype(np.int64))
    columns = np.column_stack((curve.rate, curve.low, curve.high))[kept] * fit.window
    rows = [
        {"x": float(at), "rate": float(rate), "low": float(below), "high": float(above)}
        for at, (rate, below, above) in zip(
            position(fit, curve.u[kept] * fit.events.n), columns, strict=True
        )
    ]
    chart = altair.Chart(data(rows))
    line = chart.mark_line(clip=True).encode(x=x, y=y)
    if fit.has_copies:
        return [line]
    return [chart.mark_area(opacity=0.6, clip=True).encode(x=x, y=low, y2="high:Q"), line]


def _cuts(fit: PoissonResult, x: "altair.X") -> list[Any]:
    import altair

    if not fit.cuts:
        return []
    places = position(fit, np.array([cut.index for cut in fit.cuts]))
    rows = [{"x": float(at), "cut": cut.name} for at, cut in zip(places, fit.cuts, strict=True)]
    lines = altair.Chart(data(rows)).mark_rule(strokeDash=[2, 3], style="alert")
    return [lines.encode(x=x, tooltip=["cut:N"])]


def _rate_axis(fit: PoissonResult) -> str:
    return f"memorized per {fit.window:,} sequences"


def _axis(fit: PoissonResult) -> str:
    return axis_name(fit)
