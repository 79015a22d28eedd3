"""Charts of emergence that readers can ask: what is memorized by checkpoint, and when it began."""

from typing import Any

import numpy as np

from memtrace.emergence.result import EmergenceResult
from memtrace.report.charts import apart, data, specification
from memtrace.report.numbers import interval, percent

SCALES = {
    "training": "training step",
    "exposure": "steps since the first copy was seen",
    "share": "share of the training that was left",
}
"""Time scale -> what its axis shows."""
GROUPS = {"trained on": "trained on", "not yet trained on": "not yet"}
"""Group of texts -> what its line is called: short, for small screens."""
MANY = 40
"""Checkpoints above which their intervals are one band."""
ROOM = 1.5
"""Of the highest share, up to which intervals are drawn: the first ones hold few texts."""


def share_chart(fit: EmergenceResult) -> dict[str, Any]:
    """Return the chart of the share memorized by checkpoint, and that of the control group."""
    import altair

    rows = _share_rows(fit)
    top = min(1.0, ROOM * max((row["share"] for row in rows), default=0)) or 1.0
    ends = [[row for row in rows if row["group"] == name][-1:] for name in GROUPS]
    last = [row for end in ends for row in end]
    for row, at in zip(last, apart([row["share"] for row in last], top), strict=True):
        row["at"] = at
    unit = fit.histories.unit
    share = f"share of the {unit}s evaluated"
    base = altair.Chart(data(rows)).encode(
        x=altair.X("step:Q", title="checkpoint, training step", scale=altair.Scale(nice=False)),
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
    interval_mark = base.mark_area(clip=True, opacity=0.25) if many else base.mark_rule(clip=True)
    names = base.transform_filter("isValid(datum.at)").mark_text(align="left", dx=8)
    return specification(
        altair.layer(
            interval_mark.encode(
                y=altair.Y("low:Q", title=share, axis=axis, scale=within), y2="high:Q"
            ),
            base.mark_line(point=altair.OverlayMarkDef(size=15 if many else 45)).encode(
                y=altair.Y("share:Q", title=share, axis=axis, scale=within), tooltip=told
            ),
            names.encode(y=altair.Y("at:Q", title=share, scale=within), text="name:N"),
        )
    )


def time_chart(fit: EmergenceResult) -> dict[str, Any]:
    """Return the chart of the time of emergence; the reader chooses one of three time scales."""
    import altair

    rows = [row for name in SCALES for row in _time_rows(fit, name)]
    shown = [title for title in SCALES.values() if any(row["scale"] == title for row in rows)]
    choice = altair.param(
        name="scale", value=shown[0], bind=altair.binding_select(options=shown, name="Time: ")
    )
    share = f"share of the {fit.histories.unit}s"
    axis = altair.Axis(format=".2~%")
    base = (
        altair.Chart(data(rows))
        .transform_filter("datum.scale == scale")
        .encode(x=altair.X("time:Q", title="time, as chosen below"))
    )
    low = altair.Y("low:Q", title=share, axis=axis)
    y = altair.Y("share:Q", title=share, axis=axis)
    told = [altair.Tooltip("time:Q", format=",.3~g"), altair.Tooltip("interval:N", title="emerged")]
    band = base.mark_area(opacity=0.6, interpolate="step-after").encode(y=low, y2="high:Q")
    line = base.mark_line(interpolate="step-after", point=altair.OverlayMarkDef(size=25))
    return specification(altair.layer(band, line.encode(y=y, tooltip=told)).add_params(choice))


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
                "name": GROUPS[name],
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
    """Return the share emerged up to each right end; where it begins nothing has emerged."""
    scale = fit.time_scales[name]
    if not scale.emerged > 0:
        return []
    columns = (
        np.append(0.0, scale.right),
        np.append(0.0, scale.share),
        np.append(0.0, np.maximum.accumulate(scale.low)),
        np.append(0.0, np.maximum.accumulate(scale.high)),
    )
    return [
        {
            "scale": SCALES[name],
            "time": float(time),
            "share": float(share),
            "low": float(low),
            "high": float(high),
            "interval": f"{percent(float(share))}, {interval((float(low), float(high)), percent)}",
        }
        for time, share, low, high in zip(*columns, strict=True)
    ]
