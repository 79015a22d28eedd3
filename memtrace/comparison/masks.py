"""The memorized rows of several runs of one corpus as bit masks: run i has bit i.

Two million rows of each of 32 runs are some ten million masks, from which every table of pairs and
every intersection is counted without reading anything again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.comparison.coverage import inside, rows_in, within
from memtrace.errors import FitError
from memtrace.runs.memorized import Events
from memtrace.texts.distinct import distinct
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

MOST_RUNS = 64
"""Bits of a mask."""
BLOCK = 1 << 22
"""Rows of a corpus that are marked at once."""
PART = 1 << 18
"""Masks that are counted at once: so many ones add up exactly in float32."""
Masks = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class MaskedRows:
    """The rows that one run or more has memorized."""

    events: tuple[Events, ...]
    """Of each run, on the rows of one corpus."""
    rows: Int64Array
    """Ascending, shape (n,)."""
    masks: Masks
    """Which runs have memorized each, shape (n,)."""
    units: npt.NDArray[np.integer]
    """Equal for rows of one text or of near-copies of it, shape (n,)."""
    texts: Texts | None
    """The texts of the corpus with near-copies as one; None where they are not known."""
    thresholds: Int64Array
    """Different numbers of exposed rows, ascending."""

    @classmethod
    def of(
        cls,
        events: Sequence[Events],
        exposed_rows: Sequence[int],
        texts: Texts | None,
    ) -> "MaskedRows":
        """Build from the events of runs of one corpus.

        Where the texts of the corpus are not known, rows with equal hashes are of one text; rows
        without a hash are different texts.

        Args:
            events: Of each run.
            exposed_rows: Leading rows of the corpus that each had seen.
            texts: With near-copies as one.

        Raises:
            FitError: There are more runs than bits.
        """
        if len(events) > MOST_RUNS:
            raise FitError(
                f"{len(events)} runs, above {MOST_RUNS}: choose some with --models and --step"
            )
        rows, masks = _marked(events)
        units = texts.names_of(rows) if texts is not None else _labels(events, rows)
        return cls(tuple(events), rows, masks, units, texts, np.unique(exposed_rows))

    def within(self, ranges: Int64Array) -> "UnitMasks":
        """Return the masks of units, as if only these rows had been scanned."""
        key = ranges.tobytes()
        if key not in self._last:
            self._last.clear()  # one is kept: of all runs of equal coverage it is the same
            self._last[key] = self._within(ranges)
        return self._last[key]

    def _within(self, ranges: Int64Array) -> "UnitMasks":
        kept = inside(self.rows, ranges)
        order, begins = self._by_unit
        masks = np.where(kept, self.masks, np.uint64(0))[order]
        joined = np.bitwise_or.reduceat(masks, begins) if len(begins) else masks
        names = self.units[order][begins]
        some = joined != 0
        levels = self._levels(names[some])
        place = np.argsort(levels, kind="stable")
        return UnitMasks(joined[some][place], levels[place], self._scanned(ranges))

    def memorized_rows(self, run: int, ranges: Int64Array) -> int:
        """Return how many rows of these ranges a run has memorized."""
        return len(within(self.events[run], ranges).sequence_index)

    @cached_property
    def _last(self) -> "dict[bytes, UnitMasks]":
        return {}

    @cached_property
    def _by_unit(self) -> tuple[Int64Array, Int64Array]:
        order = np.argsort(self.units, kind="stable")
        ordered = self.units[order]
        new = np.ones(len(ordered), bool)
        new[1:] = ordered[1:] != ordered[:-1]
        return order, np.flatnonzero(new)

    def _levels(self, names: npt.NDArray[np.integer]) -> Int64Array:
        """Return how many of the thresholds do not lie above each name."""
        if self.texts is None:
            return np.zeros(len(names), np.int64)
        return np.searchsorted(self.thresholds, names, side="right")

    def _scanned(self, ranges: Int64Array) -> Int64Array:
        """Return the units of which a row lies in the ranges, by level."""
        if self.texts is None:
            kept = inside(self.rows, ranges)
            repeated = int(kept.sum()) - len(distinct(self.units[kept]))
            return np.array([rows_in(ranges) - repeated])
        return scanned_units(self.texts, ranges, self.thresholds)


@dataclass(frozen=True, eq=False)
class UnitMasks:
    """Texts, near-copies as one, that some run has memorized among rows that all have scanned."""

    masks: Masks
    """Which runs have memorized each, shape (n,)."""
    levels: Int64Array
    """For each how many different numbers of exposed rows lie at or below its first row."""
    scanned: Int64Array
    """All that were scanned, by level."""

    @cached_property
    def total(self) -> int:
        """Return how many were scanned."""
        return int(self.scanned.sum())

    def both(self, runs: int) -> Int64Array:
        """Return how many each pair of runs has memorized, by level.

        Returns:
            Shape (levels, runs, runs), with those of a single run on the diagonal.
        """
        found = np.zeros((len(self.scanned), runs, runs), np.int64)
        ends = np.searchsorted(self.levels, np.arange(len(self.scanned) + 1))
        for level, (start, stop) in enumerate(pairwise(ends)):
            for at in range(int(start), int(stop), PART):
                bits = bits_of(self.masks[at : min(at + PART, int(stop))], runs).astype(np.float32)
                found[level] += (bits.T @ bits).astype(np.int64)
        return found

    def patterns(self, runs: Sequence[int]) -> tuple[npt.NDArray[np.bool_], Int64Array]:
        """Return every combination of some runs that has a unit, and how many units it has.

        Returns:
            Which runs, shape (p, runs), and the number, descending, shape (p,).
        """
        places = np.zeros(len(self.masks), np.int64)
        for bit, run in enumerate(runs):
            places |= (((self.masks >> np.uint64(run)) & np.uint64(1)) << np.uint64(bit)).astype(
                np.int64
            )
        counted = pl.Series("place", places).value_counts().sort("count", "place", descending=True)
        counted = counted.filter(pl.col("place") > 0)
        which = counted["place"].to_numpy().astype(np.uint64)
        return bits_of(which, len(runs)), counted["count"].cast(pl.Int64).to_numpy()


def bits_of(masks: Masks, runs: int) -> npt.NDArray[np.bool_]:
    """Return the bits of masks, shape (n, runs)."""
    return ((masks[:, None] >> np.arange(runs, dtype=np.uint64)) & np.uint64(1)).astype(bool)


def scanned_units(texts: Texts, ranges: Int64Array, thresholds: Int64Array) -> Int64Array:
    """Return how many texts have a row in the ranges, by how many thresholds lie at or below them.

    Args:
        texts: Of the corpus.
        ranges: Half-open, ascending, disjoint.
        thresholds: Ascending rows.

    Returns:
        Shape (thresholds + 1,).
    """
    levels = len(thresholds) + 1
    cuts = np.concatenate(([0], thresholds, [max(texts.rows, int(ranges.max(initial=0)))]))
    lengths = np.diff(np.clip(ranges[:, :, None], cuts[:-1], cuts[1:]), axis=1).sum(axis=(0, 1))
    here = inside(texts.copies, ranges)
    repeated = np.searchsorted(thresholds, texts.copies[here], side="right")
    some = texts.names[texts.per_text(here) > 0]
    named = np.searchsorted(thresholds, some, side="right")
    once = lengths - np.bincount(repeated, minlength=levels)
    return np.asarray(once + np.bincount(named, minlength=levels))


def _marked(events: Sequence[Events]) -> tuple[Int64Array, Masks]:
    """Return the rows that any run has memorized, ascending, and which runs those are."""
    end = max(
        (int(one.sequence_index[-1]) + 1 for one in events if len(one.sequence_index)), default=0
    )
    found = [(np.empty(0, np.int64), np.empty(0, np.uint64))]
    for start in range(0, end, BLOCK):
        marks = np.zeros(min(BLOCK, end - start), np.uint64)
        for bit, one in enumerate(events):
            index = one.sequence_index
            low, high = np.searchsorted(index, np.array([start, start + BLOCK], index.dtype))
            marks[index[low:high].astype(np.int64) - start] |= np.uint64(1 << bit)
        rows = np.flatnonzero(marks)
        found.append((rows + start, marks[rows]))
    return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])


def _labels(events: Sequence[Events], rows: Int64Array) -> npt.NDArray[np.integer]:
    """Return the hashes of rows, or where one has none, the rows themselves."""
    hashes, known = np.zeros(len(rows), np.uint64), np.zeros(len(rows), bool)
    for one in events:
        if one.text_hash is not None:
            places = np.searchsorted(rows, one.sequence_index.astype(np.int64))
            hashes[places], known[places] = one.text_hash, True
    return hashes if known.all() else rows
