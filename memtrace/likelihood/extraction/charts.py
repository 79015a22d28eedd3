"""The chart of extraction that readers can ask: the share of texts against the samples drawn."""

import math
from typing import Any

from memtrace.likelihood.extraction.figures import Curve, curves, middle_chance
from memtrace.likelihood.extraction.result import ExtractionResult, Share
from memtrace.report.charts import OVER, UNDER, apart, data, specification
from memtrace.report.numbers import percent

ROOM = 0.06
"""Of the axis of shares, above and below what is drawn."""
DECADES = 2
"""Powers of ten above which an axis has these alone as ticks."""
LINES = {"exposed": UNDER, "unexposed": OVER}


def sample_chart(fit: ExtractionResult) -> dict[str, Any]:
    """Return the chart of the share of texts against the number of samples, on log axes.

    The reader chooses the chance; at first it is the one nearest to one half.
    """
    import altair

    drawn, share_of = curves(fit), f"share of {fit.unit}s"
    chances = sorted({one.p for one in drawn})
    greedy = [(name, fit.greedy[name]) for name in LINES if fit.greedy[name].texts]
    bottom, top = _ends(drawn, [one.share for _, one in greedy])
    rows = [
        {**row, "class": fit.called(row["class"])}
        for p in chances
        for row in _rows([one for one in drawn if one.p == p], top, bottom)
    ]
    choice = altair.param(
        name="chance",
        value=_chance(middle_chance(fit)),
        bind=altair.binding_select(options=[_chance(p) for p in chances], name="With a chance of "),
    )
    shares = altair.Scale(type="log", domain=[10**bottom, 10**top], nice=False)
    few = altair.Axis(format="~%", values=_ticks(bottom, top))
    most = max(float(one.n[-1]) for one in drawn)
    log = altair.Scale(type="log", domain=[1, max(most, 10.0)], nice=False)
    x = altair.X("n:Q", title="samples n", scale=log, axis=altair.Axis(tickCount=4))
    y = altair.Y("share:Q", title=share_of, scale=shares, axis=few)
    marks = {fit.called(name): line for name, line in LINES.items()}
    classes = list(marks)
    base = altair.Chart(data(rows)).transform_filter("datum.chance == chance")
    base = base.encode(
        x=x, color=altair.Color("class:N", scale=altair.Scale(domain=classes), legend=None)
    )
    told = [
        altair.Tooltip("n:Q", title="samples", format=","),
        altair.Tooltip("share:Q", title=share_of, format=".3%"),
        altair.Tooltip("class:N", title=f"{fit.unit}s"),
        altair.Tooltip("chance:N", title="with a chance of"),
    ]
    lines = [
        base.transform_filter(f"datum.class == '{name}'").mark_line(**line).encode(y=y)
        for name, line in marks.items()
    ]
    ends = base.transform_filter("isValid(datum.at)")
    names = ends.mark_text(align="left", dx=8).encode(
        y=altair.Y("at:Q", title=share_of, scale=shares), text="class:N"
    )
    asked = base.mark_point(size=120, opacity=0).encode(y=y, tooltip=told)
    dots = ends.mark_point(size=40, opacity=1).encode(y=y, tooltip=told)
    layers = altair.layer(_greedy(greedy, y), *lines, names, asked, dots)
    return specification(layers.add_params(choice))


def _greedy(found: list[tuple[str, Share]], y: Any) -> Any:
    """Return dotted lines at what greedy decoding returns, each named at its beginning."""
    import altair

    rows = [
        {
            "class": name,
            "share": one.share,
            "n": 1,
            "name": "greedy",
            "count": f"{one.texts:,} of {one.of_texts:,}",
        }
        for name, one in found
    ]
    base = altair.Chart(data(rows)).encode(
        y=y, color=altair.Color("class:N", scale=altair.Scale(domain=list(LINES)), legend=None)
    )
    told = ["class:N", altair.Tooltip("count:N", title="greedy decoding")]
    lines = base.mark_rule(strokeDash=[2, 3]).encode(tooltip=told)
    names = base.mark_text(align="left", dx=4, dy=-7).encode(x=altair.value(0), text="name:N")
    return altair.layer(lines, names)


def _chance(p: float) -> str:
    return f"{percent(p)} or more"


def _ends(drawn: list[Curve], greedy: list[float]) -> tuple[float, float]:
    """Return the logarithms of the shares between which the axis lies, with room on either side."""
    levels = [*(level for one in drawn for level in (one.share.min(), one.share.max())), *greedy]
    bottom, top = math.log10(min(levels)), math.log10(max(levels))
    room = ROOM * max(top - bottom, 1.0)
    return bottom - room, top + room


def _ticks(bottom: float, top: float) -> list[float]:
    """Return round shares between two logarithms: powers of ten where they are far apart."""
    digits = (1,) if top - bottom > DECADES else (1, 2, 5)
    powers = range(math.floor(bottom), math.ceil(top) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    return [tick for tick in ticks if 10**bottom <= tick <= min(10**top, 1.0)]


def _rows(drawn: list[Curve], top: float, bottom: float) -> list[dict[str, Any]]:
    """Return the points of the curves of one chance; the last of each has the place of its name."""
    ends = [math.log10(one.share[-1]) for one in drawn]
    rows = []
    for one, at in zip(drawn, apart(ends, top - bottom, bottom), strict=True):
        points = [
            {"n": int(n), "share": float(y), "class": one.name, "chance": _chance(one.p)}
            for n, y in zip(one.n, one.share, strict=True)
        ]
        points[-1]["at"] = 10**at
        rows += points
    return rows
