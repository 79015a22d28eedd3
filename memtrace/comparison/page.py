"""What is shown of a comparison on a page and in a notebook."""

from collections.abc import Sequence

from memtrace.comparison.figures import CAPTIONS, drawn, single
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.text import text
from memtrace.comparison.verdict import foremost, headline, verdict
from memtrace.report.figures import png
from memtrace.report.numbers import count, interval, number, percent
from memtrace.report.page import Fact, Finding, Shown, parted
from memtrace.report.text import rendered

TITLES = {
    "scale": "Share of texts memorized, by size",
    "precision": "Precision of what a run predicts",
    "recall": "Recall of what a run predicts",
    "overlap": "Texts in common",
    "combinations": "Texts by the runs that memorized them",
    "deduplication": "Memorized by copies seen",
    "both-corpora": "Texts that both twins had seen",
    "pairs": "Exposed texts by who memorized them",
    "pairs-over-training": "Model minus baseline over training",
    "profile": "Effect of training by cohort and checkpoint",
    "time-since-training": "Effect of training by time since",
}
TESTED = (
    "Every sequence that both runs of a pair scanned; of shares by size, those that all models "
    "of a step scanned. Copies of a text are one text, and near-copies of it too.",
)
LIMITS = (
    "Models of one suite differ in more than their size: a line through few of them says how "
    "shares went, not why.",
    "What a smaller model predicts holds for models trained on the same texts.",
)


def finding(
    found: ComparisonResult, name: str = "comparison", names: Sequence[str] | None = None
) -> Finding:
    """Return what is shown of a comparison.

    Args:
        found: The result.
        name: Its place on the page.
        names: Of the figures to show; by default those that have something to show.
    """
    answer, rest = parted(verdict(found))
    figures = [_shown(found, one) for one in (drawn(found) if names is None else names)]
    return Finding(
        name=name,
        label=count(len(found.runs), "run"),
        answer=answer,
        rest=rest,
        facts=_facts(found),
        figure=figures[0] if figures else None,
        tested=TESTED,
        limits=[*LIMITS, *(f"{one.capitalize()}." for one in found.caveats)],
        figures=figures[1:],
        printed=rendered(text(found)),
    )


def head(found: ComparisonResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(found, names=drawn(found)[:1])


def _shown(found: ComparisonResult, name: str) -> Shown:
    return Shown(TITLES[name], CAPTIONS[name], CAPTIONS[name], png(single(found, name)))


def _facts(found: ComparisonResult) -> list[Fact]:
    facts = []
    line, best = headline(found), foremost(found)
    if line is not None and line.line is not None:
        ends = interval(line.line.interval(1), lambda value: number(value, 3))
        note = f"95% {ends}" if line.line.degrees else "two models"
        facts.append(Fact(number(line.slope, 3), "power of the share over parameters", note))
    if best is not None:
        source, target = found.label(best.source), found.label(best.target)
        for name, measure in (("precision", best.every.precision), ("recall", best.every.recall)):
            note = f"95% {interval(measure.ci95, percent)}"
            facts.append(Fact(percent(measure.value), f"{name}, {source} to {target}", note))
    return facts
