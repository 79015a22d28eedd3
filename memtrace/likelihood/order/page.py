"""The page of order in likelihoods, of one checkpoint or several."""

from collections.abc import Sequence

from memtrace.likelihood.order.charts import age_chart, curves_chart, leaves_figure, steps_chart
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
from memtrace.likelihood.order.several import table_rows
from memtrace.likelihood.order.text import printed
from memtrace.likelihood.order.verdict import (
    EFFECT,
    ORDER,
    RECENCY,
    adjusted_p_values,
    age_text,
    band_text,
    largest_effect,
    verdict,
)
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, number, p_text
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_of, parted
from memtrace.report.tables import checkpoint_column
from memtrace.report.text import rendered

KEY = (
    "Difference: exposed minus unexposed, a sequence. Rank correlation: of order and likelihood "
    "among exposed sequences. p-values hold for all rows together (Holm)."
)
HEADINGS = (
    "exposed",
    "unexposed",
    "difference, nats",
    "95% interval",
    "p",
    "rank correlation",
    "its p",
    "largest at age",
    "left at oldest",
    "controls",
)
"""Of the columns of `table_rows` after the first."""
QUESTION = "Does training order matter, in the likelihoods?"
SEVERAL = "Effect by time since exposure, and by checkpoint"
BY_STEP_TITLE = "Exposed minus unexposed, by checkpoint"
BY_STEP = "Exposed minus unexposed by checkpoint, with 95% intervals."
FAILED = " Red: a negative control fails."
OF_SEVERAL = (
    "Mean log-likelihood of exposed sequences by age, less that of unexposed ones at equal "
    "baseline. The band holds the whole curve of the chosen checkpoint at once with 95% "
    "confidence; pale lines are the others."
)
CUT = " A band that leaves the figure is cut."
TITLES = {"by-age": "Effect by time since exposure", "exposure": "Exposed minus unexposed"}
TESTS = {
    ORDER: "whether order and likelihood go together among exposed sequences",
    EFFECT: "whether exposed sequences are likelier than unexposed ones",
    RECENCY: "whether any age differs",
}
LIMITS = (
    "A rank correlation is a test: its size depends on the range of ages, since the effect of age "
    "is not steady. The curve by age is the size.",
    "Checkpoints are not replicates: their likelihoods are of the same sequences.",
)
NEAR_COPIES = (
    "Near-copies, texts that share a continuation after different prompts, are different texts "
    "here: an unexposed one whose near-copy was exposed makes the effect of exposure look smaller."
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
    label, facts = brief(fit)
    return Finding(
        name=name,
        label=label or "Order in likelihoods",
        answer=answer,
        rest=rest,
        facts=facts,
        figure=figures[0] if figures else None,
        tested=tested([fit]),
        limits=limits([fit]),
        figures=figures[1:],
        printed=rendered(printed(fit)),
        provenance=[("run", source) for source in fit.source.runs],
    )


def brief(fit: OrderResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return fit.source.label, _facts(fit)


def head(fit: OrderResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(fit, names=shown(fit)[:1], charts=False)


def _shown(fit: OrderResult, name: str, charts: bool) -> Shown:
    chart = age_chart(fit) if charts and available() and name == "by-age" else None
    image = None if chart else png(untitled(single(fit, name)))
    caption = _captioned([fit]) if chart else CAPTIONS[name]
    return Shown(TITLES[name], described(fit, name), caption, image, chart)


def _facts(fit: OrderResult) -> list[Fact]:
    """Return order, exposure and age; p-values are those of the tests together."""
    d, p, largest = fit.difference, adjusted_p_values(fit), largest_effect(fit)
    facts = [order_fact(fit)] if not fit.order.reason else []
    if not d.reason:
        ends = interval(d.interval(), lambda end: number(end, 3))
        note = f"95% {ends}, {p_text(p.get(EFFECT))} (Holm)"
        facts.append(Fact(f"{number(d.nats, 3)} nats", "exposed minus unexposed", note))
    if largest is not None:
        age = age_text(largest.steps_ago, fit.ages.unit)
        name = "since exposure: largest effect with a band that leaves out 0"
        facts.append(Fact(age, name, band_text(largest)))
    return facts


def order_fact(fit: OrderResult) -> Fact:
    """Return the rank correlation of order and likelihood."""
    name = "rank correlation of order and likelihood, exposed"
    return Fact(number(fit.order.rho, 3), name, f"{p_text(adjusted_p_values(fit)[ORDER])} (Holm)")


def tested(fits: Sequence[OrderResult]) -> list[str]:
    """Return what was tested in one of the checkpoints at least, a sentence each."""
    made = {name for fit in fits for name in adjusted_p_values(fit)}
    names = [text for name, text in TESTS.items() if name in made]
    said = [f"{_listed(names).capitalize()} (Holm over these at 5%)."] if names else []
    controls = dict.fromkeys(name for fit in fits for name in fit.controls.p_values)
    if controls:
        said.append(
            f"Whether the rows look shuffled: {_listed(list(controls))}. Where one of these "
            "controls fails nothing is concluded."
        )
    return said


def limits(fits: Sequence[OrderResult]) -> list[str]:
    """Return what cannot be seen in the checkpoints, a sentence each."""
    of_fits = [text for fit in fits for text in (fit.caveat, fit.source.part) if text]
    near = [NEAR_COPIES] if any(fit.source.once for fit in fits) else []
    return [*LIMITS, *near, *(f"{text[0].upper()}{text[1:]}." for text in dict.fromkeys(of_fits))]


def _listed(names: Sequence[str]) -> str:
    return ", and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def headline(fits: Sequence[OrderResult]) -> int:
    """Return the place of the checkpoint that the page answers with: the last with both groups."""
    known = [place for place, fit in enumerate(fits) if not fit.difference.reason]
    return known[-1] if known else len(fits) - 1


def _summary(fits: Sequence[OrderResult], findings: Sequence[Finding]) -> Finding:
    rows, figures = table_rows(fits), _of_several(fits, fits[headline(fits)])
    name, _ = checkpoint_column([one.label for one in findings])
    links = [one.address for one in findings]
    chosen = findings[headline(fits)]
    which = "" if chosen is findings[-1] else " that can be compared, of"
    return Finding(
        name="all",
        label=f"{chosen.label}, the last{which or ' of'} {count(len(fits), 'checkpoint')}",
        answer=chosen.answer,
        rest=chosen.rest,
        facts=chosen.facts,
        figure=figures[0] if figures else None,
        tested=tested(fits),
        limits=limits(fits),
        figures=figures[1:],
        tables=[Table("Checkpoints", (name, *HEADINGS), rows, links, KEY)],
    )


def _of_several(fits: Sequence[OrderResult], foremost: OrderResult) -> list[Shown]:
    """Return the figures of all checkpoints, first the one that has the foremost.

    Without charts they are one picture.
    """
    curved, compared = with_curve(fits), with_difference(fits)
    if not available():
        return [_picture(fits)] if curved or compared else []
    by_age = [_by_age(curved, foremost)] if curved else []
    by_step = [_by_step(compared)] if len(compared) > 1 else []
    return [*by_age, *by_step] if any(one is foremost for one in curved) else [*by_step, *by_age]


def _by_age(curved: Sequence[OrderResult], foremost: OrderResult) -> Shown:
    """Return the curves by age; where there are several a slider chooses one."""
    place = next((i for i, one in enumerate(curved) if one is foremost), len(curved) - 1)
    told = _told(curved, place)
    if len(curved) == 1:
        title = f"{TITLES['by-age']}, {curved[0].source.label}"
        return Shown(title, told, _captioned(curved), chart=age_chart(curved[0]))
    return Shown(TITLES["by-age"], told, _captioned(curved), chart=curves_chart(curved, place))


def _captioned(drawn: Sequence[OrderResult]) -> str:
    """Return the caption of a chart of curves."""
    caption = CAPTIONS["by-age"] if len(drawn) == 1 else OF_SEVERAL
    return caption + CUT * leaves_figure(drawn)


def _by_step(compared: Sequence[OrderResult]) -> Shown:
    failed = FAILED if any(fit.controls.failed for fit in compared) else ""
    return Shown(BY_STEP_TITLE, _told([], 0), BY_STEP + failed, chart=steps_chart(compared))


def _picture(fits: Sequence[OrderResult]) -> Shown:
    curved = with_curve(fits)
    caption = f"{CAPTIONS['by-age']} {BY_STEP}" if curved else BY_STEP
    title = SEVERAL if curved else BY_STEP_TITLE
    return Shown(title, _told(curved, len(curved) - 1), caption, png(curves(fits)))


def _told(curved: Sequence[OrderResult], place: int) -> str:
    if not curved:
        return "Exposed minus unexposed, a point and its interval for each checkpoint."
    shown = curved[place]
    return (
        f"{count(len(curved), 'curve')} of the effect by age, one a checkpoint. "
        f"{shown.source.label}: {described(shown, 'by-age')}"
    )
