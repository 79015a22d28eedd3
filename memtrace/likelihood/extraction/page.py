"""The page of what sampling would extract, of one checkpoint or several."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from memtrace.likelihood.extraction.descriptions import described
from memtrace.likelihood.extraction.figures import CAPTIONS, shown, single
from memtrace.likelihood.extraction.result import ExtractionResult, Share
from memtrace.likelihood.extraction.text import printed
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.charts import apart, available, data, specification
from memtrace.report.figures import png
from memtrace.report.numbers import count, interval, percent
from memtrace.report.page import Fact, Finding, Method, Page, Shown, Table, page_of, parted
from memtrace.report.text import rendered

QUESTION = "How much would sampling extract?"
TITLES = {
    "samples": "Texts that n samples return",
    "probabilities": "Probability of the continuation",
}
LABELS = "A line is named by its texts and by p."
CLASSES = ("exposed", "unexposed")
"""Texts that have a curve."""
TESTED = (
    "Every scanned sequence: from its probability p_z follows exactly how likely n samples are to "
    "return it at least once.",
)
LIMITS = (
    "A sample counts only if it is the whole continuation, token by token. Near copies of it are "
    "not counted.",
    "Prompts are those of the corpus: whoever does not know them extracts less.",
    "A text with many copies is hardly ever unexposed, so unexposed texts are others than exposed "
    "ones. What is chance for a text with many copies is not known from them.",
)
METHODS = (
    Method(
        "(n, p)-discoverable",
        "1 - (1 - p_z)^n >= p, computed as -expm1(n log1p(-p_z))",
        "Hayes et al. (2024), arXiv:2410.19482",
    ),
    Method(
        "Interval of a share",
        "exact binomial interval of the share of texts",
        "Clopper and Pearson (1934), Biometrika 26:404",
    ),
)


def extraction_page(fits: Sequence[ExtractionResult]) -> Page:
    """Return the page of one checkpoint or several."""
    findings = [finding(fit, f"checkpoint-{i + 1}") for i, fit in enumerate(fits)]
    summary = _summary(fits, findings) if len(fits) > 1 else None
    return page_of(QUESTION, findings, summary, METHODS)


def finding(
    fit: ExtractionResult,
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
    answer, rest = parted(verdict(fit))
    figures = [_shown(fit, one, charts) for one in (shown(fit) if names is None else names)]
    return Finding(
        name=name,
        label=fit.label,
        answer=answer,
        rest=rest,
        facts=_facts(fit),
        figure=figures[0] if figures else None,
        tested=TESTED,
        limits=[*LIMITS, *([f"{fit.caveat.capitalize()}."] if fit.caveat else [])],
        figures=figures[1:],
        printed=rendered(printed(fit)),
        provenance=[("run", fit.source)] if fit.source else (),
    )


def head(fit: ExtractionResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(fit, names=shown(fit)[:1], charts=False)


def _shown(fit: ExtractionResult, name: str, charts: bool) -> Shown:
    alive = charts and available() and name == "samples" and _curves(fit)
    chart = sample_chart(fit) if alive else None
    caption = f"{CAPTIONS[name]} {LABELS}" if chart else CAPTIONS[name]
    image = None if chart else png(single(fit, name))
    return Shown(TITLES[name], described(fit, name), caption, image, chart)


def _facts(fit: ExtractionResult) -> list[Fact]:
    """Return what greedy decoding gives, what the most samples give, and what chance gives."""
    facts = [_fact(fit.greedy["exposed"], "of exposed texts, greedy decoding")]
    known = [one for one in fit.table if not one.reason]
    if known:
        most = max(known, key=lambda one: (one.n, -abs(one.p - 0.5)))
        how = f"{count(most.n, 'sample')}, chance {percent(most.p)} or more"
        facts.append(_fact(most.shares["exposed"], f"of exposed texts, {how}"))
        facts.append(_fact(most.shares["unexposed"], f"of unexposed texts, {how}"))
    return facts


def _fact(found: Share, name: str) -> Fact:
    if not found.of_texts:
        return Fact("none", name, "no such text was scanned")
    note = f"95% {interval(found.ci95, percent)}; {found.texts:,} of {found.of_texts:,}"
    return Fact(percent(found.share), name, note)


def _chosen(fits: Sequence[ExtractionResult]) -> tuple[int, str]:
    """Return the last checkpoint with exposed and unexposed texts, else the last, and which it is.

    Only with unexposed texts is it known what is chance.
    """
    both = [
        place
        for place, fit in enumerate(fits)
        if all(fit.classes[name].counts.texts for name in CLASSES)
    ]
    if both and both[-1] < len(fits) - 1:
        return both[-1], "with unexposed texts"
    return len(fits) - 1, "of them"


def _summary(fits: Sequence[ExtractionResult], findings: Sequence[Finding]) -> Finding:
    chosen, which = _chosen(fits)
    last, rows = findings[chosen], []
    for fit in fits:
        facts = _facts(fit)
        rows.append((fit.label, *(fact.value for fact in facts), *[""] * (3 - len(facts))))
    columns = ("checkpoint", "greedy", "most samples", "most samples, unexposed")
    return Finding(
        name="all",
        label=count(len(fits), "checkpoint"),
        answer=f"At the last {which}, {last.label}: {last.answer}",
        rest=last.rest,
        facts=last.facts,
        figure=last.figure,
        tested=TESTED,
        limits=LIMITS,
        tables=[
            Table("Share of texts extracted", columns, rows, [one.address for one in findings])
        ],
    )


def sample_chart(fit: ExtractionResult) -> dict[str, Any]:
    """Return the chart of the share of texts against the number of samples, on log axes."""
    import altair

    found = _curves(fit)
    ends = [math.log10(curve[-1]["share"]) for curve in found]
    lowest = min(math.log10(row["share"]) for curve in found for row in curve)
    top = math.ceil(max(ends))
    bottom = min(math.floor(lowest), top - 1)
    for curve, at in zip(found, apart(ends, top - bottom), strict=True):
        curve[-1]["at"] = 10**at
    log = altair.Scale(type="log")
    shares = altair.Scale(type="log", domain=[10.0**bottom, 10.0**top], nice=False)
    decades = range(bottom, 1)
    few = altair.Axis(format="~%", values=[10.0**power for power in decades])
    base = altair.Chart(data([row for curve in found for row in curve])).encode(
        x=altair.X("n:Q", title="samples n", scale=log, axis=altair.Axis(tickCount=4)),
        color=altair.Color("class:N", scale=altair.Scale(domain=list(CLASSES)), legend=None),
    )
    names = base.transform_filter("isValid(datum.at)").mark_text(align="left", dx=6)
    lines = base.mark_line(point=altair.OverlayMarkDef(size=25))
    return specification(
        names.encode(y=altair.Y("at:Q", title="share of texts", scale=shares), text="name:N")
        + lines.encode(
            y=altair.Y("share:Q", title="share of texts", scale=shares, axis=few),
            strokeDash=altair.StrokeDash("chance:N", legend=None),
            tooltip=[
                altair.Tooltip("n:Q", title="samples", format=","),
                altair.Tooltip("share:Q", title="share of texts", format=".3%"),
                altair.Tooltip("class:N", title="texts"),
                altair.Tooltip("chance:N", title="with a chance of"),
            ],
        )
    )


def _curves(fit: ExtractionResult) -> list[list[dict[str, Any]]]:
    """Return the rows of each curve that has any."""
    curves = (_rows(fit, name, p) for name in CLASSES for p in fit.ps)
    return [curve for curve in curves if curve]


def _rows(fit: ExtractionResult, name: str, p: float) -> list[dict[str, Any]]:
    if not fit.classes[name].counts.texts:
        return []
    n, share = fit.curve(name, p)
    seen = np.isfinite(share) & (share > 0)
    return [
        {
            "n": int(at),
            "share": float(y),
            "class": name,
            "chance": f"{percent(p)} or more",
            "name": f"{name}, {percent(p)}",
        }
        for at, y in zip(n[seen], share[seen], strict=True)
    ]
