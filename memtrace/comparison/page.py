"""What is shown of a comparison on a page and in a notebook."""

from collections.abc import Sequence

from memtrace.comparison.agreement import Measure
from memtrace.comparison.charts import CHARTS
from memtrace.comparison.descriptions import described
from memtrace.comparison.figures import caption, drawn, single
from memtrace.comparison.methods import METHODS
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.text import left_out, share_cells, shares_title, text
from memtrace.comparison.text_pairs import three
from memtrace.comparison.training_page import training_facts, training_tables
from memtrace.comparison.verdict import foremost, headline, verdict
from memtrace.report.charts import available
from memtrace.report.figures import png, untitled
from memtrace.report.numbers import count, interval, number, percent
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_of, parted
from memtrace.report.text import rendered
from memtrace.report.typeset import sentence

QUESTION = "How do models and checkpoints differ in what they memorize?"
TITLES = {
    "scale": "Share of texts memorized, by size",
    "precision": "Precision of what a run predicts",
    "recall": "Recall of what a run predicts",
    "overlap": "Texts in common",
    "combinations": "Texts by the runs that memorized them",
    "deduplication": "Memorized by copies seen",
    "both-corpora": "Texts that both twins had seen",
    "pairs": "Texts by who memorized them",
    "pairs-over-training": "Model minus baseline over training",
    "profile": "Effect of training by cohort and checkpoint",
    "time-since-training": "Effect of training by time since",
}
LIMITS = (
    "Models of one suite differ in more than their size: a line through few of them says how "
    "shares went, not why.",
    "What a smaller model predicts holds for models trained on the same texts.",
)
SAME_TEXTS = (
    "p-values at several checkpoints of a pair are of mostly the same texts, and are not adjusted "
    "for their number."
)

PAIRS = (
    "from",
    "to",
    "precision",
    "95% interval",
    "recall",
    "95% interval",
    "F1",
    "Matthews correlation",
)
PAIRS_LEGEND = (
    "Precision: the share of what the first returns that the second returns too; recall: the share "
    "of what the second returns that the first returns too."
)

MOST_PAIRS, MOST_SHARES = 500, 500
"""Pairs and runs that the page has in its tables."""


def comparison_page(found: ComparisonResult) -> Page:
    """Return the page of a comparison."""
    return page_of(QUESTION, [finding(found)], None, METHODS)


def finding(
    found: ComparisonResult,
    name: str = "comparison",
    names: Sequence[str] | None = None,
    *,
    charts: bool = True,
) -> Finding:
    """Return what is shown of a comparison.

    Args:
        found: The result.
        name: Its place on the page.
        names: Of the figures to show; by default those that have something to show.
        charts: Charts where they can be drawn; else pictures.
    """
    answer, rest = parted(verdict(found))
    figures = [_shown(found, one, charts) for one in (drawn(found) if names is None else names)]
    label, facts = brief(found)
    return Finding(
        name=name,
        label=label,
        answer=answer,
        rest=rest,
        facts=facts,
        figure=figures[0] if figures else None,
        tested=_tested(found),
        limits=[
            *LIMITS,
            *([SAME_TEXTS] if found.paired or found.deduplication else []),
            *(f"{one.capitalize()}." for one in [*found.caveats, *left_out(found)]),
        ],
        figures=figures[1:],
        tables=[
            _shares(found),
            *([_pairs(found)] if any(not one.reason for one in found.predictions) else []),
            *training_tables(found),
        ],
        printed=rendered(text(found)),
        provenance=[("run", run.run.provenance) for run in found.runs],
    )


def brief(found: ComparisonResult) -> tuple[str, Sequence[Fact]]:
    """Return what a prompt shows: what the result is of, and its numbers."""
    return count(len(found.runs), "run"), _facts(found)


def head(found: ComparisonResult) -> Finding:
    """Return what a notebook shows: the first figure alone."""
    return finding(found, names=drawn(found)[:1], charts=False)


def _tested(found: ComparisonResult) -> list[str]:
    said = ["Every sequence that both runs of a pair scanned."]
    if any(one.line for one in found.lines):
        said = [f"{said[0][:-1]}; of shares by size, those that all models of a step scanned."]
    said.append(
        "What greedy decoding returns counts as memorized, whether or not a run was trained on it; "
        f"shares are of {found.unit}s {found.of_texts}."
    )
    if found.unit == "text":
        said.append("Copies of a text are one text, and near-copies of it too.")
    return said


def _shown(found: ComparisonResult, name: str, charts: bool) -> Shown:
    draw = CHARTS.get(name) if charts and available() else None
    chart = draw(found) if draw else None
    image = None if chart else png(untitled(single(found, name)))
    return Shown(TITLES[name], described(found, name), caption(found, name), image, chart)


def _shares(found: ComparisonResult) -> Table:
    points = found.telling_points(MOST_SHARES)
    left = len(found.points) - len(points)
    more = [f"{left:,} more are in the JSON"] if left else []
    rows = [share_cells(found, one) for one in points]
    texts = f"{found.unit}s"
    columns = (
        "run",
        "parameters",
        f"{texts} memorized",
        f"of {texts}",
        "share",
        "95% interval",
        "rows memorized",
    )
    title, _, where = shares_title(found).partition(", on ")
    said = [*([f"on {where}"] if where else []), *found.caveats, *more]
    legend = f"{sentence('; '.join(said))}." if said else ""
    return Table(title.replace("Texts", texts.capitalize(), 1), columns, rows, (), legend)


def _pairs(found: ComparisonResult) -> Table:
    last = sorted(found.predictions, key=lambda one: (-one.target, one.source))
    left = len(last) - MOST_PAIRS
    more = f" The last {MOST_PAIRS:,} pairs; {left:,} more are in the JSON." if left > 0 else ""
    rows = [
        (
            found.label(one.source),
            found.label(one.target),
            *_cells(one.every.precision),
            *_cells(one.every.recall),
            number(one.every.f1.value, 3),
            number(one.every.mcc.value, 3),
        )
        for one in last[:MOST_PAIRS]
    ]
    return Table("What one run predicts of another", PAIRS, rows, legend=f"{PAIRS_LEGEND}{more}")


def _cells(one: Measure) -> tuple[str, str]:
    return percent(one.value), interval(one.ci95, percent)


def _facts(found: ComparisonResult) -> list[Fact]:
    facts = []
    line, best = headline(found), foremost(found)
    if line is not None and line.line is not None:
        sized = line.line.degrees > 0
        ends = interval(line.line.interval(1) if sized else line.counts_ci95, three)
        note = f"95% {ends}" if sized else f"95% {ends} by counts alone, two sizes"
        facts.append(Fact(number(line.slope, 3), "power of the share over parameters", note))
    if best is not None:
        source, target = found.label(best.source), found.label(best.target)
        for name, measure in (("precision", best.every.precision), ("recall", best.every.recall)):
            note = f"95% {interval(measure.ci95, percent)}"
            facts.append(Fact(percent(measure.value), f"{name}, {source} to {target}", note))
    return facts + training_facts(found)
