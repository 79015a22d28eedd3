"""Charts of order in likelihoods that readers can ask: the effect of exposure by age."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.verdict import age_text
from memtrace.likelihood.recency import FEW_ROWS
from memtrace.report.charts import data, slider, specification
from memtrace.report.numbers import interval, number
from memtrace.report.tables import checkpoint_column

if TYPE_CHECKING:
    import altair


def age_chart(fit: OrderResult) -> dict[str, Any]:
    """Return the chart of the effect by age with its simultaneous band."""
    import altair

    base = altair.Chart(data(_rows(fit, 0)))
    return specification(altair.layer(*_layers(base, [fit])))


def curves_chart(fits: Sequence[OrderResult], first: int) -> dict[str, Any]:
    """Return the chart of several checkpoints; a slider chooses the one that has its band.

    Args:
        fits: What to draw.
        first: Place of the one that is chosen at first.
    """
    import altair

    rows = [row for place, fit in enumerate(fits) for row in _rows(fit, place + 1)]
    names = [{"place": place + 1, "label": fit.source.label} for place, fit in enumerate(fits)]
    choice = slider("chosen", "Checkpoint", len(fits), first + 1)
    every = altair.Chart(data(rows))
    others = every.mark_line(style="faint").encode(
        x=_age(fits), y=_effect("nats", fits), detail="place:N"
    )
    name = (
        altair.Chart(data(names))
        .transform_filter("datum.place == chosen")
        .mark_text(align="left", fontWeight="bold")
        .encode(x=altair.value(0), y=altair.value(-12), text="label:N")
    )
    layers = _layers(every.transform_filter("datum.place == chosen"), fits)
    chart = altair.layer(others, *layers, name).add_params(choice)
    return specification(chart, sliders={"chosen": [fit.source.label for fit in fits]})


def steps_chart(fits: Sequence[OrderResult]) -> dict[str, Any]:
    """Return the chart of exposed minus unexposed by checkpoint, of those that have both."""
    import altair

    named, steps = checkpoint_column([fit.source.label for fit in fits])
    title = "checkpoint, training step" if named == "step" else named
    rows = [_step_row(fit, step) for fit, step in zip(fits, steps, strict=True)]
    told = [
        altair.Tooltip("label:N", title="checkpoint"),
        altair.Tooltip("nats:Q", title="nats a sequence", format=".3g"),
        altair.Tooltip("interval:N", title="95%"),
        altair.Tooltip("controls:N"),
    ]
    base = altair.Chart(data(rows)).encode(
        x=altair.X(
            "step:O", title=title, sort=steps, axis=altair.Axis(labelAngle=0, labelOverlap=True)
        )
    )
    zero = altair.Chart(data([{"nats": 0.0}])).mark_rule(style="quiet")
    points = base.mark_point(opacity=1, size=45).encode(
        y=altair.Y("nats:Q", title="nats a sequence"),
        tooltip=told,
        color=altair.Color("controls:N", scale=altair.Scale(domain=["hold", "fail"]), legend=None),
    )
    ends = base.mark_rule(style="quiet").encode(
        y=altair.Y("low:Q", title="nats a sequence"), y2="high:Q"
    )
    return specification(altair.layer(zero.encode(y="nats:Q"), ends, points))


def _step_row(fit: OrderResult, step: str) -> dict[str, Any]:
    low, high = fit.difference.interval()
    return {
        "label": fit.source.label,
        "step": step,
        "nats": fit.difference.nats,
        "low": low,
        "high": high,
        "interval": interval((low, high), lambda end: number(end, 3)),
        "controls": "fail" if fit.controls.failed else "hold",
    }


def _layers(base: "altair.Chart", fits: Sequence[OrderResult]) -> "list[Any]":
    """Return a band, the line at 0 and a curve that tells its numbers under the pointer."""
    import altair

    told = [
        altair.Tooltip("label:N", title="checkpoint"),
        altair.Tooltip("ages:N", title="since exposure"),
        altair.Tooltip("nats:Q", format=".3g"),
        altair.Tooltip("band:N", title="95%, all ages at once"),
        altair.Tooltip("sequences:Q", format=","),
    ]
    zero = altair.Chart(data([{"nats": 0.0}])).mark_rule(style="quiet")
    band = base.mark_area(opacity=0.6, interpolate="linear", clip=True)
    line = base.mark_line(point=altair.OverlayMarkDef(size=45))
    return [
        band.encode(x=_age(fits), y=_effect("low", fits), y2="high:Q"),
        zero.encode(y=_effect("nats", fits)),
        line.encode(x=_age(fits), y=_effect("nats", fits), tooltip=told),
    ]


def _age(fits: Sequence[OrderResult]) -> "altair.X":
    """Return the axis of ages; they count from 1 on it, and are written as they are."""
    import altair

    oldest = max(one.steps_ago[1] for fit in fits for one in fit.recency.bins)
    ages = [0, *(digit * 10**power for power in range(12) for digit in (1, 3))]
    ticks = [age + 1 for age in ages if age <= oldest]
    axis = altair.Axis(values=ticks, labelExpr="format(datum.value - 1, ',d')", labelOverlap=True)
    scale = altair.Scale(type="log", base=2, nice=False, padding=8)
    title = f"{fits[0].ages.unit}s since exposure"
    return altair.X("age:Q", title=title, scale=scale, axis=axis)


def _effect(field: str, fits: Sequence[OrderResult]) -> "altair.Y":
    """Return the axis of effects, the same for all checkpoints.

    It holds all curves and the bands of ages with enough rows.
    """
    import altair

    scale = altair.Scale(domain=list(_levels(fits)))
    return altair.Y(f"{field}:Q", title="nats a sequence", scale=scale)


def _levels(fits: Sequence[OrderResult]) -> tuple[float, float]:
    """Return the effects between which the axis lies."""
    bins = [one for fit in fits for one in fit.recency.bins]
    ends = [end for one in bins if one.n >= FEW_ROWS for end in one.band95]
    levels = [0.0, *(one.nats for one in bins), *(end for end in ends if math.isfinite(end))]
    return min(levels), max(levels)


def leaves_figure(fits: Sequence[OrderResult]) -> bool:
    """Return whether a band goes beyond the axis."""
    low, high = _levels(fits)
    bands = [one.band95 for fit in fits for one in fit.recency.bins]
    return any(band[0] < low or band[1] > high for band in bands)


def _rows(fit: OrderResult, place: int) -> list[dict[str, Any]]:
    """Return a row for each bin; ages count from 1, so that a log scale has room for the last."""
    return [
        {
            "place": place,
            "label": fit.source.label,
            "age": ((one.steps_ago[0] + 1) * one.steps_ago[1]) ** 0.5,
            "ages": age_text(one.steps_ago, fit.ages.unit),
            "nats": one.nats,
            "low": one.band95[0],
            "high": one.band95[1],
            "band": interval(one.band95, lambda end: number(end, 3)),
            "sequences": one.n,
        }
        for one in fit.recency.bins
    ]
