"""The page of emergence, of one model or several."""

from collections.abc import Callable, Sequence
from typing import Any

from memtrace.emergence.charts import share_chart, time_chart
from memtrace.emergence.descriptions import described
from memtrace.emergence.figures import figures_of, single
from memtrace.emergence.histories import Histories
from memtrace.emergence.methods import METHODS
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.text import text
from memtrace.emergence.verdict import answer, verdict
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, percent
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_of
from memtrace.report.text import rendered

QUESTION = "How early in training do memories emerge?"
TITLES = {
    "memorized": "Memorized by checkpoint",
    "flows": "Learned and lost since the last checkpoint",
    "time-training": "Emerged by step, late exposure taken into account",
    "time-exposure": "Emerged by time since exposure",
    "hazard-training": "Hazard of emergence over training",
    "hazard-exposure": "Hazard by time since exposure",
}
TIME = "Time of emergence"
TIMES = (
    "Share that has emerged (NPMLE), with pointwise 95% bands. When a text emerged is known only "
    "to lie between two checkpoints."
)
HAZARD = "Emergences among the texts not yet memorized, by interval, with 95% intervals."
CAPTIONS = {
    "memorized": "Share of the texts evaluated at a checkpoint that are memorized, with exact 95% "
    "intervals; an interval that leaves the figure is cut.",
    "flows": "Counts of texts: above the line what is memorized anew, below it what is lost.",
    "time-training": TIMES,
    "time-exposure": TIMES,
    "hazard-training": HAZARD,
    "hazard-exposure": HAZARD,
}
TESTED = (
    "At which checkpoint each text is first memorized, when it is lost and learned again, and "
    "whether copies seen so far make it emerge faster.",
)
LIMITS = (
    "What happens between two checkpoints is not seen: a text may emerge and be lost there.",
    "Checkpoints of one training run are not replicates of it.",
)
COLUMNS = ("checkpoint", "exposed", "memorized", "share", "95%", "new", "again", "lost")


def emergence_page(fits: Sequence[EmergenceResult]) -> Page:
    """Return the page of one model or several."""
    findings = [finding(fit, f"model-{i + 1}") for i, fit in enumerate(fits)]
    return page_of(QUESTION, findings, _summary(findings) if len(fits) > 1 else None, METHODS)


def finding(
    fit: EmergenceResult,
    name: str = "model",
    names: Sequence[str] | None = None,
    *,
    charts: bool = True,
) -> Finding:
    """Return what is shown of one model.

    Args:
        fit: The result.
        name: Its place on the page.
        names: Of the figures to show; all that there are if left out.
        charts: Charts where they can be drawn; else pictures.
    """
    drawn = _drawn(fit, charts) if names is None else names
    figures = [_shown(fit, one, charts) for one in drawn]
    found = fit.histories
    return Finding(
        name=name,
        label=f"{found.suite}/{found.model}",
        answer=answer(fit),
        rest=verdict(fit),
        facts=_facts(fit),
        figure=figures[0] if figures else None,
        tested=TESTED,
        limits=[*LIMITS, *(f"{said[0].upper()}{said[1:]}." for said in _beside(found))],
        figures=figures[1:],
        tables=[_table(fit)],
        printed=rendered(text(fit)),
        provenance=[("run", source) for source in found.sources],
    )


def head(fit: EmergenceResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(fit, names=figures_of(fit)[:1], charts=False)


def _drawn(fit: EmergenceResult, charts: bool) -> list[str]:
    """Return the names of the figures to show: one chart has both times of emergence."""
    found = figures_of(fit)
    both = charts and available() and "time-training" in found
    return [name for name in found if not (both and name == "time-exposure")]


def _shown(fit: EmergenceResult, name: str, charts: bool) -> Shown:
    draw = _CHARTS.get(name) if charts and available() else None
    chart = draw(fit) if draw else None
    image = None if chart else png(untitled(single(fit, name)))
    title = TIME if chart and name == "time-training" else TITLES[name]
    return Shown(title, described(fit, name), CAPTIONS[name], image, chart)


_CHARTS: dict[str, Callable[[EmergenceResult], dict[str, Any]]] = {
    "memorized": share_chart,
    "time-training": time_chart,
}


def _facts(fit: EmergenceResult) -> list[Fact]:
    out, last = fit.outcomes, fit.checkpoints[-1]
    facts = [Fact(f"{out.emerged:,}", f"of {count(fit.texts, fit.histories.unit)} emerged")]
    if last.exposed:
        share = percent(last.memorized / last.exposed)
        note = f"95% {interval(last.share_ci95, percent)}"
        facts.append(Fact(share, f"memorized at step {last.step:,}", note))
    if out.emerged:
        lost = out.emerged - out.always_retained
        facts.append(Fact(f"{lost:,}", "lost again", f"{out.learned_again:,} learned once more"))
    return facts


def _beside(found: Histories) -> list[str]:
    """Return what is said of all counts and intervals of a model, where there is something."""
    return [said for said in (found.of_sample, found.caveat) if said]


def _table(fit: EmergenceResult) -> Table:
    rows = [
        (
            f"{one.step:,}",
            f"{one.exposed:,}",
            f"{one.memorized:,}",
            percent(one.memorized / one.exposed),
            interval(one.share_ci95, percent),
            f"{one.learned:,}",
            f"{one.learned_again:,}",
            f"{one.lost:,}",
        )
        for one in fit.checkpoints
        if one.exposed
    ]
    return Table("Memorized by checkpoint", COLUMNS, rows)


def _summary(findings: Sequence[Finding]) -> Finding:
    rows = [(one.label, *(fact.value for fact in one.facts)) for one in findings]
    width = max(map(len, rows))
    columns = ("model", "emerged", "memorized at the last checkpoint", "lost again")[:width]
    padded = [(*row, *[""] * (width - len(row))) for row in rows]
    return Finding(
        name="all",
        label=count(len(findings), "model"),
        answer=f"{findings[-1].label}: {findings[-1].answer}",
        rest=findings[-1].rest,
        facts=findings[-1].facts,
        figure=findings[-1].figure,
        tested=TESTED,
        limits=LIMITS,
        tables=[Table("Models", columns, padded, [one.address for one in findings])],
    )
