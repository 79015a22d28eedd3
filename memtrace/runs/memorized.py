"""The memorized sequences of a run and what was scanned, as a value and as scores tell them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.errors import FitError
from memtrace.types import Int64Array

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Events:
    """The memorized sequences of a run and what was scanned."""

    sequence_index: npt.NDArray[np.integer]
    """Index of each memorized sequence, ascending, shape (n,)."""
    scanned: Int64Array
    """Half-open ranges of indices that were scanned, ascending and disjoint, shape (r, 2)."""
    text_hash: Hashes | None = None
    """64-bit hash of the text of each, shape (n,); None where it is not known, or was not read."""
    note: str = ""
    """What the hashes are of, or why there are none."""

    @property
    def scanned_sequences(self) -> int:
        """Return how many sequences were scanned."""
        return int(np.diff(self.scanned, axis=1).sum())

    def scanned_rows(self) -> Int64Array:
        """Return the index of every scanned sequence, ascending."""
        return _rows_in(self.scanned)

    def between(self, start: int, stop: int) -> tuple[Int64Array, npt.NDArray[np.bool_]]:
        """Return which sequences of [start, stop) were scanned, and which of these memorized.

        Returns:
            Their indices minus `start`, ascending, and a mask of them. The first may be shared:
            it is not to be written to.
        """
        # Of the same type: else all of the index would be copied.
        ends = np.array([start, stop], self.sequence_index.dtype)
        low, high = np.searchsorted(self.sequence_index, ends)
        events = self.sequence_index[low:high].astype(np.int64) - start
        first = np.searchsorted(self.scanned[:, 1], start, side="right")
        last = np.searchsorted(self.scanned[:, 0], stop, side="left")
        inside = np.clip(self.scanned[first:last], start, stop) - start
        if inside.tolist() == [[0, stop - start]]:  # all of it, as nearly always
            rows, places = _first_rows(stop - start), events
        else:
            rows = _rows_in(inside)
            places = np.searchsorted(rows, events)
        memorized = np.zeros(len(rows), bool)
        memorized[places] = True
        return rows, memorized

    def count(self, exposed_rows: int) -> dict[str, int]:
        """Return how many sequences were scanned and memorized, exposed and unexposed.

        Returns:
            `sequences`, `memorized` (both exposed), `not_exposed_sequences`, and
            `not_exposed_memorized`: copies of exposed sequences are among these.
        """
        sequences = int(np.diff(np.minimum(self.scanned, exposed_rows), axis=1).sum())
        memorized = int(np.searchsorted(self.sequence_index, exposed_rows))
        return {
            "sequences": sequences,
            "memorized": memorized,
            "not_exposed_sequences": self.scanned_sequences - sequences,
            "not_exposed_memorized": len(self.sequence_index) - memorized,
        }


def find_events(scores: pl.LazyFrame, continuation_tokens: int) -> Events:
    """Find the events in a score table, read as a stream: memory grows with events and gaps only.

    Raises:
        FitError: Indices are not ascending and unique, or more tokens match than there are.
    """
    index, matched = pl.col("sequence_index").cast(pl.Int64), pl.col("matched_tokens")
    # Two streams: collected together, the shared columns would be held in memory.
    hits = (
        scores.filter(matched >= continuation_tokens)
        .select(index, matched)
        .collect(engine="streaming")
    )
    gaps = (
        scores.select(index, before=index.shift(1))
        .filter(pl.col("before").is_null() | (pl.col("sequence_index") - pl.col("before") != 1))
        .collect(engine="streaming")
    )
    rows = scores.select(pl.len()).collect(engine="streaming").item()
    if excess := (hits["matched_tokens"] > continuation_tokens).sum():
        raise FitError(
            f"{excess} sequences match more than {continuation_tokens} tokens; pass the "
            "continuation_tokens with which they were scanned"
        )
    return Events(hits["sequence_index"].to_numpy(), _ranges_from_gaps(gaps, rows))


def ranges_of(rows: Int64Array) -> Int64Array:
    """Return the half-open ranges that ascending rows make, shape (r, 2)."""
    if not len(rows):
        return np.empty((0, 2), np.int64)
    ends = np.flatnonzero(np.diff(rows) != 1)
    start, stop = rows[np.append(0, ends + 1)], rows[np.append(ends, len(rows) - 1)] + 1
    return np.column_stack((start, stop)).astype(np.int64)


def ranges_where(mask: npt.NDArray[np.bool_]) -> Int64Array:
    """Return the half-open ranges of rows at which a mask is set, ascending, shape (r, 2)."""
    ends = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    first = [0] if len(mask) and mask[0] else []
    last = [len(mask)] if len(mask) and mask[-1] else []
    return np.concatenate((first, ends, last)).astype(np.int64).reshape(-1, 2)


@lru_cache(maxsize=2)
def _first_rows(n: int) -> Int64Array:
    """Return 0, 1, ..., n - 1, once for all blocks and checkpoints."""
    rows = np.arange(n)
    rows.flags.writeable = False
    return rows


def _rows_in(ranges: Int64Array) -> Int64Array:
    """Return every index in half-open ranges, in order, shape (rows,)."""
    lengths = np.diff(ranges, axis=1).ravel()
    first = np.repeat(ranges[:, 0] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    return first + np.arange(len(first))


def _ranges_from_gaps(gaps: pl.DataFrame, rows: int) -> Int64Array:
    """Turn the first row after each gap, the row before it and their number into ranges."""
    if rows == 0:
        return np.empty((0, 2), dtype=np.int64)
    start = gaps["sequence_index"].to_numpy()
    before = gaps["before"].to_numpy()[1:].astype(np.int64)
    disorder = np.flatnonzero(start[1:] <= before)
    if len(disorder):
        here, there = start[1:][disorder[0]], before[disorder[0]]
        raise FitError(
            f"sequence_index {here} follows {there}; scores must be ascending and unique, "
            "so sort them and drop repeated rows"
        )
    others = int((before + 1 - start[:-1]).sum())
    ranges: Int64Array = np.column_stack((start, np.append(before + 1, start[-1] + rows - others)))
    return ranges
