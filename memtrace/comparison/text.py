"""A comparison as it is printed: the verdict first, then what is behind it."""

from collections.abc import Sized
from typing import TYPE_CHECKING

from memtrace.comparison.agreement import Measure
from memtrace.comparison.deduplication.text import deduplication_blocks
from memtrace.comparison.overlap import Combinations
from memtrace.comparison.paired.text import paired_blocks
from memtrace.comparison.profile.text import profile_blocks
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.scale import ScaleLine
from memtrace.comparison.seeds import SeedGroup
from memtrace.comparison.verdict import verdict
from memtrace.report.numbers import DASH, count, interval, number, p_value, percent
from memtrace.report.text import columns, named_values, sections

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDTH = 24
MOST_ROWS = 16
"""Rows of a table that are printed; the JSON has all."""
MOST_MODELS = 8
"""Models whose names a line lists."""
CLASSES = {"exposed": "exposed", "copy_exposed": "copy exposed", "unexposed": "unexposed"}
KINDS = {"all": "order and initial weights", "data": "order", "weight": "initial weights"}


def text(found: ComparisonResult) -> "RenderableType":
    """Return the verdict and the tables that have rows."""
    caveat = "".join(f"; {one}" for one in found.caveats)
    blocks: list[tuple[str, RenderableType]] = [
        (f"Texts memorized, of those trained on{caveat}", _points(found))
    ]
    if any(one.line is not None for one in found.lines):
        blocks.append(("Share against parameters, both on log axes", _lines(found)))
    if found.predictions:
        blocks.append((f"What one predicts of another{caveat}", _predictions(found)))
    if any(one.ranking is not None for one in found.predictions):
        blocks.append(("Ranked by log-likelihood", _rankings(found)))
    if any(plan.saves for plan in found.plans):
        blocks.append((f"Cost of finding {percent(found.plans[0].recall)}", _plans(found)))
    if found.overlaps:
        blocks.append((f"Texts in common{caveat}", _overlaps(found)))
    if found.combinations is not None and len(found.combinations.runs) > 2:
        blocks.append((_combined(found.combinations), _combinations(found)))
    if found.seeds:
        blocks.append(("Seeds", _seeds(found)))
    blocks += deduplication_blocks(found.deduplication)
    blocks += paired_blocks(found.paired)
    blocks += profile_blocks(found.profiles)
    if beware := _beware(found):
        blocks.append(("Beware", named_values(beware, WIDTH)))
    title = f"{count(len(found.runs), 'run')}, {found.runs[0].run.configuration.tested}"
    return sections(title, verdict(found), blocks)


def _points(found: ComparisonResult) -> "Table":
    names = ("", "parameters", "texts", "of", "share", "95%", "rows", "unexposed texts")
    rows = []
    for one in found.points[:MOST_ROWS]:
        seen, other = one.exposed, one.classes["unexposed"]
        size = found.runs[one.run].parameters
        rows.append(
            (
                found.label(one.run),
                DASH if size is None else f"{size:,}",
                f"{seen.texts:,}",
                f"{seen.of_texts:,}",
                percent(seen.share.value),
                interval(seen.share.ci95, percent),
                f"{seen.rows:,}",
                f"{other.texts:,} of {other.of_texts:,}" if other.of_texts else DASH,
            )
        )
    return columns(names, [*rows, *_more(found.points, len(names))])


def _lines(found: ComparisonResult) -> "Table":
    names = (
        "step",
        "class",
        "sizes",
        "power",
        "95%",
        "by counts alone",
        "bends, p",
        "10 times as large",
    )
    rows = []
    for one in found.lines:
        if one.line is None:
            continue
        ahead = one.extended[-1]
        predicted = interval(ahead.ci95, percent)
        rows.append(
            (
                f"{found.runs[one.runs[0]].step:,}",
                CLASSES[one.exposure],
                str(one.sizes),
                number(one.slope, 3),
                interval(one.line.interval(1), _three),
                interval(one.counts_ci95, _three),
                p_value(one.bend.p_value) if one.bend else DASH,
                percent(ahead.share) + (f" ({predicted})" if predicted != DASH else ""),
            )
        )
    return columns(names, rows[:MOST_ROWS], left=2)


def _three(value: float) -> str:
    return number(value, 3)


def _predictions(found: ComparisonResult) -> "Table":
    """Return the predictions of the last target, and where there is room those of others."""
    names = ("from", "to", "precision", "95%", "recall", "95%", "F1", "MCC")
    ordered = sorted(found.predictions, key=lambda one: (-one.target, one.source))
    rows = [
        (
            found.label(one.source),
            found.label(one.target),
            *_cells(one.every.precision),
            *_cells(one.every.recall),
            number(one.every.f1.value, 3),
            number(one.every.mcc.value, 3),
        )
        for one in ordered[:MOST_ROWS]
    ]
    return columns(names, [*rows, *_more(ordered, len(names))], left=2)


def _cells(one: Measure) -> tuple[str, str]:
    return percent(one.value), interval(one.ci95, percent)


def _rankings(found: ComparisonResult) -> "Table":
    names = (
        "from",
        "to",
        "AUC",
        "95%",
        "best threshold, nats",
        "held out: F1",
        "95%",
        "texts to scan",
    )
    ordered = sorted(found.predictions, key=lambda one: (-one.target, one.source))
    rows = []
    for one in ordered:
        if one.ranking is None:
            continue
        held = one.ranking.held_out
        rows.append(
            (
                found.label(one.source),
                found.label(one.target),
                number(one.ranking.auc.value),
                interval(one.ranking.auc.ci95),
                number(one.ranking.threshold, 3),
                DASH if held is None else number(held.f1.value, 3),
                DASH if held is None else interval(held.f1.ci95, _three),
                percent(one.ranking.budget),
            )
        )
    return columns(names, [*rows[:MOST_ROWS], *_more(rows, len(names))], left=2)


def _plans(found: ComparisonResult) -> "Table":
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
    return columns(names, [*rows, *_more(saving, len(names))], left=3)


def _overlaps(found: ComparisonResult) -> "Table":
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
        for one in found.overlaps[:MOST_ROWS]
    ]
    return columns(names, [*rows, *_more(found.overlaps, len(names))], left=2)


def _combined(found: Combinations) -> str:
    return (
        f"Texts memorized by exactly these, of {count(found.scanned, 'text')} that all "
        f"{len(found.runs)} scanned"
    )


def _combinations(found: ComparisonResult) -> "Table":
    one = found.combinations
    rows = []
    if one is not None:
        for which, texts in list(zip(one.members, one.texts, strict=True))[:MOST_ROWS]:
            members = [found.label(one.runs[bit]) for bit in which.nonzero()[0]]
            name = "all" if len(members) == len(one.runs) else ", ".join(members)
            rows.append((f"{texts:,}", name))
        rows += [("", cells[0]) for cells in _more(one.texts, 1)]
    return columns(("memorized by", "texts"), [(names, texts) for texts, names in rows])


def _seeds(found: ComparisonResult) -> "Table":
    names = (
        "model",
        "step",
        "seeds differ in",
        "seeds",
        "mean share",
        "SD",
        "95%",
        "one more",
        "shared",
    )
    return columns(names, [_seed_row(one) for one in found.seeds[:MOST_ROWS]], left=1)


def _seed_row(one: SeedGroup) -> tuple[str, ...]:
    spread = one.spread
    cells = [DASH] * 4
    if spread is not None:
        cells = [
            percent(spread.mean.value),
            percent(spread.spread.value),
            interval(spread.spread.ci95, percent),
            interval(spread.one_more, percent),
        ]
    shared = DASH if one.shared is None else percent(one.shared.value)
    return one.of, f"{one.step:,}", KINDS[one.kind], str(len(one.runs)), *cells, shared


def _beware(found: ComparisonResult) -> list[tuple[str, str]]:
    rows = [("copies", reason) for reason in found.copies_reasons]
    if found.unmatched:
        rows.append(("other corpora", found.unmatched))
    if any(one.matched_by_text for one in found.overlaps):
        rows.append(("*", "of two corpora: texts that both have, matched by hash"))
    unknown = sorted({run.model for run in found.runs if run.parameters is None})
    if unknown:
        names = ", ".join(unknown[:MOST_MODELS]) + (" and others" if unknown[MOST_MODELS:] else "")
        rows.append(
            ("sizes", f"no manifest tells the parameters of {names}: give one with --manifest")
        )
    rows += [("lines", line) for line in dict.fromkeys(map(_line_note, found.lines)) if line]
    return rows


def _line_note(one: ScaleLine) -> str:
    if one.line is not None and not one.line.degrees:
        return "two models do not tell how models scatter about a line: no interval of the power"
    return ""


def _more(rows: Sized, width: int) -> list[tuple[str, ...]]:
    """Return a row that says how many are left out."""
    left = len(rows) - MOST_ROWS
    return [(f"{left:,} more: --json", *[""] * (width - 1))] if left > 0 else []
