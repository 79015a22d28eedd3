"""Accuracy and the frequency of terms as they are printed: one line a model, task and shots."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from memtrace.evaluations.populations import short_names
from memtrace.evaluations.terms.result import Series, TermResult
from memtrace.evaluations.terms.verdict import models_told, verdict
from memtrace.report.numbers import DASH, count, interval, number, p_value
from memtrace.report.text import Columns, columns, sections

if TYPE_CHECKING:
    from rich.console import RenderableType

NAMES = (
    "model", "shots", "accuracy", "tau", "slope", "error", "Holm", "changes in", "from", "to", "p",
)  # fmt: skip
LISTED = 8
"""Terms without a count that are named; the document names all."""


def text(result: TermResult) -> "RenderableType":
    """Return the verdict and the tables."""
    blocks: list[tuple[str, RenderableType]] = []
    names = short_names(one.model for one in result.series)
    for task in dict.fromkeys(one.task for one in result.series):
        mine = [one for one in result.series if one.task == task]
        blocks.append(
            (f"{task}: last checkpoint, and where the slope changes", _table(mine, names))
        )
    blocks.append(("Read with care", _notes(result, names)))
    source = models_told(result)
    return sections("Accuracy and the frequency of terms", verdict(result), blocks, source=source)


def _table(series: list[Series], names: Mapping[str, str]) -> Columns:
    return columns(NAMES, [(names[one.model], *row(one)[1:]) for one in series])


def row(one: Series) -> tuple[str, ...]:
    """Return a series as the cells of `NAMES`."""
    last, onset = one.relations[-1], one.onset
    return (
        one.model,
        str(one.shots),
        number(last.accuracy, 3),
        _short(last.rank_correlation),
        _short(last.slope),
        _short(last.slope_error),
        p_value(one.p_holm),
        interval(onset.ci95, lambda step: f"{step:,.0f}"),
        _short(onset.before),
        _short(onset.after),
        p_value(one.change_p_holm),
    )


def _short(value: float) -> str:
    return DASH if value != value else f"{value:.2f}"


def _notes(result: TermResult, names: Mapping[str, str]) -> str:
    lines = [
        f"counts of: {result.counted_at}; questions for each term: {result.questions} (from the "
        "standard errors)",
        "slope: log odds for ten times the count. Frequent terms are also easier in other ways: "
        "no slope is a cause.",
        "changes in: steps between which the slope changes (95%), from one level to another; Holm "
        "and p, of that change, are adjusted for all series.",
    ]
    if any(name != short for name, short in names.items()):
        lines.append("model: all are deduped, which their names here leave out.")
    if result.unmatched_terms:
        some = ", ".join(result.unmatched_terms[:LISTED])
        terms = count(len(result.unmatched_terms), "term")
        lines.append(f"without a count and left out: {terms} ({some})")
    return "\n".join(lines)
