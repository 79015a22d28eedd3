"""The outcomes of the same rows at all checkpoints of a model, read side by side in blocks."""

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
import polars as pl

from memtrace.runs.run import Run
from memtrace.storage.prefetch import prefetch
from memtrace.types import FloatArray, Int64Array

BLOCK = 1 << 16
"""Rows of a run that are read at once; as many runs are open as there are checkpoints."""
Column = tuple[Int64Array, FloatArray]
"""Rows, ascending, and the outcome of each, shapes (n,)."""


def read_column(run: Run, name: str) -> Iterator[Column]:
    """Yield a column of the scores of a run in order of the rows, NaN where it is null.

    Raises:
        RunError: The folder cannot be read.
    """

    def read(job: tuple[object, int]) -> Column:
        content, start = job
        lazy = pl.scan_parquet(content).select("sequence_index", name)  # type: ignore[arg-type]
        table = lazy.slice(start, BLOCK).collect()
        values = table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return table["sequence_index"].cast(pl.Int64).to_numpy(), values

    jobs = [
        (file.content, start)
        for file in run.valid_scores().files
        for start in range(0, int(file.metadata["rows"]), BLOCK)
    ]
    return prefetch(read, jobs, 1)


def side_by_side(columns: Sequence[Iterator[Column]]) -> Iterator[tuple[Int64Array, FloatArray]]:
    """Yield the rows that all have, ascending, and their outcomes, shapes (n,) and (n, K).

    Args:
        columns: One for each checkpoint, cut anywhere.
    """
    heads = [_next(column) for column in columns]
    while all(head is not None for head in heads):
        known = [head for head in heads if head is not None]
        stop = min(int(rows[-1]) for rows, _ in known)
        ends = [int(np.searchsorted(rows, stop, side="right")) for rows, _ in known]
        parts = [(r[:end], y[:end]) for (r, y), end in zip(known, ends, strict=True)]
        yield _joined(parts)
        heads = [
            (rows[end:], y[end:]) if end < len(rows) else _next(column)
            for (rows, y), end, column in zip(known, ends, columns, strict=True)
        ]


def _next(column: Iterator[Column]) -> Column | None:
    """Return the next block that has a row."""
    return next((block for block in column if len(block[0])), None)


def _joined(parts: Sequence[Column]) -> tuple[Int64Array, FloatArray]:
    first = parts[0][0]
    if all(np.array_equal(rows, first) for rows, _ in parts[1:]):
        return first, np.column_stack([y for _, y in parts])
    both = reduce(lambda a, b: np.intersect1d(a, b, assume_unique=True), (r for r, _ in parts))
    return both, np.column_stack([y[np.searchsorted(rows, both)] for rows, y in parts])
