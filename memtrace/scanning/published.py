"""Evaluations that others have published: the results of all files, and what is wrong in them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memtrace.errors import RunError
from memtrace.scanning.published_files import Table, read_table
from memtrace.types import Int64Array


@dataclass(frozen=True)
class Findings:
    """What was wrong in the files, and is resolved: by index, never by position."""

    rows_read: int
    duplicates: int
    """Rows that repeat an index with the same result: ranks that overlap."""
    conflicts: int
    """Rows that repeat an index with another result; the lower accuracy is kept."""
    shifted: int
    """Rows of a last, partial batch that was labelled one too high; they are moved back."""
    out_of_order: int
    """Rows whose index is not above that of the row before: position says nothing."""
    unexposed: int
    """Rows that the checkpoint had not seen; left out."""
    missing: int
    """Exposed rows of which the files say nothing; they count as not evaluated."""


@dataclass(frozen=True)
class Evaluation:
    """Published results, one row an index."""

    index: Int64Array
    """Ascending and unique."""
    memorized: npt.NDArray[np.bool_]
    accuracy: npt.NDArray[np.float32] | None
    """None for a table of memorized sequences only."""
    tokens: npt.NDArray[np.int64] | None
    """`(n, 64)` where the file has them."""
    findings: Findings

    @property
    def memorized_only(self) -> bool:
        """Return whether sequences that are not in the table were evaluated and not memorized."""
        return self.accuracy is None


def read_evaluation(files: Sequence[Path], *, corpus_rows: int, exposed_rows: int) -> Evaluation:
    """Read the files of one evaluation and resolve what contradicts itself.

    Args:
        files: At least one; see `published_files`.
        corpus_rows: Rows of the corpus; no index can be as large, but for one known fault.
        exposed_rows: Rows that the checkpoint had seen.

    Raises:
        RunError: A file cannot be read, or the rows cannot be of this corpus.
    """
    parts = [_move_back(read_table(path), corpus_rows) for path in files]
    shifted = sum(moved for _, moved in parts)
    return _resolve([table for table, _ in parts], files, shifted, corpus_rows, exposed_rows)


def _resolve(
    parts: Sequence[Table], files: Sequence[Path], shifted: int, corpus_rows: int, exposed_rows: int
) -> Evaluation:
    """Unite the tables: every index once, ascending, with what was wrong in them."""
    source = files[0] if len(files) == 1 else files[0].parent
    index = np.concatenate([part.index for part in parts])
    accuracy = np.concatenate([part.accuracy for part in parts])
    with_tokens = [part.tokens for part in parts if part.tokens is not None]
    memorized_only = parts[0].memorized_only
    if any(part.memorized_only != memorized_only for part in parts) or (
        with_tokens and len(with_tokens) != len(parts)
    ):
        raise RunError(f"{source} mixes tables of memorized sequences with others: import one kind")
    filled = [each for each in with_tokens if len(each)] or with_tokens[:1]
    if len(widths := {each.shape[1] for each in filled}) > 1:
        raise RunError(f"{source} has sequences of {sorted(widths)} tokens: import one length")
    tokens = np.concatenate(filled) if filled else None
    if len(index) and not 0 <= index.min() <= index.max() < corpus_rows:
        wrong = index[(index < 0) | (index >= corpus_rows)][0]
        raise RunError(
            f"{source} has index {wrong}, the corpus has rows 0 to {corpus_rows - 1}: "
            "is it another model's or another corpus'?"
        )
    # Of equal indices the lowest accuracy comes first: memorized is what every copy says.
    order = np.lexsort((accuracy, index))
    new = np.diff(index[order], prepend=-1) != 0
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    again, kept = order[~new], order[new]
    same = accuracy[again] == accuracy[order[first[~new]]]
    if tokens is not None:
        same &= (tokens[again] == tokens[order[first[~new]]]).all(axis=1)
    exposed = kept[index[kept] < exposed_rows]
    findings = Findings(
        rows_read=len(index),
        duplicates=int(same.sum()),
        conflicts=int((~same).sum()),
        shifted=shifted,
        out_of_order=int((np.diff(index) <= 0).sum()),
        unexposed=len(kept) - len(exposed),
        missing=0 if memorized_only else exposed_rows - len(exposed),
    )
    return Evaluation(
        index=index[exposed],
        memorized=accuracy[exposed] == 1,
        accuracy=None if memorized_only else accuracy[exposed],
        tokens=None if tokens is None else tokens[exposed],
        findings=findings,
    )


def describe(findings: Findings) -> list[str]:
    """Return one line for each thing that was found, with what was done about it."""
    labels = {
        "duplicates": "Rows that repeat an index with the same result, kept once",
        "conflicts": "Rows that repeat an index with another result, the lowest kept",
        "shifted": "Rows of a last batch labelled one too high, moved back by one",
        "out_of_order": "Rows out of order, sorted by index",
        "unexposed": "Rows of sequences that the checkpoint had not seen, left out",
        "missing": "Sequences that it had seen and the files do not have, counted as not evaluated",
    }
    counts = {field.name: getattr(findings, field.name) for field in fields(findings)}
    return [f"{label}: {counts[name]:,}" for name, label in labels.items() if counts[name]]


def _move_back(rows: Table, corpus_rows: int) -> tuple[Table, int]:
    """Correct the label of a last, partial batch, which the script that wrote it gave one too high.

    It is known by an index that no corpus has: `corpus_rows`, one past the last. The batch is the
    stretch of consecutive indices that ends there. Returns how many rows are moved as well.
    """
    if rows.memorized_only:
        return rows, 0
    (past,) = np.nonzero(rows.index == corpus_rows)
    if not len(past):
        return rows, 0
    end = past[-1] + 1
    breaks = np.flatnonzero(np.diff(rows.index[:end]) != 1) + 1
    start = breaks[-1] if len(breaks) else 0
    index = rows.index.copy()
    index[start:end] -= 1
    return replace(rows, index=index), int(end - start)
