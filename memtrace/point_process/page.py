"""The page of one fit or several: does training order matter?"""

import math
from collections.abc import Sequence
from typing import Any

from memtrace.point_process.figures import shown, single, small_multiples
from memtrace.point_process.figures.charts import (
    FARTHEST,
    cumulative_chart,
    drift_chart,
    rate_chart,
)
from memtrace.point_process.figures.descriptions import captioned, described, several_described
from memtrace.point_process.figures.drawing import Drawings, draw_all
from memtrace.point_process.figures.slides import (
    is_drawn,
    slider_chart,
    slides_caption,
    slides_described,
)
from memtrace.point_process.methods import METHODS
from memtrace.point_process.result import SIGNIFICANT, PoissonResult
from memtrace.point_process.several import comparison
from memtrace.point_process.text import bounded, printed
from memtrace.point_process.verdict import verdict
from memtrace.report.charts import available
from memtrace.report.figures import encoded, png
from memtrace.report.numbers import DASH, count, interval, number, p_text, p_value, percent, ratio
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_of, parted
from memtrace.report.text import rendered

QUESTION = "Does training order matter?"
FEW = 4
"""Fits up to which a page shows every figure of each; more show their chart alone."""
SIDE_BY_SIDE = "Rate over training, relative to its mean"
CAPTION = "Tenths of training with exact 95% intervals."
CAPTION_OF_COPIES = "Tenths of training. Rows that are copies of texts have no intervals."
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
COLUMNS = (
    "fit",
    "events",
    "texts",
    "per million",
    "end/start",
    "90% interval",
    "p",
    "p, Holm",
    "p, Benjamini-Yekutieli",
    "within margin",
    "dispersion",
    "best model",
)
TESTED = (
    "Whether the memorized sequences lie in training as in a random order: steady drift, recency, "
    "one change, humps and curves, and uneven steps. All of these tests together err in 5% of "
    "random orders (Holm).",
)
LIMITS = (
    "A drift below the minimum detectable ratio can be there and not be found.",
    "An event says only that all tokens matched. Likelihoods of the same sequences see far "
    "smaller effects of order.",
)
SHARED = (
    "Checkpoints of one model share most of what they memorized; the adjusted p-values hold "
    "whatever that dependence."
)
OF_ONCE = "Where copies are known, drift and p-values are those of texts that occur once."
OF_COPIES = "copies of one text share one result: rates and effects are those of texts."


def fit_page(
    fits: Sequence[PoissonResult],
    drawings: Sequence[Drawings] | None = None,
    texts: Sequence[str] | None = None,
) -> Page:
    """Return the page of one fit or several.

    Args:
        fits: What to show.
        drawings: The figures of each fit, where they are drawn already.
        texts: For each fit the page that lists its texts, or nothing.
    """
    pages = texts or [""] * len(fits)
    if len(fits) == 1:
        drawn = (drawings or draw_all(fits))[0]
        return page_of(QUESTION, [finding(fits[0], drawn, texts=pages[0])], None, METHODS)
    few = len(fits) <= FEW
    pictures: Sequence[Drawings] = [{}] * len(fits)
    if few:
        pictures = drawings or draw_all(fits)
    findings = [
        finding(fit, drawn, name=f"fit-{i + 1}", texts=pages[i])
        for i, (fit, drawn) in enumerate(zip(fits, pictures, strict=True))
    ]
    return page_of(QUESTION, findings, _summary(fits, findings), METHODS)


def finding(fit: PoissonResult, drawings: Drawings, name: str = "fit", texts: str = "") -> Finding:
    """Return what is shown of one fit.

    Args:
        fit: The fit.
        drawings: Its figures by name; those left out are not shown.
        name: Its place on the page.
        texts: Page that lists its texts, or nothing.
    """
    figures = [_shown(fit, one, drawings, texts) for one in TITLES if one in drawings]
    first = figures[0] if figures else _chart_alone(fit, texts)
    answer, rest = parted(verdict(fit))
    return Finding(
        name=name,
        label=fit.events.label or name.replace("-", " "),
        answer=answer,
        rest=rest,
        facts=_facts(fit) if fit.events.exposure else (),
        figure=first,
        tested=TESTED if fit.events.n_events else (),
        limits=_limits(fit),
        figures=figures[1:],
        printed=rendered(printed(fit)),
        provenance=[("run", fit.events.source)] if fit.events.source else (),
    )


def head(fit: PoissonResult) -> Finding:
    """Return what a notebook shows of one fit: its first figure alone."""
    return finding(fit, {name: encoded(single(fit, name)) for name in shown(fit)[:1]})


def _shown(fit: PoissonResult, name: str, drawings: Drawings, texts: str) -> Shown:
    chart = None
    if available() and name == "rate":
        chart = rate_chart(fit, texts)
    if available() and name == "cumulative":
        chart = cumulative_chart(fit)
    caption = captioned(fit, name)
    return Shown(TITLES[name], described(fit, name), caption, drawings[name].png, chart)


def _chart_alone(fit: PoissonResult, texts: str) -> Shown | None:
    if not (fit.events.n_events and available()):
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
    if order is None or order.trend.reason:
        return []
    who = ", texts that occur once" if fit.has_copies else ""
    ends = f"90% {interval(order.trend.interval(0.9), bounded)}, {p_text(order.trend.p_value)}"
    least = order.trend.detectable_ratio()
    return [
        Fact(bounded(order.trend.rate_ratio), f"rate, end/start{who}", ends),
        Fact(ratio(least), "minimum detectable ratio", "at 80% power"),
    ]


def _limits(fit: PoissonResult) -> list[str]:
    if not fit.events.n_events:
        return []
    unknown = f"Copies are not known ({fit.by_text_reason}): each row is taken as a text."
    copies = [OF_COPIES.capitalize()] if fit.has_copies else []
    return [*LIMITS, *([unknown] if fit.by_text is None else copies)]


def _summary(fits: Sequence[PoissonResult], findings: Sequence[Finding]) -> Finding:
    rows = comparison(fits)
    tested = any(not math.isnan(row["p_value"]) for row in rows)
    return Finding(
        name="all",
        label=count(len(fits), "fit"),
        answer=_answer(rows),
        facts=_summary_facts(findings, rows),
        figure=_side_by_side(fits),
        figures=_drifts(fits, rows),
        tested=TESTED if tested else (),
        limits=_limits_of_several(fits) if tested else (),
        tables=[_table(rows, findings)],
    )


def _limits_of_several(fits: Sequence[PoissonResult]) -> list[str]:
    once = [OF_ONCE] if any(fit.has_copies for fit in fits) else []
    return [SHARED, *LIMITS, *once]


def _drifts(fits: Sequence[PoissonResult], rows: Sequence[dict[str, Any]]) -> list[Shown]:
    if not available() or all(math.isnan(row["rate_ratio"]) for row in rows):
        return []
    caption = (
        "Each fit with its 90% interval; 1 means that order does not matter. What is beyond a "
        f"factor of {FARTHEST:,} is drawn there."
    )
    return [Shown("Drift", several_described(fits), caption, chart=drift_chart(rows))]


def _side_by_side(fits: Sequence[PoissonResult]) -> Shown | None:
    """Return the rate of all fits: a slider where charts are there, else a panel for each."""
    if not any(fit.events.n_events for fit in fits):
        return None
    if available() and len(fits) <= MOST_SLIDES:
        chart = slider_chart(fits) if any(map(is_drawn, fits)) else None
        return Shown(SIDE_BY_SIDE, slides_described(fits), slides_caption(fits), chart=chart)
    drawn = list(filter(is_drawn, fits))
    if len(fits) > MOST_PANELS or not drawn:
        return None
    caption = CAPTION_OF_COPIES if any(fit.has_copies for fit in drawn) else CAPTION
    return Shown(SIDE_BY_SIDE, several_described(fits), caption, png(small_multiples(fits)))


def _answer(rows: Sequence[dict[str, Any]]) -> str:
    tested = [row for row in rows if row["p_value"] == row["p_value"]]  # not NaN
    if not tested:
        return f"In none of {count(len(rows), 'fit')} can a drift of the rate be tested."
    drifts = [row for row in tested if row["p_value_holm"] < SIGNIFICANT]
    within = sum(bool(row["equivalent"]) for row in tested)
    margin = f"{tested[0]['margin']:g}"
    return (
        f"A drift of the rate along training is found in {_some(len(drifts))} of "
        f"{count(len(tested), 'fit')} that can be tested (Holm, 5% in all); in {_some(within)} its "
        f"ratio of end to start is shown to be within a factor of {margin} of 1."
    )


def _some(n: int) -> str:
    return f"{n:,}" if n else "none"


def _summary_facts(findings: Sequence[Finding], rows: Sequence[dict[str, Any]]) -> list[Fact]:
    labelled = list(zip(findings, rows, strict=True))
    tested = [(one.label, row) for one, row in labelled if not math.isnan(row["p_value"])]
    facts = [Fact(f"{len(rows):,}", "fits", f"{len(tested):,} with a testable drift")]
    if tested:
        label, least = min(tested, key=lambda pair: float(pair[1]["p_value_holm"]))
        note = f"{label}: end/start {bounded(least['rate_ratio'])}"
        facts.append(Fact(p_value(least["p_value_holm"]), "smallest p, Holm", note))
    most, row = max(labelled, key=lambda pair: int(pair[1]["events"]))
    facts.append(Fact(f"{row['events']:,}", "most sequences memorized", most.label))
    return facts


def _table(rows: Sequence[dict[str, Any]], findings: Sequence[Finding]) -> Table:
    cells = [(one.label, *_row(row)) for one, row in zip(findings, rows, strict=True)]
    return Table("All fits", COLUMNS, cells, [one.address for one in findings])


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['events']:,}",
        DASH if row["texts"] is None else f"{row['texts']:,}",
        number(row["rate_per_million"]),
        bounded(row["rate_ratio"]),
        interval(row["ci90"], bounded),
        *(p_value(row[key]) for key in ("p_value", "p_value_holm", "p_value_by")),
        {True: "yes", False: "no", None: DASH}[row["equivalent"]],
        number(row["dispersion"]),
        row["best_model"],
    )
