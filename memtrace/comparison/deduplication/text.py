"""Deduplicated twins as they are printed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtrace.comparison.deduplication.copies import Seen
from memtrace.comparison.deduplication.result import Deduplication, TwinShares, TwinStep
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.paired.text import MOST, between, left_out, points, short_name
from memtrace.report.numbers import DASH, count, interval, p_text, p_value, percent
from memtrace.report.text import columns

if TYPE_CHECKING:
    from rich.console import RenderableType

Blocks = list[tuple[str, "RenderableType"]]
SEEN = ("standard", "95%", "deduplicated", "95%", "points", "95%")
MATCHED = ("texts", "both", "standard only", "deduplicated only", "McNemar p")


def deduplication_blocks(found: Sequence[Deduplication]) -> Blocks:
    """Return two tables for each model: by copies seen, and of the texts in both corpora."""
    blocks: Blocks = []
    for one in found[:MOST]:
        title = f"{short_name(one.deduplicated)} against {short_name(one.standard)}"
        title += f", step {one.last.step:,}"
        known = one.last.is_order_known
        copies = "how often each had seen a text" if known else "copies of a text in its corpus"
        blocks.append((f"{title}: memorized, by {copies}", _seen(one.last)))
        blocks.append((f"{title}: texts {of_both(one.last)}", _matched(one.last)))
    return [*blocks, *left_out(found[MOST:], "twin")]


def deduplication_sentence(one: Deduplication) -> str:
    """Say what deduplication changed: of all texts, and of those that were seen once."""
    last, standard, twin = one.last, short_name(one.standard), short_name(one.deduplicated)
    if last.total is None:
        return f"What deduplication changed in {standard} is not known by text: {last.reason}"
    once, rows = last.by_copies["once"], last.total.standard
    said = (
        f"Of the texts {_of_texts(last)} {standard} and {twin} have memorized {_both(last.total)}"
    )
    if once.standard.texts and once.deduplicated.texts:
        said += f", of those {_once(last)} {_both(once)}"
    if rows.memorized_rows:
        repeated = 1 - once.standard.memorized_rows / rows.memorized_rows
        said += (
            f"; {percent(repeated)} of the sequences that {standard} has memorized are of texts "
            f"that {'it had seen' if last.is_order_known else 'its corpus has'} more than once"
        )
    return said + _alone(one)


def _alone(one: Deduplication) -> str:
    """Say which of the texts of both corpora one of the twins alone has memorized."""
    total = one.last.matched_total
    if total is None:
        return ""
    standard, twin = short_name(one.standard), short_name(one.deduplicated)
    said = (
        f". Of {count(total.texts, 'text')} {of_both(one.last)} {standard} alone has memorized "
        f"{_only(total)} {twin} alone {total.model_only:,} ({p_text(total.p_value)})"
    )
    once = one.last.matched["once"]
    if not once.texts:
        return said
    return (
        f"{said}; of those {_once_in(one.last, standard)} {_only(once)} {once.model_only:,} "
        f"({p_text(once.p_value)})"
    )


def _of_texts(step: TwinStep) -> str:
    """Say which texts of each corpus count: where an order is not known, all that were scanned."""
    if step.is_order_known:
        return f"that each had seen by step {step.step:,}"
    return f"that each was asked for at step {step.step:,}"


def of_both(step: TwinStep) -> str:
    """Say which texts of both corpora count."""
    return "that both had seen" if step.is_order_known else "of both corpora"


def _once(step: TwinStep) -> str:
    return "seen once" if step.is_order_known else "that are once in its corpus"


def _once_in(step: TwinStep, model: str) -> str:
    return (
        f"that {model} had seen once" if step.is_order_known else f"once in the corpus of {model}"
    )


def _only(table: PairedShares) -> str:
    return f"{table.baseline_only:,} and"


def _both(one: TwinShares) -> str:
    shares = f"{percent(one.standard.share.value)} and {percent(one.deduplicated.share.value)}"
    return f"{shares} ({points(one.difference)}, 95% {between(one.difference_ci95)})"


def _seen(step: TwinStep) -> "RenderableType":
    return step.reason or columns(seen_columns(step), seen_rows(step))


def seen_columns(step: TwinStep) -> tuple[str, ...]:
    """Return the names of the columns of what each memorized."""
    return ("seen" if step.is_order_known else "copies"), *SEEN


def matched_columns(step: TwinStep) -> tuple[str, ...]:
    """Return the names of the columns of texts of both corpora."""
    return f"{'seen' if step.is_order_known else 'copies'} in standard", *MATCHED


def seen_rows(step: TwinStep) -> list[tuple[str, ...]]:
    """Return `seen_columns` of each stratum that has texts, and of all."""
    if step.total is None:
        return []
    parts = {**step.by_copies, "all": step.total}
    return [
        (
            name,
            *_share(one.standard),
            *_share(one.deduplicated),
            points(one.difference).removesuffix(" points"),
            between(one.difference_ci95),
        )
        for name, one in parts.items()
        if one.standard.texts or one.deduplicated.texts
    ]


def _share(one: Seen) -> tuple[str, str]:
    if not one.texts:
        return DASH, DASH
    return f"{one.memorized:,} of {one.texts:,}", interval(
        one.share.ci95, lambda end: percent(end, 2)
    )


def _matched(step: TwinStep) -> "RenderableType":
    return step.matched_reason or columns(matched_columns(step), matched_rows(step))


def matched_rows(step: TwinStep) -> list[tuple[str, ...]]:
    """Return `matched_columns` of each stratum that has texts, and of all."""
    if step.matched_total is None:
        return []
    every = {**step.matched, "all": step.matched_total}
    return [(name, *_cells(table)) for name, table in every.items() if table.texts]


def _cells(table: PairedShares) -> tuple[str, ...]:
    counts = (table.texts, table.both, table.baseline_only, table.model_only)
    return (*(f"{n:,}" for n in counts), p_value(table.p_value))
