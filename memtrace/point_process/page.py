"""The page of one fit or several: does training order matter?"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from memtrace.point_process import of_several
from memtrace.point_process.figures import shown, single, small_multiples
from memtrace.point_process.figures.charts import (
    FARTHEST,
    cumulative_chart,
    drift_chart,
    is_far,
    rate_chart,
)
from memtrace.point_process.figures.descriptions import (
    captioned,
    described,
    drifts_described,
    several_described,
)
from memtrace.point_process.figures.slides import (
    NONE,
    slider_chart,
    slides_caption,
    slides_described,
)
from memtrace.point_process.methods import METHODS
from memtrace.point_process.order import FEW_EVENTS
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.several import comparison
from memtrace.point_process.text import bounded, printed
from memtrace.point_process.verdict import order_first
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, p_text, percent, ratio
from memtrace.report.page import Fact, Finding, Page, Shown, page_of
from memtrace.report.text import rendered

QUESTION = "Does training order matter?"
FEW = 4
"""Fits up to which a page shows every figure of each; more show their chart alone."""
SIDE_BY_SIDE = "Rate over training, relative to its mean"
CAPTION = "Tenths of training with exact 95% intervals."
CAPTION_OF_COPIES = (
    "Tenths of training with exact 95% intervals, of texts that occur once: copies share a result."
)
MOST_SLIDES = 400
"""Fits that a slider can choose from."""
MOST_PANELS = 24
"""Fits up to which each has a panel in the figure of all."""
TITLES = {
    "rate": "Rate over training",
    "cumulative": "Cumulative count against an even spread",
    "fano": "Fano factor",
    "residuals": "What the best model leaves",
    "rootogram": "Window counts",
    "qq": "Window counts against Poisson quantiles",
    "texts": "Texts, by how often they occur",
    "control": "Exposed, and not",
}
TESTS = {
    "text order": "the place of all copies of a text",
    "last exposure": "the place of its last copy",
    "trend": "steady drift",
    "recency": "recency",
    "change point": "one change",
    "shape": "humps and curves",
    "dispersion": "uneven steps",
}
"""What each test of the gate looks for."""
LIMITS = (
    "A drift below the minimum detectable ratio can be there and not be found.",
    "An event says only that all tokens matched. Likelihoods, which `memtrace scan --likelihood` "
    "records, see far smaller effects of order.",
)
SHARED = (
    "Checkpoints of one model share most of what they memorized; the adjusted p-values hold "
    "whatever that dependence."
)
OF_ONCE = "Where copies are known, drift and p-values are those of texts that occur once."
OF_COPIES = "copies of one text share one result: rates and effects are those of texts."


def fit_page(
    fits: Sequence[PoissonResult],
    texts: Sequence[str] | None = None,
    beside: Sequence[Fact] = (),
) -> Page:
    """Return the page of one fit or several.

    Args:
        fits: What to show.
        texts: For each fit the page that lists its texts, or nothing.
        beside: What other data say of the same question, such as likelihoods.
    """
    pages = texts or [""] * len(fits)
    if len(fits) == 1:
        only = finding(fits[0], shown(fits[0]), texts=pages[0])
        only = replace(only, facts=[*only.facts, *beside])
        return page_of(QUESTION, [only], None, METHODS)
    few = len(fits) <= FEW
    findings = [
        finding(fit, shown(fit) if few else (), name=f"fit-{i + 1}", texts=pages[i])
        for i, fit in enumerate(fits)
    ]
    return page_of(QUESTION, findings, _summary(fits, findings, beside), METHODS)


def finding(
    fit: PoissonResult,
    names: Sequence[str],
    name: str = "fit",
    texts: str = "",
    *,
    charts: bool = True,
) -> Finding:
    """Return what is shown of one fit.

    Args:
        fit: The fit.
        names: Of its figures to show.
        name: Its place on the page.
        texts: Page that lists its texts, or nothing.
        charts: Charts where they can be drawn; else pictures.
    """
    figures = [_shown(fit, one, texts, charts) for one in TITLES if one in names]
    first = figures[0] if figures else _chart_alone(fit, texts)
    answer, rest = order_first(fit)
    label, facts = brief(fit)
    return Finding(
        name=name,
        label=label or name.replace("-", " "),
        answer=answer,
        rest=rest,
        facts=facts,
        figure=first,
        tested=tested([fit]),
        limits=_limits(fit),
        figures=figures[1:],
        printed=rendered(printed(fit)),
        provenance=[("run", fit.events.source)] if fit.events.source else (),
    )


def brief(fit: PoissonResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return fit.events.label, _facts(fit) if fit.events.exposure else ()


def head(fit: PoissonResult) -> Finding:
    """Return what a notebook shows of one fit: its first figure alone."""
    return finding(fit, shown(fit)[:1], charts=False)


def _shown(fit: PoissonResult, name: str, texts: str, charts: bool) -> Shown:
    chart = None
    if charts and available() and name == "rate":
        chart = rate_chart(fit, texts)
    if charts and available() and name == "cumulative":
        chart = cumulative_chart(fit)
    image = None if chart else png(untitled(single(fit, name)))
    return Shown(TITLES[name], described(fit, name), captioned(fit, name), image, chart)


def _chart_alone(fit: PoissonResult, texts: str) -> Shown | None:
    if not (0 < fit.events.n_events < fit.events.exposure and available()):
        return None
    return Shown(
        TITLES["rate"], described(fit, "rate"), captioned(fit, "rate"), chart=rate_chart(fit, texts)
    )


def _facts(fit: PoissonResult) -> list[Fact]:
    """Return the share memorized, the drift and what could have been found."""
    return [_share(fit), *_drift(fit)]


def _share(fit: PoissonResult) -> Fact:
    events = fit.events
    if fit.by_text is not None and fit.by_text.rates.texts:
        rates = fit.by_text.rates
        of = f"{rates.event_texts:,} of {count(rates.texts, 'text')} memorized"
        return Fact(percent(rates.rate), of, f"95% {interval(rates.rate_ci95, percent)}")
    of = f"{events.n_events:,} of {count(events.exposure, 'sequence')} memorized"
    low, high = (end / fit.window for end in fit.rate_ci95)
    note = f"95% {interval((low, high), percent)}, if no two are copies of one text"
    return Fact(percent(events.fraction), of, note if events.exposure else "")


def _drift(fit: PoissonResult) -> list[Fact]:
    order = fit.primary
    if order is None:
        return []
    who = ", texts that occur once" if fit.has_copies else ""
    ends = f"90% {interval(order.trend.interval(0.9), bounded)}, {p_text(order.trend.p_value)}"
    ends += ", if no two are copies of one text" if fit.by_text is None else ""
    least = order.trend.detectable_ratio()
    return [
        Fact(bounded(order.trend.rate_ratio), f"rate, end/start{who}", ends),
        Fact(ratio(least), "minimum detectable ratio", "at 80% power"),
    ]


def _limits(fit: PoissonResult) -> list[str]:
    if not fit.events.n_events:
        return []
    tests = LIMITS if tested([fit]) else ()
    unknown = f"Each row is taken as a text, since {fit.by_text_reason}."
    copies = [OF_COPIES.capitalize()] if fit.has_copies else []
    return [*tests, *([unknown] if fit.by_text is None else copies), *of_several.of_part([fit])]


def tested(fits: Sequence[PoissonResult]) -> list[str]:
    """Return what was tested in one of the fits at least: nothing where there is no order."""
    made = {one.name for fit in fits for one in fit.gate.departures.made}
    names = [text for name, text in TESTS.items() if name in made]
    if not names:
        return []
    listed = ", and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    of = " of a fit" if len(fits) > 1 else ""
    return [
        f"Whether the memorized sequences lie in training as in a random order: {listed}. All of "
        f"these tests{of} together err in at most 5% of random orders (Holm)."
    ]


def _summary(
    fits: Sequence[PoissonResult], findings: Sequence[Finding], beside: Sequence[Fact]
) -> Finding:
    rows = comparison(fits)
    return Finding(
        name="all",
        label=count(len(fits), "fit"),
        answer=of_several.answer(rows),
        rest=of_several.rest(rows),
        facts=of_several.facts(rows, [one.label for one in findings], beside),
        figure=_side_by_side(fits),
        figures=_drifts(rows),
        tested=tested(fits),
        limits=_limits_of_several(fits) if tested(fits) else (),
        tables=[of_several.table(rows, findings)],
    )


def _limits_of_several(fits: Sequence[PoissonResult]) -> list[str]:
    once = [OF_ONCE] if any(fit.has_copies for fit in fits) else []
    unknown = [of_several.UNKNOWN] if any(fit.by_text is None for fit in fits) else []
    return [SHARED, *LIMITS, *once, *unknown, *of_several.of_part(fits)]


def _drifts(rows: Sequence[dict[str, Any]]) -> list[Shown]:
    if not available() or all(math.isnan(row["rate_ratio"]) for row in rows):
        return []
    caption = "Each fit with its 90% interval; 1 means that order does not matter."
    known = [row for row in rows if math.isfinite(row["rate_ratio"])]
    if len(known) < len(rows):
        caption += f" Fits of fewer than {FEW_EVENTS} events are left out."
    if any(is_far(end) for row in known for end in (row["rate_ratio"], *row["ci90"])):
        caption += f" What is beyond a factor of {FARTHEST:,} is drawn there."
    return [Shown("Drift", drifts_described(rows), caption, chart=drift_chart(rows))]


def _side_by_side(fits: Sequence[PoissonResult]) -> Shown | None:
    """Return the rate of all fits: a slider where charts are there, else a panel for each."""
    if not any(0 < fit.events.n_events < fit.events.exposure for fit in fits):
        return None
    drawn = [fit for fit in fits if fit.primary is not None]
    if not drawn:
        return Shown(SIDE_BY_SIDE, NONE, NONE)
    if available() and len(fits) <= MOST_SLIDES:
        chart = slider_chart(fits)
        return Shown(SIDE_BY_SIDE, slides_described(fits), slides_caption(fits), chart=chart)
    if len(fits) > MOST_PANELS:
        return None
    caption = CAPTION_OF_COPIES if any(fit.has_copies for fit in drawn) else CAPTION
    caption += f" Fits of fewer than {FEW_EVENTS} events are left out."
    return Shown(SIDE_BY_SIDE, several_described(fits), caption, png(small_multiples(fits)))
