"""The page of order in likelihoods, of one checkpoint or several."""

from collections.abc import Sequence

from memtrace.likelihood.order.charts import age_chart, curves_chart
from memtrace.likelihood.order.descriptions import described
from memtrace.likelihood.order.figures import (
    CAPTIONS,
    curves,
    shown,
    single,
    with_curve,
    with_difference,
)
from memtrace.likelihood.order.methods import METHODS
from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.several import COLUMNS, LEGEND, table_rows
from memtrace.likelihood.order.text import printed
from memtrace.likelihood.order.verdict import age_text, verdict
from memtrace.report.charts import available
from memtrace.report.figures import png
from memtrace.report.numbers import count, interval, number, p_text
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_of, parted
from memtrace.report.text import rendered

QUESTION = "Does training order matter, in the likelihoods?"
SEVERAL = "Effect by time since exposure, and by checkpoint"
BY_STEP_TITLE = "Exposed minus unexposed, by checkpoint"
BY_STEP = "Exposed minus unexposed by checkpoint, with 95% intervals."
OF_SEVERAL = (
    "Mean log-likelihood of exposed sequences by age, less that of unexposed ones at equal "
    "baseline. The band holds the whole curve of the chosen checkpoint at once with 95% "
    "confidence; pale lines are the others."
)
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
    figures = [_shown(fit, one, charts) for one in (shown(fit) if names is None else names)]
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
    chart = age_chart(fit) if charts and available() and name == "by-age" else None
    image = None if chart else png(single(fit, name))
    return Shown(TITLES[name], described(fit, name), CAPTIONS[name], image, chart)


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
    which = "of them" if chosen is findings[-1] else "with unexposed sequences"
    return Finding(
        name="all",
        label=count(len(fits), "checkpoint"),
        answer=f"At the last {which}, {chosen.label}: {chosen.answer}",
        rest=chosen.rest,
        facts=chosen.facts,
        figure=_of_several(fits),
        tested=TESTED,
        limits=LIMITS,
        tables=[Table(LEGEND, COLUMNS, rows, [one.address for one in findings])],
    )


def _of_several(fits: Sequence[OrderResult]) -> Shown | None:
    """Return the curves of all checkpoints: a slider chooses one, or a picture has the last."""
    curved = with_curve(fits)
    if curved and available():
        chart = curves_chart(curved) if len(curved) > 1 else age_chart(curved[0])
        return Shown(SEVERAL, _told(curved), OF_SEVERAL, chart=chart)
    if not (curved or with_difference(fits)):
        return None
    caption = f"{CAPTIONS['by-age']} {BY_STEP}" if curved else BY_STEP
    return Shown(SEVERAL if curved else BY_STEP_TITLE, _told(curved), caption, png(curves(fits)))


def _told(curved: Sequence[OrderResult]) -> str:
    if not curved:
        return "Exposed minus unexposed, a point and its interval for each checkpoint."
    last = curved[-1]
    return (
        f"{count(len(curved), 'curve')} of the effect by age, one a checkpoint. "
        f"{last.source.label}: {described(last, 'by-age')}"
    )
