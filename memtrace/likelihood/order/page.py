"""The page of order in likelihoods, of one checkpoint or several."""

import math
from collections.abc import Sequence
from typing import Any

from memtrace.likelihood.order.figures import CAPTIONS, curves, shown, single
from memtrace.likelihood.order.methods import METHODS
from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.several import COLUMNS, LEGEND, table_rows
from memtrace.likelihood.order.text import printed
from memtrace.likelihood.order.verdict import age_text, verdict
from memtrace.report.charts import available, data, specification
from memtrace.report.figures import png
from memtrace.report.numbers import count, interval, number, p_text
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_of, parted
from memtrace.report.text import rendered

QUESTION = "Does training order matter, in the likelihoods?"
OF_SEVERAL = (
    "Mean log-likelihood of exposed sequences by age, less that of unexposed ones at equal "
    "baseline, a line a checkpoint, named by its step at its end."
)
NAMED = 3.5
"""Factor of age between two lines that carry their checkpoint."""
TITLES = {"by-age": "Effect by time since exposure", "exposure": "Exposed minus unexposed"}
TESTED = (
    "Whether exposed sequences are likelier than unexposed ones, whether order and likelihood go "
    "together among exposed ones, and whether any age differs (Holm over the three at 5%).",
    "Whether the rows look shuffled: rank correlation among unexposed rows, and balance of the "
    "baseline. Where one of these controls fails nothing is concluded.",
)
LIMITS = (
    "A rank correlation is a test: its size depends on the range of ages, since the effect of age "
    "is not steady. The curve by age is the size.",
    "Checkpoints are not replicates: their likelihoods are of the same sequences.",
)


def order_page(fits: Sequence[OrderResult]) -> Page:
    """Return the page of one checkpoint or several."""
    findings = [finding(fit, f"checkpoint-{i + 1}") for i, fit in enumerate(fits)]
    summary = _summary(fits, findings) if len(fits) > 1 else None
    return page_of(QUESTION, findings, summary, METHODS)


def finding(
    fit: OrderResult,
    name: str = "checkpoint",
    names: Sequence[str] | None = None,
    *,
    charts: bool = True,
) -> Finding:
    """Return what is shown of one checkpoint.

    Args:
        fit: The result.
        name: Its place on the page.
        names: Of the figures to show; all that there are if left out.
        charts: Charts where they can be drawn; else pictures.
    """
    figures = [_shown(fit, one, charts) for one in (names or shown(fit))]
    answer, rest = parted(verdict(fit))
    return Finding(
        name=name,
        label=fit.source.label or "Order in likelihoods",
        answer=answer,
        rest=rest,
        facts=_facts(fit),
        figure=figures[0] if figures else None,
        tested=TESTED,
        limits=[*LIMITS, *([f"{fit.caveat.capitalize()}."] if fit.caveat else [])],
        figures=figures[1:],
        printed=rendered(printed(fit)),
        provenance=[("run", source) for source in fit.source.runs],
    )


def head(fit: OrderResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(fit, names=shown(fit)[:1], charts=False)


def _shown(fit: OrderResult, name: str, charts: bool) -> Shown:
    chart = age_chart([fit]) if charts and available() and name == "by-age" else None
    alt = f"{CAPTIONS[name]} {verdict(fit)}"
    image = None if chart else png(single(fit, name))
    return Shown(TITLES[name], alt, CAPTIONS[name], image, chart)


def _facts(fit: OrderResult) -> list[Fact]:
    d, rho, largest = fit.difference, fit.order, fit.recency.largest
    facts = []
    if not d.reason:
        note = f"95% {interval(d.interval(), lambda end: number(end, 3))}, {p_text(d.p_value)}"
        facts.append(Fact(f"{number(d.nats, 3)} nats", "exposed minus unexposed", note))
    if not rho.reason:
        name = "rank correlation of order and likelihood, exposed"
        facts.append(Fact(number(rho.rho, 3), name, p_text(rho.p_value)))
    if largest is not None:
        age = age_text(largest.steps_ago, fit.ages.unit)
        name = "since exposure: largest effect"
        facts.append(Fact(age, name, f"{number(largest.nats, 3)} nats"))
    return facts


def _summary(fits: Sequence[OrderResult], findings: Sequence[Finding]) -> Finding:
    rows = table_rows(fits)
    known = [place for place, fit in enumerate(fits) if not fit.difference.reason]
    chosen = findings[known[-1] if known else -1]
    chart = age_chart(fits) if available() and _with_curve(fits) else None
    which = "of them" if chosen is findings[-1] else "with unexposed sequences"
    return Finding(
        name="all",
        label=count(len(fits), "checkpoint"),
        answer=f"At the last {which}, {chosen.label}: {chosen.answer}",
        rest=chosen.rest,
        facts=chosen.facts,
        figure=Shown(
            "Effect by time since exposure, and by checkpoint",
            f"Effect of exposure in nats by age at {len(fits)} checkpoints. {chosen.answer}",
            OF_SEVERAL,
            None if chart else png(curves(fits)),
            chart,
        ),
        tested=TESTED,
        limits=LIMITS,
        tables=[Table(LEGEND, COLUMNS, rows, [one.address for one in findings])],
    )


def _with_curve(fits: Sequence[OrderResult]) -> list[OrderResult]:
    """Return the checkpoints whose curve is measured against unexposed rows."""
    return [fit for fit in fits if fit.recency.bins and not fit.recency.relative]


def age_chart(fits: Sequence[OrderResult]) -> dict[str, Any]:
    """Return the chart of the effect by age: the band of a single fit, lines of several."""
    import altair

    chosen = fits if len(fits) == 1 else _with_curve(fits)
    curves = [_age_rows(fit) for fit in chosen]
    _name_ends([curve[-1] for curve in curves if curve])
    rows = [row for curve in curves for row in curve]
    x = altair.X(
        "age:Q",
        title="steps since exposure",
        scale=altair.Scale(type="log", base=2),
        axis=altair.Axis(labelExpr="format(datum.value - 1, ',d')"),
    )
    y = altair.Y("nats:Q", title="nats a sequence")
    told = [
        altair.Tooltip("ages:N", title="since exposure"),
        altair.Tooltip("nats:Q", format=".3g"),
        altair.Tooltip("band:N", title="95%, all ages at once"),
        altair.Tooltip("sequences:Q", format=","),
    ]
    base = altair.Chart(data(rows)).encode(x=x)
    zero = altair.Chart(data([{"nats": 0.0}])).mark_rule(style="quiet").encode(y=y)
    if len(chosen) == 1:
        low = altair.Y("low:Q", title="nats a sequence")
        band = base.mark_area(opacity=0.6, interpolate="linear").encode(y=low, y2="high:Q")
        points = base.mark_line(point=altair.OverlayMarkDef(size=45)).encode(y=y, tooltip=told)
        return specification(altair.layer(band, zero, points))
    colour = altair.Color("step:Q", legend=None)
    named = base.transform_filter("datum.name").mark_text(baseline="top", dy=6)
    told = [altair.Tooltip("label:N", title="checkpoint"), *told]
    lines = base.mark_line(point=altair.OverlayMarkDef(size=30)).encode(
        y=y, color=colour, detail="label:N", tooltip=told
    )
    return specification(altair.layer(zero, lines, named.encode(y=y, text="name:N")))


def _name_ends(ends: Sequence[dict[str, Any]]) -> None:
    """Name lines at their ends by their checkpoint, the last one first, where there is room."""
    left = math.inf
    for row in reversed(ends):
        if row["age"] * NAMED <= left:
            left = row["age"]
            row["name"] = f"{row['step']:,}"


def _age_rows(fit: OrderResult) -> list[dict[str, Any]]:
    """Return a row for each bin; ages count from 1, so that a log scale has room for the last."""
    return [
        {
            "label": fit.source.label,
            "step": fit.source.step or 0,
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
