"""Tables of pairs of runs as they are printed: what one predicts, what both have."""

from collections.abc import Sequence, Sized
from typing import TypeVar

from memtrace.comparison.agreement import Measure
from memtrace.comparison.overlap import Combinations
from memtrace.comparison.prediction import Prediction
from memtrace.comparison.result import ComparisonResult
from memtrace.report.numbers import DASH, count, interval, number, percent
from memtrace.report.text import Columns, columns

Row = TypeVar("Row")

MOST_ROWS = 10
"""Rows of a table that are printed; the JSON has all."""


def predictions_table(found: ComparisonResult) -> Columns:
    """Return how well runs predict the last one, or where they are few all others."""
    names = ("from", "to", "precision", "95%", "recall", "95%", "F1", "MCC")
    ordered = _last_target(found)
    rows = [
        (
            found.label(one.source),
            found.label(one.target),
            *_cells(one.every.precision),
            *_cells(one.every.recall),
            number(one.every.f1.value, 3),
            number(one.every.mcc.value, 3),
        )
        for one in spread(ordered)
    ]
    left = more_rows(found.predictions, len(names), shown=min(len(ordered), MOST_ROWS))
    return columns(names, [*rows, *left], left=2)


def _cells(one: Measure) -> tuple[str, str]:
    return percent(one.value), interval(one.ci95, percent)


def rankings_table(found: ComparisonResult) -> Columns:
    """Return how well log-likelihoods of a run rank what another memorized."""
    names = (
        "from",
        "to",
        "AUC",
        "95%",
        "nats from",
        "F1 held out",
        "95%",
        "to scan",
    )
    ordered = [one for one in _last_target(found) if one.ranking is not None]
    rows = []
    for one in spread(ordered):
        if one.ranking is None:
            continue
        held = one.ranking.held_out
        rows.append(
            (
                found.label(one.source),
                found.label(one.target),
                three(one.ranking.auc.value),
                interval(one.ranking.auc.ci95, three),
                number(one.ranking.threshold, 3),
                DASH if held is None else number(held.f1.value, 3),
                DASH if held is None else interval(held.f1.ci95, three),
                percent(one.ranking.budget),
            )
        )
    return columns(names, [*rows, *more_rows(ordered, len(names))], left=2)


def plans_table(found: ComparisonResult) -> Columns:
    """Return the plans that clearly save something, the cheapest first."""
    names = ("target", "first scan all texts with", "then of the target's texts", "cost", "95%")
    saving = sorted((plan for plan in found.plans if plan.saves), key=lambda p: (-p.target, p.cost))
    how = {"memorized": "returned, then at random", "ranked": "by log-likelihood"}
    rows = [
        (
            found.label(plan.target),
            found.label(plan.source),
            f"{percent(plan.texts)}, {how[plan.how]}",
            percent(plan.cost),
            interval(plan.ci95, percent),
        )
        for plan in saving[:MOST_ROWS]
    ]
    return columns(names, [*rows, *more_rows(saving, len(names))], left=3)


def overlaps_table(found: ComparisonResult) -> Columns:
    """Return what pairs of runs have in common, or where they are many those of the last run."""
    ordered = list(found.overlaps)
    if len(ordered) > MOST_ROWS:
        last = max(one.b for one in ordered)
        ordered = [one for one in ordered if one.b == last]
    names = ("a", "b", "a has", "b has", "both", "Jaccard", "95%", "smaller in larger")
    rows = [
        (
            found.label(one.a),
            found.label(one.b) + (" *" if one.matched_by_text else ""),
            f"{one.agreement.first:,}",
            f"{one.agreement.second:,}",
            f"{one.agreement.both:,}",
            *_cells(one.agreement.jaccard),
            percent(one.contained),
        )
        for one in spread(ordered)
    ]
    left = more_rows(found.overlaps, len(names), shown=min(len(ordered), MOST_ROWS))
    return columns(names, [*rows, *left], left=2)


def combined(found: Combinations, runs: int) -> str:
    """Return the heading of the table of combinations, of so many runs."""
    return (
        f"Texts memorized by exactly these, of {count(found.scanned, 'text')} that "
        f"{found.of_how_many(runs)} scanned"
    )


def combinations_table(found: ComparisonResult) -> Columns:
    """Return the largest combinations of runs."""
    one = found.combinations
    rows = []
    if one is not None:
        for which, texts in list(zip(one.members, one.texts, strict=True))[:MOST_ROWS]:
            members = [found.label(one.runs[bit]) for bit in which.nonzero()[0]]
            name = "all" if len(members) == len(one.runs) else ", ".join(members)
            rows.append((f"{texts:,}", name))
        rows += [("", cells[0]) for cells in more_rows(one.texts, 1)]
    return columns(("memorized by", "texts"), [(names, texts) for texts, names in rows])


def _last_target(found: ComparisonResult) -> list[Prediction]:
    """Return all predictions where they are few, else those of the last target; it comes first."""
    ordered = sorted(found.predictions, key=lambda one: (-one.target, one.source))
    if len(ordered) <= MOST_ROWS:
        return ordered
    return [one for one in ordered if one.target == ordered[0].target]


def spread(rows: Sequence[Row]) -> list[Row]:
    """Return at most `MOST_ROWS`, evenly from the first to the last."""
    n = min(len(rows), MOST_ROWS)
    return [rows[round(at * (len(rows) - 1) / max(n - 1, 1))] for at in range(n)]


def three(value: float) -> str:
    """Return a number with three significant digits."""
    return number(value, 3)


def more_rows(rows: Sized, width: int, shown: int = MOST_ROWS) -> list[tuple[str, ...]]:
    """Return a row that says how many are left out."""
    left = len(rows) - shown
    return [(f"{left:,} more: --json", *[""] * (width - 1))] if left > 0 else []
