"""The chart of the rate along training of one fit of many: a slider chooses it.

Where sequences are copies the rate is that of texts that occur once: they are independent. So each
tenth of training has the range in which random order puts it, and an exact interval.
"""

from collections.abc import Sequence
from typing import Any

from scipy import stats

from memtrace.point_process.figures.training import relative_parts
from memtrace.point_process.order import FEW_EVENTS
from memtrace.point_process.result import PoissonResult
from memtrace.report.charts import data, slider, specification
from memtrace.report.numbers import count, interval, number

NONE = f"No checkpoint has {FEW_EVENTS} events that are independent: too few to draw a rate."
LEAST_TOP, ROOM = 1.5, 1.35
"""Rate over mean rate that the axis reaches in any case, and how far it goes above the highest."""


def is_drawn(fit: PoissonResult) -> bool:
    """Return whether a fit has enough events for points."""
    return fit.primary is not None


def slides_described(fits: Sequence[PoissonResult]) -> str:
    """Return the alternative text of the chart: how far the tenths of the drawn fits reach."""
    rows = [row for fit in fits if is_drawn(fit) for row in _tenths(0, fit)]
    if not rows:
        return NONE
    rates = [row["rate"] for row in rows]
    inside = sum(row["low"] <= row["rate"] <= row["high"] for row in rows)
    drawn = count(sum(map(is_drawn, fits)), "checkpoint")
    return (
        f"Points for tenths of training at {drawn}, chosen with a slider: rates of "
        f"{interval((min(rates), max(rates)), _short)} times the mean, {inside:,} of {len(rows):,} "
        "inside the band of random orders."
    )


def slides_caption(fits: Sequence[PoissonResult]) -> str:
    """Return the caption: it says whether points have intervals."""
    found = [fit for fit in fits if is_drawn(fit)]
    if not found:
        return NONE
    unknown = [fit for fit in found if fit.by_text is None]
    told = (
        "Tenths of the training before a checkpoint, with exact 95% intervals. In a random order "
        "95% of the points lie in the band: the fewer events, the wider."
    )
    if any(fit.has_copies for fit in found):
        where = "Where copies are known these are" if unknown else "These are"
        told += f" {where} texts that occur once."
    if unknown:
        told += " Where copies are not known, rows are taken as different texts."
    return told


def slider_chart(fits: Sequence[PoissonResult]) -> dict[str, Any]:
    """Return the chart of the rate in tenths of training; a slider chooses the fit.

    The axes are the same for all fits. In place of a fit with too few events stands a sentence.
    """
    import altair

    rows = [row for i, fit in enumerate(fits, 1) if is_drawn(fit) for row in _tenths(i, fit)]
    top = ROOM * max([LEAST_TOP, *(row["rate"] for row in rows)])
    told = [
        {"place": place, "fit": fit.events.label, "of": _events(fit), "reason": _too_few(fit)}
        for place, fit in enumerate(fits, 1)
    ]
    # The fit that most is known of, the last of several.
    first = max(range(len(fits)), key=lambda i: (is_drawn(fits[i]), fits[i].events.n_events, i))
    choice = slider("chosen", "Checkpoint", len(fits), first + 1)
    title, scale = "rate / mean rate", altair.Scale(domain=[0, top], nice=False)
    parts = altair.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
    whole = altair.Scale(domain=[0, 1], nice=False)
    so_far = "share of the training so far"
    x = altair.X("x:Q", title=so_far, axis=parts, scale=whole)
    base = altair.Chart(data(rows)).transform_filter("datum.place == chosen").encode(x=x)
    words = [
        altair.Tooltip("part:N", title="part of training"),
        altair.Tooltip("events:Q", title="memorized", format=","),
        altair.Tooltip("of:Q", title="of", format=","),
        altair.Tooltip("rate:Q", title=title, format=".3f"),
        altair.Tooltip("interval:N", title="exact 95%"),
        altair.Tooltip("random:N", title="95% of random orders"),
    ]
    mean = altair.Chart(data([{"rate": 1.0}])).mark_rule(strokeDash=[4, 3], style="quiet")
    which = altair.Chart(data(told)).transform_filter("datum.place == chosen")
    middle = {"x": altair.value(altair.ExprRef("width / 2")), "y": altair.value(60)}
    band = base.mark_bar(style="band", clip=True).encode(
        x=altair.X("start:Q", title=so_far, axis=parts, scale=whole),
        x2="stop:Q",
        y=altair.Y("low:Q", title=title, scale=scale),
        y2="high:Q",
    )
    layers = altair.layer(
        band,
        mean.encode(y=altair.Y("rate:Q", title=title, scale=scale)),
        base.mark_rule(style="quiet", clip=True).encode(
            y=altair.Y("least:Q", title=title, scale=scale), y2="most:Q"
        ),
        base.mark_point(opacity=1, size=45).encode(
            y=altair.Y("rate:Q", title=title, scale=scale), tooltip=words
        ),
        which.mark_text(align="left", fontWeight="bold").encode(
            x=altair.value(0), y=altair.value(-28), text="fit:N"
        ),
        which.mark_text(align="left").encode(x=altair.value(0), y=altair.value(-12), text="of:N"),
        which.mark_text(align="center", fontSize=14, lineBreak="\n").encode(
            **middle, text="reason:N"
        ),
    )
    labels = [fit.events.label for fit in fits]
    return specification(layers.add_params(choice), sliders={"chosen": labels})


def _events(fit: PoissonResult) -> str:
    """Say of how many events the points are."""
    if fit.primary is None:
        return ""
    n = fit.primary.events.n_events
    if fit.has_copies:
        return count(n, "memorized text that occurs once", "memorized texts that occur once")
    return f"{count(n, 'sequence')} memorized"


def _too_few(fit: PoissonResult) -> str:
    """Say why there are no points, or nothing."""
    if is_drawn(fit):
        return ""
    if not fit.events.n_events:
        return "nothing memorized"
    if fit.events.n_events == fit.events.exposure:
        return "everything memorized"
    if fit.has_copies:
        texts = count(fit.gate.events.n_events, "memorized text occurs", "memorized texts occur")
        return f"{texts} once:\ntoo few to draw a rate"
    return f"{count(fit.events.n_events, 'sequence')} memorized:\ntoo few to draw a rate"


def _tenths(place: int, fit: PoissonResult) -> list[dict[str, Any]]:
    """Return a row for each tenth that was scanned: its rate over the mean, and two ranges."""
    order = fit.primary or fit.order
    events, parts = order.events, relative_parts(fit, order)
    random = stats.hypergeom(events.exposure, events.n_events, parts.exposures)
    low, high = (random.ppf(end) / parts.exposures / events.fraction for end in (0.025, 0.975))
    columns = {
        "start": parts.start / events.n,
        "stop": parts.stop / events.n,
        "rate": parts.rate,
        "low": low,
        "high": high,
        "least": parts.low,
        "most": parts.high,
        "events": parts.counts,
        "of": parts.exposures,
    }
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    found = [{"place": place, **dict(zip(columns, row, strict=True))} for row in rows]
    for row in found:
        row["x"] = (row["start"] + row["stop"]) / 2
        row["part"] = f"{100 * row['start']:.0f}% to {100 * row['stop']:.0f}%"
        row["random"] = interval((row["low"], row["high"]), _short)
        row["interval"] = interval((row["least"], row["most"]), _short)
    return found


def _short(value: float) -> str:
    return number(value, 3)
