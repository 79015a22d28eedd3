"""Charts of emergence that readers can ask: what is memorized by checkpoint, and when it began."""

import math
from typing import TYPE_CHECKING, Any

from memtrace.emergence.figures import course, share_top
from memtrace.emergence.result import EmergenceResult
from memtrace.report.charts import OVER, UNDER, apart, data, specification, step_axis
from memtrace.report.numbers import interval, number, percent
from memtrace.types import Interval

if TYPE_CHECKING:
    import altair

SCALES = {
    "training": "training step",
    "exposure": "steps since the first copy was seen",
    "share": "share of the training that was left",
}
"""Time scale -> what its axis shows."""
GROUPS = {"trained on": UNDER, "not yet trained on": OVER}
"""Group of texts -> how its line is drawn."""
NAMES = {"trained on": "trained on", "not yet trained on": "not yet"}
"""Group of texts -> what its line is called: short, for small screens."""
MANY = 40
"""Checkpoints above which their intervals are one band."""


def share_chart(fit: EmergenceResult) -> dict[str, Any]:
    """Return the chart of the share memorized by checkpoint, and that of the control group."""
    import altair

    rows, top = _share_rows(fit), share_top(fit)
    ends = [[row for row in rows if row["group"] == name][-1:] for name in GROUPS]
    last = [row for end in ends for row in end]
    for row, at in zip(last, apart([row["share"] for row in last], top, 0.0), strict=True):
        row["at"] = at
    unit = fit.histories.unit
    share = f"share of the {unit}s evaluated"
    base = altair.Chart(data(rows)).encode(
        x=altair.X(
            "step:Q",
            title="checkpoint, training step",
            axis=step_axis(),
            scale=altair.Scale(nice=False, padding=6),
        ),
        color=altair.Color("group:N", scale=altair.Scale(domain=list(GROUPS)), legend=None),
    )
    told = [
        altair.Tooltip("step:Q", title="checkpoint", format=","),
        altair.Tooltip("group:N", title=f"{unit}s"),
        altair.Tooltip("count:N", title="memorized"),
        altair.Tooltip("interval:N", title="share, exact 95%"),
        altair.Tooltip("moves:N", title="since the checkpoint before"),
    ]
    axis = altair.Axis(format=".2~%")
    within = altair.Scale(domain=[0, top])
    many = len(fit.checkpoints) > MANY
    low = altair.Y("low:Q", title=share, axis=axis, scale=within)
    y = altair.Y("share:Q", title=share, axis=axis, scale=within)
    layers = []
    for name, line in GROUPS.items():
        group, width = base.transform_filter(f"datum.group == '{name}'"), line["strokeWidth"]
        ends = group.mark_rule(clip=True, strokeWidth=width, opacity=0.6)
        if many:
            ends = group.mark_area(clip=True, opacity=0.25)
        dots = altair.OverlayMarkDef(size=(5 if many else 18) * width)
        layers += [
            ends.encode(y=low, y2="high:Q"),
            group.mark_line(point=dots, **line).encode(y=y, tooltip=told),
        ]
    names = base.transform_filter("isValid(datum.at)").mark_text(align="left", dx=8)
    named = names.encode(y=altair.Y("at:Q", title=share, scale=within), text="name:N")
    return specification(altair.layer(*_half(fit), *layers, named))


def half_emerged(fit: EmergenceResult) -> Interval | None:
    """Return the steps between which half of those that emerged had done so, where that is told."""
    scale = fit.time_scales["training"]
    low, high = scale.among_emerged(0.5).bounds
    return (low, high) if fit.shown and not scale.coarse and math.isfinite(low + high) else None


def _half(fit: EmergenceResult) -> list[Any]:
    """Return a shaded range of steps, named above the figure."""
    import altair

    if not (found := half_emerged(fit)):
        return []
    low, high = found
    rows = [
        {"low": low, "high": high, "steps": f"{interval(found, number)}", "name": "half emerged"}
    ]
    base = altair.Chart(data(rows)).encode(x="low:Q")
    told = [altair.Tooltip("steps:N", title="half had emerged by step")]
    shaded = base.mark_rect(opacity=0.7, style="band", strokeWidth=1).encode(
        x2="high:Q", tooltip=told
    )
    middle = base.transform_calculate(low="(datum.low + datum.high) / 2")
    name = middle.mark_text(baseline="bottom").encode(y=altair.value(-4), text="name:N")
    return [shaded, name]


def time_chart(fit: EmergenceResult) -> dict[str, Any]:
    """Return the chart of the time of emergence; the reader chooses one of the time scales."""
    import altair

    rows = [row for name in drawn_scales(fit) for row in _time_rows(fit, name)]
    shown = [SCALES[name] for name in drawn_scales(fit)]
    several = altair.binding_select(options=shown, name="Time: ")
    bind = several if len(shown) > 1 else altair.Undefined
    choice = altair.param(name="scale", value=shown[0], bind=bind)
    share = f"share of the {fit.histories.unit}s"
    axis = altair.Axis(format=".2~%")
    base = (
        altair.Chart(data(rows))
        .transform_filter("datum.scale == scale")
        .encode(x=altair.X("time:Q", title=None, axis=_time_axis()))
    )
    low = altair.Y("low:Q", title=share, axis=axis)
    y = altair.Y("share:Q", title=share, axis=axis)
    told = [
        altair.Tooltip("by:N"),
        altair.Tooltip("interval:N", title="emerged"),
    ]
    boxes = base.transform_filter("isValid(datum.from)")
    layers = altair.layer(
        base.mark_area(opacity=0.6).encode(y=low, y2="high:Q"),
        boxes.mark_rect(opacity=0.35).encode(x2="from:Q", y=y, y2="before:Q"),
        base.mark_line().encode(y=y, order="place:Q"),
        base.mark_point(size=25, opacity=1).encode(y=y, tooltip=told),
        _time_title(shown),
    )
    return specification(layers.add_params(choice))


def _time_axis() -> "altair.Axis":
    """Return the axis of a time scale: percent of a share, else steps."""
    import altair

    written = f"scale == '{SCALES['share']}' ? format(datum.value, '.2~%') : datum.label"
    return altair.Axis(labelExpr=written, tickCount=step_axis().tickCount, labelPadding=4)


def _time_title(shown: list[str]) -> Any:
    """Return the title of the time scale that is chosen, below the axis."""
    import altair

    middle, below = altair.ExprRef("width / 2"), altair.ExprRef("height + 34")
    titles = altair.Chart(data([{"scale": title} for title in shown]))
    return (
        titles.transform_filter("datum.scale == scale")
        .mark_text(align="center", fontSize=12.5)
        .encode(x=altair.value(middle), y=altair.value(below), text="scale:N")
    )


def drawn_scales(fit: EmergenceResult) -> list[str]:
    """Return the time scales of which the chart shows the curve."""
    return [name for name in SCALES if fit.time_scales[name].drawn]


def _share_rows(fit: EmergenceResult) -> list[dict[str, Any]]:
    rows = []
    for one in fit.checkpoints:
        groups = {
            "trained on": (one.memorized, one.exposed, one.share_ci95),
            "not yet trained on": (one.extractable, one.unexposed, one.unexposed_ci95),
        }
        moves = f"{one.learned:,} new, {one.learned_again:,} again, {one.lost:,} lost"
        rows += [
            {
                "step": one.step,
                "group": name,
                "name": NAMES[name],
                "share": events / of,
                "low": ends[0],
                "high": ends[1],
                "count": f"{events:,} of {of:,}",
                "interval": f"{percent(events / of)}, {interval(ends, percent)}",
                "moves": moves if name == "trained on" else "",
            }
            for name, (events, of, ends) in groups.items()
            if of
        ]
    return rows


def _time_rows(fit: EmergenceResult, name: str) -> list[dict[str, Any]]:
    """Return the course of the share, and with each right end where its box begins."""
    times, *levels = course(fit.time_scales[name])
    form = percent if name == "share" else number
    rows = [
        {
            "scale": SCALES[name],
            "place": place,
            "time": time,
            "by": form(time),
            "share": share,
            "low": low,
            "high": high,
            "interval": f"{percent(share)}, {interval((low, high), percent)}",
        }
        for place, (time, share, low, high) in enumerate(
            zip(*(values.tolist() for values in (times, *levels)), strict=True)
        )
    ]
    for left, right in zip(rows[1:-1:2], rows[2:-1:2], strict=True):
        right["from"], right["before"] = left["time"], left["share"]
    return rows
