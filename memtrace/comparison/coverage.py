"""What two runs or more have scanned both: half-open ranges of rows, and events within them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from memtrace.runs.memorized import Events
from memtrace.types import Int64Array


def intersection(a: Int64Array, b: Int64Array) -> Int64Array:
    """Return the ranges that lie in both of two ascending lists of ranges.

    Args:
        a: Half-open, ascending and disjoint, shape (r, 2).
        b: Likewise, shape (s, 2).

    Returns:
        Likewise, shape (t, 2); ranges that touch may stay apart.
    """
    if not len(a) or not len(b):
        return np.empty((0, 2), np.int64)
    if np.array_equal(a, b):
        return a
    # Between neighbouring ends nothing changes: what covers the start covers the piece.
    ends = np.unique(np.concatenate((a.ravel(), b.ravel())))
    start, stop = ends[:-1], ends[1:]
    kept = inside(start, a) & inside(start, b)
    return np.column_stack((start[kept], stop[kept]))


def common(every: Sequence[Int64Array]) -> Int64Array:
    """Return the ranges that lie in all of some lists of ranges, of which there is one or more."""
    return reduce(intersection, every)


def inside(rows: npt.NDArray[np.integer], ranges: Int64Array) -> npt.NDArray[np.bool_]:
    """Return which rows lie in ascending half-open ranges, shape (n,)."""
    if not len(ranges):
        return np.zeros(len(rows), bool)
    if len(ranges) == 1:
        return np.asarray((rows >= ranges[0, 0]) & (rows < ranges[0, 1]))
    which = np.searchsorted(ranges[:, 0], rows, side="right") - 1
    return np.asarray((which >= 0) & (rows < ranges[which, 1]))


def within(events: Events, ranges: Int64Array) -> Events:
    """Return events as if only these ranges had been scanned; all of them were."""
    if np.array_equal(events.scanned, ranges):
        return events
    kept = inside(events.sequence_index, ranges)
    hashes = None if events.text_hash is None else events.text_hash[kept]
    index = events.sequence_index[kept]
    return replace(events, sequence_index=index, scanned=ranges, text_hash=hashes)


def rows_in(ranges: Int64Array) -> int:
    """Return how many rows lie in half-open ranges."""
    return int(np.diff(ranges, axis=1).sum())
