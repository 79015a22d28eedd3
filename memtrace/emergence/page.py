"""The page of emergence, of one model or several."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from memtrace.emergence.charts import drawn_scales, half_emerged, share_chart, time_chart
from memtrace.emergence.descriptions import described
from memtrace.emergence.figures import figures_of, leaves_figure, single
from memtrace.emergence.histories import Histories
from memtrace.emergence.methods import METHODS
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.text import text
from memtrace.emergence.text_times import quartile_rows
from memtrace.emergence.verdict import (
    answer,
    beyond_answer,
    estimand,
    evaluated,
    no_earlier_look,
    together,
)
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, percent
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_of, shown_of
from memtrace.report.text import rendered

QUESTION = "How early in training do memories emerge?"
TITLES = {
    "memorized": "Memorized by checkpoint",
    "flows": "Learned and lost since the last checkpoint",
    "time-training": "Share that emerges, by training step",
    "time-exposure": "Share that emerges, by time since exposure",
    "time-share": "Share that emerges, by the training left",
    "hazard-training": "Hazard of emergence over training",
    "hazard-exposure": "Hazard by time since exposure",
}
TIME = "Share that emerges"
OF_SCALES = "The scales are shares of different groups: All numbers says of which."
INTERVAL = "In a box the curve rises somewhere: between its ends it is not known where."
HAZARD = "Emergences among the texts not yet memorized, by interval, with 95% intervals"
BETWEEN = "What happens between two checkpoints is not seen: a text may emerge and be lost there."
ONE_RUN = "Checkpoints of one training run are not replicates of it."
COPIES = (
    "How many copies a text has is not drawn at random: what seems the effect of copies may be how "
    "texts differ."
)
LATER = (
    "At equal time since exposure a text that was seen later is looked at later in training: the "
    "factor of its place is no effect of order by itself."
)
COLUMNS = (
    "checkpoint", "exposed", "memorized", "share", "95% interval", "new", "learned again", "lost",
)  # fmt: skip
TIMES = ("time scale", "a quarter by", "half by", "95% interval of half", "three quarters by")
"""Headings of `quartile_rows`."""


def emergence_page(fits: Sequence[EmergenceResult], left_out: Sequence[str] = ()) -> Page:
    """Return the page of one model or several.

    Args:
        fits: A result for each model.
        left_out: Names of the models of which there is but one checkpoint.
    """
    findings = [finding(fit, f"model-{i + 1}") for i, fit in enumerate(fits)]
    if len(findings) == 1 and not left_out:
        return page_of(QUESTION, findings, None, METHODS)
    most = max(range(len(fits)), key=lambda i: fits[i].outcomes.emerged)
    return page_of(QUESTION, findings, _summary(findings, findings[most], left_out), METHODS)


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
    label, facts = brief(fit)
    return Finding(
        name=name,
        label=label,
        answer=answer(fit),
        rest=beyond_answer(fit),
        facts=facts,
        figure=figures[0] if figures else None,
        tested=_tested(fit),
        limits=_limits(fit),
        figures=figures[1:],
        tables=_tables(fit),
        printed=rendered(text(fit)),
        provenance=[("run", source) for source in found.sources],
    )


def brief(fit: EmergenceResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return f"{fit.histories.suite}/{fit.histories.model}", _facts(fit)


def head(fit: EmergenceResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(fit, names=figures_of(fit)[:1], charts=False)


def _drawn(fit: EmergenceResult, charts: bool) -> list[str]:
    """Return the names of the figures to show: one chart has all time scales."""
    found = figures_of(fit)
    times = [name for name in found if name.startswith("time-")]
    more = times[1:] if charts and available() else []
    kept = [name for name in found if name not in more]
    return sorted(kept, key=lambda name: name == "flows")


def _shown(fit: EmergenceResult, name: str, charts: bool) -> Shown:
    draw = _CHARTS.get("time" if name.startswith("time-") else name)
    chart = draw(fit) if draw and charts and available() else None
    image = None if chart else png(untitled(single(fit, name)))
    title = TIME if chart and name.startswith("time-") else TITLES[name]
    return Shown(title, described(fit, name), _caption(fit, name, chart is not None), image, chart)


def _caption(fit: EmergenceResult, name: str, chart: bool) -> str:
    """Return what is drawn; a time or a hazard says of what it is, and how sound its intervals.

    The chart of times has all scales, of which the reader chooses one.
    """
    unit, beside = fit.histories.unit, together(fit)
    end = f"; {beside}." if beside else "."
    if name.startswith("hazard"):
        return f"{HAZARD}{end}"
    if name.startswith("time"):
        scales = drawn_scales(fit) if chart else [name.removeprefix("time-")]
        of = f"It is what emerges {estimand(fit, scales[0])}." if len(scales) == 1 else OF_SCALES
        return f"NPMLE with a pointwise 95% band{end} {INTERVAL} {of}"
    if name == "flows":
        again = any(row.learned_again for row in fit.checkpoints)
        told = f"{unit.capitalize()}s memorized anew" + again * ", for the first time or again"
        lost = any(row.lost for row in fit.checkpoints)
        return f"{told}{lost * ', and below the line those lost'}."
    told = (
        f"Share of the {unit}s evaluated at a checkpoint that are memorized, with exact 95% "
        "intervals"
    )
    told += "; one that leaves the figure is cut." if leaves_figure(fit) else "."
    if chart and half_emerged(fit):
        told += " Shaded: between these steps half of those that emerged had done so."
    return told


def _tested(fit: EmergenceResult) -> list[str]:
    unit = fit.histories.unit
    copies = "" if fit.copies.reason else "; whether copies seen so far make it emerge faster"
    return [
        f"At which checkpoint each {unit} is first memorized, and when it is lost and learned "
        f"again{copies}."
    ]


def _limits(fit: EmergenceResult) -> list[str]:
    said = [f"{one[0].upper()}{one[1:]}." for one in _beside(fit.histories)]
    copies = [] if fit.copies.reason else [COPIES]
    later = [LATER] if "position" in fit.regression.coefficients and fit.shown else []
    many = [f"{wide[0].upper()}{wide[1:]}; that of half is so."] if (wide := together(fit)) else []
    return [BETWEEN, ONE_RUN, *many, *copies, *later, *said]


_CHARTS: dict[str, Callable[[EmergenceResult], dict[str, Any]]] = {
    "memorized": share_chart,
    "time": time_chart,
}


def _facts(fit: EmergenceResult) -> list[Fact]:
    out, last = fit.outcomes, fit.checkpoints[-1]
    became = "memorized at their first look" if no_earlier_look(fit) else "emerged"
    facts = [Fact(f"{out.emerged:,}", f"of {evaluated(fit)} {became}")]
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


def _tables(fit: EmergenceResult) -> list[Table]:
    times = Table("Bounds of when those that emerged had done so", TIMES, [])
    if fit.shown and fit.time_scales["share"].quartiles:
        times = replace(times, rows=quartile_rows(fit))
    return [table for table in (_by_checkpoint(fit), times) if table.rows]


def _by_checkpoint(fit: EmergenceResult) -> Table:
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
    return Table("Checkpoints", COLUMNS, rows)


def _summary(findings: Sequence[Finding], most: Finding, left_out: Sequence[str]) -> Finding:
    rows = [(one.label, *(fact.value for fact in one.facts)) for one in findings]
    alone = [(name,) for name in left_out]
    width = max(map(len, rows))
    columns = ("model", "emerged", "memorized at the last checkpoint", "lost again")[:width]
    padded = [(*row, *[""] * (width - len(row))) for row in [*rows, *alone]]
    links = [*(one.address for one in findings), *[""] * len(alone)]
    first = "the one with most of " if len(findings) > 1 else "the only one of "
    several = f"{first}{count(len(rows) + len(alone), 'model')}"
    few = [
        f"{name} was scanned at one checkpoint and is left out: when texts emerge takes two."
        for name in left_out
    ]
    return Finding(
        name="all",
        label=f"{most.label}, {several}",
        answer=most.answer,
        rest=most.rest,
        facts=most.facts,
        figure=shown_of(most.figure, most.label),
        tested=most.tested,
        limits=[*few, *most.limits],
        tables=[Table("Models", columns, padded, links)],
    )
