"""Deduplicated twins in the document of `compare --json`."""

from collections.abc import Sequence
from typing import Any

from memtrace.comparison.deduplication.copies import Seen
from memtrace.comparison.deduplication.result import Deduplication, TwinShares, TwinStep
from memtrace.comparison.paired.document import shares_document


def deduplication_document(found: Sequence[Deduplication]) -> list[dict[str, Any]]:
    """Return the value of `deduplication`: one entry for each model; NaN stands for undefined."""
    return [
        {
            "standard": one.standard,
            "deduplicated": one.deduplicated,
            "steps": [_step(step) for step in one.steps],
        }
        for one in found
    ]


def _step(step: TwinStep) -> dict[str, Any]:
    matched = {name: shares_document(table) for name, table in step.matched.items()}
    total = None if step.matched_total is None else shares_document(step.matched_total)
    return {
        "step": step.step,
        "total": None if step.total is None else _shares(step.total),
        "by_copies_seen": {name: _shares(one) for name, one in step.by_copies.items()},
        "reason": step.reason,
        "matched": {
            "total": total,
            "by_copies_seen_in_standard": matched,
            "reason": step.matched_reason,
        },
    }


def _shares(one: TwinShares) -> dict[str, Any]:
    empty = [
        name for name in ("standard", "deduplicated") if not getattr(one, name).texts
    ]  # fmt: skip
    reason = f"{' and '.join(empty)}: no such text was seen and scanned" if empty else None
    return {
        "standard": _seen(one.standard),
        "deduplicated": _seen(one.deduplicated),
        "difference": one.difference,
        "difference_ci95": one.difference_ci95,
        "reason": reason,
    }


def _seen(one: Seen) -> dict[str, Any]:
    return {
        "memorized": one.memorized,
        "texts": one.texts,
        "share": one.share.value,
        "ci95": one.share.ci95,
        "memorized_rows": one.memorized_rows,
        "rows": one.rows,
    }
