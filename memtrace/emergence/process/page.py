"""The page of the emergence process, of one model or several."""

from collections.abc import Sequence

import numpy as np

from memtrace.emergence.process.figures import process_figure
from memtrace.emergence.process.result import EmergenceProcessResult
from memtrace.emergence.process.text import text
from memtrace.emergence.process.verdict import verdict
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, number, p_text, ratio
from memtrace.report.page import (
    Fact,
    Finding,
    Method,
    Page,
    Shown,
    Table,
    page_of,
    parted,
    shown_of,
)
from memtrace.report.text import rendered

QUESTION = "Does the rate of emergence drift along training?"
TITLE = "Rate of emergence over training"
CAPTION = (
    "Emergences among the texts trained on and not yet memorized, by interval between "
    "checkpoints, with exact 95% intervals."
)
TESTED = (
    "Whether the rate at which texts emerge drifts along training, and whether more emerge "
    "together than a smooth rate lets expect.",
)
LIMITS = (
    "When in an interval between two checkpoints a text emerged is not known: gaps and positions "
    "of emergences are not tested.",
    "Checkpoints of one training run are not replicates of it.",
)
COLUMNS = ("model", "emerged", "end/start", "90% interval", "p")
METHODS = (
    Method(
        "Rate between checkpoints",
        "emergences / (texts at risk x steps); exact Poisson interval",
        "Garwood (1936), Biometrika 28:437",
    ),
    Method(
        "Drift",
        "log-linear Poisson regression of the counts on the share of training",
        "McCullagh and Nelder (1989), Generalized Linear Models, ch. 6",
    ),
)


def process_page(fits: Sequence[EmergenceProcessResult]) -> Page:
    """Return the page of one model or several."""
    findings = [finding(fit, f"model-{i + 1}") for i, fit in enumerate(fits)]
    summary = _summary(fits, findings) if len(fits) > 1 else None
    return page_of(QUESTION, findings, summary, METHODS)


def finding(fit: EmergenceProcessResult, name: str = "model") -> Finding:
    """Return what is shown of one model.

    Args:
        fit: The result.
        name: Its place on the page.
    """
    answer, rest = parted(verdict(fit))
    caveat = fit.histories.caveat
    label, facts = brief(fit)
    return Finding(
        name=name,
        label=label,
        answer=answer,
        rest=rest,
        facts=facts,
        figure=_shown(fit) if fit.n_events else None,
        tested=TESTED if fit.n_events else (),
        limits=[*LIMITS, *([f"{caveat.capitalize()}."] if caveat else [])],
        printed=rendered(text(fit)),
        provenance=[("run", source) for source in fit.histories.sources],
    )


def _shown(fit: EmergenceProcessResult) -> Shown:
    return Shown(TITLE, _described(fit), CAPTION, png(untitled(process_figure(fit))))


def _described(fit: EmergenceProcessResult) -> str:
    rate = 1e6 * fit.windows.counts / fit.windows.exposures
    least, most = int(np.argmin(rate)), int(np.argmax(rate))

    def told(place: int) -> str:
        steps = interval((float(fit.windows.start[place]), float(fit.stop[place])))
        return f"{number(float(rate[place]), 3)}, from step {steps}"

    drift = "" if fit.trend.reason else f"; a line with end/start {ratio(fit.trend.rate_ratio)}"
    return (
        f"Emergences per million and step in {count(len(rate), 'interval')}: least "
        f"{told(least)}; most {told(most)}{drift}."
    )


def brief(fit: EmergenceProcessResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return fit.label, _facts(fit)


def _facts(fit: EmergenceProcessResult) -> list[Fact]:
    facts = [Fact(f"{fit.n_events:,}", f"{fit.histories.unit}s emerged between checkpoints")]
    if fit.n_events:
        ends = (1e6 * fit.rate_ci95[0], 1e6 * fit.rate_ci95[1])
        rate = number(1e6 * fit.rate, 3)
        facts.append(Fact(rate, "per million and step", f"95% {interval(ends)}"))
    if not fit.trend.reason:
        ends_text = f"90% {interval(fit.trend.interval(0.9), ratio)}, {p_text(fit.trend.p_value)}"
        facts.append(Fact(ratio(fit.trend.rate_ratio), "rate, end/start", ends_text))
    return facts


def _summary(fits: Sequence[EmergenceProcessResult], findings: Sequence[Finding]) -> Finding:
    last = findings[-1]
    return Finding(
        name="all",
        label=count(len(fits), "model"),
        answer=f"{last.label}: {last.answer}",
        rest=last.rest,
        facts=last.facts,
        figure=shown_of(last.figure, last.label),
        tested=TESTED,
        limits=LIMITS,
        tables=[Table("Models", COLUMNS, list(map(_row, fits)), [one.address for one in findings])],
    )


def _row(fit: EmergenceProcessResult) -> tuple[str, ...]:
    trend = fit.trend
    ends = interval(None if trend.reason else trend.interval(0.9), ratio)
    drift = None if trend.reason else trend.rate_ratio
    p = "-" if trend.reason else p_text(trend.p_value).removeprefix("p ").removeprefix("= ")
    return (fit.label, f"{fit.n_events:,}", ratio(drift), ends, p)
