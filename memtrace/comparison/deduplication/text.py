"""Deduplicated twins as they are printed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtrace.comparison.deduplication.copies import Seen
from memtrace.comparison.deduplication.result import Deduplication, TwinShares, TwinStep
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.paired.text import points
from memtrace.report.numbers import DASH, count, interval, p_text, p_value, percent
from memtrace.report.text import columns

if TYPE_CHECKING:
    from rich.console import RenderableType

Blocks = list[tuple[str, "RenderableType"]]
SEEN = ("seen", "standard", "95%", "deduplicated", "95%", "difference", "95%")
MATCHED = ("seen in standard", "texts", "both", "standard only", "deduplicated only", "McNemar p")


def deduplication_blocks(found: Sequence[Deduplication]) -> Blocks:
    """Return two tables for each model: by copies seen, and of the texts in both corpora."""
    blocks: Blocks = []
    for one in found:
        title = f"{one.deduplicated} against {one.standard}, step {one.last.step:,}"
        blocks.append(
            (f"{title}: texts memorized, by how often each had seen them", _seen(one.last))
        )
        blocks.append((f"{title}: texts that both had seen", _matched(one.last)))
    return blocks


def deduplication_sentence(one: Deduplication) -> str:
    """Say what deduplication changed: of all texts, and of those that were seen once."""
    last = one.last
    if last.total is None:
        return f"What deduplication changed in {one.standard} is not known: {last.reason}"
    rows = last.total.standard
    repeated = rows.memorized_rows - last.by_copies["once"].standard.memorized_rows
    said = f"{one.deduplicated} memorized {_both(last.total)} of all texts at step {last.step:,}"
    if last.by_copies["once"].standard.texts:
        said += f", and {_both(last.by_copies['once'])} of those seen once"
    if rows.memorized_rows:
        share = percent(repeated / rows.memorized_rows)
        said += f"; {share} of the sequences that {one.standard} memorized are of repeated texts"
    return said


def _both(one: TwinShares) -> str:
    shares = f"{percent(one.deduplicated.share.value)} against {percent(one.standard.share.value)}"
    return f"{shares} ({points(one.difference)}, 95% {interval(one.difference_ci95, points)})"


def _seen(step: TwinStep) -> "RenderableType":
    if step.total is None:
        return step.reason or ""
    parts = {**step.by_copies, "all": step.total}
    rows = [
        (
            name,
            *_share(one.standard),
            *_share(one.deduplicated),
            points(one.difference).removesuffix(" points"),
            interval(one.difference_ci95, points).replace(" points to", " to"),
        )
        for name, one in parts.items()
        if one.standard.texts or one.deduplicated.texts
    ]
    return columns(SEEN, rows)


def _share(one: Seen) -> tuple[str, str]:
    if not one.texts:
        return DASH, DASH
    return f"{one.memorized:,} of {one.texts:,}", interval(one.share.ci95, percent)


def _matched(step: TwinStep) -> "RenderableType":
    if step.matched_total is None:
        return step.matched_reason or ""
    rows = [
        (name, *_cells(table))
        for name, table in {**step.matched, "all": step.matched_total}.items()
        if table.texts
    ]
    return columns(MATCHED, rows)


def _cells(table: PairedShares) -> tuple[str, ...]:
    counts = (table.texts, table.both, table.baseline_only, table.model_only)
    return (*(f"{n:,}" for n in counts), p_value(table.p_value))


def matched_sentence(one: Deduplication) -> str:
    """Say what became of the texts that both corpora have."""
    table = one.last.matched_total
    if table is None:
        return f"Texts of both corpora are not compared: {one.last.matched_reason}"
    return (
        f"of {count(table.texts, 'text')} that both had seen, {one.standard} alone memorized "
        f"{table.baseline_only:,} and {one.deduplicated} alone {table.model_only:,} "
        f"({p_text(table.p_value)})"
    )
