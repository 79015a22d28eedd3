"""The memorized rows of several runs of one corpus as bit masks: run i has bit i.

Two million rows of each of 32 runs are some ten million masks, from which every table of pairs and
every intersection is counted without reading anything again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.comparison.coverage import inside, rows_in
from memtrace.runs.memorized import Events
from memtrace.texts.distinct import distinct
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

WORD = 64
"""Bits of a word of a mask."""
BLOCK = 1 << 22
"""Rows of a corpus that are marked at once."""
FEW = 12
"""Rows of a corpus for each memorized one from which on these are sorted, and not marked."""
PART = 1 << 18
"""Masks that are counted at once: so many ones add up exactly in float32."""
Masks = npt.NDArray[np.uint64]
"""Shape (words, n): run i has bit i % 64 of word i // 64."""
Units = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class MaskedRows:
    """The rows that one run or more has memorized."""

    scanned: tuple[Int64Array, ...]
    """Ranges of rows that each run scanned."""
    rows: Int64Array
    """By unit, shape (n,)."""
    masks: Masks
    """Which runs have memorized each, shape (words, n)."""
    units: Units
    """Ascending; equal for rows of one text or of near-copies of it, shape (n,)."""
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
        unit_of: Callable[[Int64Array], Units] | None = None,
    ) -> "MaskedRows":
        """Build from the events of runs of one corpus.

        Where the texts of the corpus are not known, rows with equal hashes are of one text; rows
        without a hash are different texts.

        Args:
            events: Of each run.
            exposed_rows: Leading rows of the corpus that each had seen.
            texts: With near-copies as one.
            unit_of: Returns the units of rows, where `texts` are not known but others are.
        """
        rows, masks = _marked(events)
        if unit_of is not None:
            units = unit_of(rows)
        else:
            units = texts.names_of(rows) if texts is not None else labels_of(events, rows)
        order = np.argsort(units, kind="stable")
        scanned = tuple(one.scanned for one in events)
        exposed = np.unique(exposed_rows)
        return cls(scanned, rows[order], masks[:, order], units[order], texts, exposed)

    def within(self, ranges: Int64Array) -> "UnitMasks":
        """Return the masks of units, as if only these rows had been scanned."""
        key = ranges.tobytes()
        if key not in self._last:
            self._last.clear()  # one is kept: of all runs of equal coverage it is the same
            self._last[key] = self._within(ranges)
        return self._last[key]

    def _within(self, ranges: Int64Array) -> "UnitMasks":
        begins = self._begins
        masks = np.where(inside(self.rows, ranges), self.masks, np.uint64(0))
        joined = np.bitwise_or.reduceat(masks, begins, axis=1) if len(begins) else masks
        some = np.bitwise_or.reduce(joined, axis=0) != 0
        levels = self._levels(self.units[begins][some])
        place = np.argsort(levels, kind="stable")
        return UnitMasks(joined[:, some][:, place], levels[place], self._scanned(ranges))

    def memorized_rows(self, bits: Sequence[int], kept: npt.NDArray[np.bool_]) -> Int64Array:
        """Return how many of some of `rows` each of some runs has memorized, shape (bits,)."""
        masks = self.masks[:, kept]
        parts = range(0, masks.shape[1], PART)
        counts = (columns(masks[:, at : at + PART], bits).sum(axis=0) for at in parts)
        return np.asarray(sum(counts, np.zeros(len(bits), np.int64)))

    @cached_property
    def _last(self) -> "dict[bytes, UnitMasks]":
        return {}

    @cached_property
    def _begins(self) -> Int64Array:
        new = np.ones(len(self.units), bool)
        new[1:] = self.units[1:] != self.units[:-1]
        return np.flatnonzero(new)

    def _levels(self, names: Units) -> Int64Array:
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
    """Which runs have memorized each, shape (words, n)."""
    levels: Int64Array
    """For each how many different numbers of exposed rows lie at or below its first row."""
    scanned: Int64Array
    """All that were scanned, by level."""

    @cached_property
    def total(self) -> int:
        """Return how many were scanned."""
        return int(self.scanned.sum())

    def both(self, runs: Sequence[int]) -> Int64Array:
        """Return how many each pair of some runs has memorized, by level.

        Returns:
            Shape (levels, runs, runs), with those of a single run on the diagonal.
        """
        kept = np.bitwise_or.reduce(self.masks & mask_of(runs, len(self.masks)), axis=0) != 0
        masks, levels = self.masks[:, kept], self.levels[kept]
        found = np.zeros((len(self.scanned), len(runs), len(runs)), np.int64)
        ends = np.searchsorted(levels, np.arange(len(self.scanned) + 1))
        for level, (start, stop) in enumerate(pairwise(ends.tolist())):
            for at in range(start, stop, PART):
                bits = columns(masks[:, at : min(at + PART, stop)], runs).astype(np.float32)
                found[level] += (bits.T @ bits).astype(np.int64)
        return found

    def patterns(self, runs: Sequence[int]) -> tuple[npt.NDArray[np.bool_], Int64Array]:
        """Return every combination of some runs that has a unit, and how many units it has.

        Args:
            runs: At most 63.

        Returns:
            Which runs, shape (p, runs), and the number, descending, shape (p,).
        """
        places = np.zeros(self.masks.shape[1], np.int64)
        for bit, run in enumerate(runs):
            word, at = divmod(run, WORD)
            own = (self.masks[word] >> np.uint64(at)) & np.uint64(1)
            places |= (own << np.uint64(bit)).astype(np.int64)
        counted = pl.Series("place", places).value_counts().sort("count", "place", descending=True)
        counted = counted.filter(pl.col("place") > 0)
        which = counted["place"].to_numpy().astype(np.uint64)
        return columns(which[None], range(len(runs))), counted["count"].cast(pl.Int64).to_numpy()

    def by_number(self, runs: Sequence[int]) -> Int64Array:
        """Return how many units exactly 1, 2, ... of some runs have memorized, shape (runs,)."""
        found = np.zeros(len(runs) + 1, np.int64)
        for at in range(0, self.masks.shape[1], PART):
            numbers = columns(self.masks[:, at : at + PART], runs).sum(axis=1)
            found += np.bincount(numbers, minlength=len(found))
        return found[1:]


def mask_of(runs: Sequence[int], words: int) -> Masks:
    """Return the mask of some runs, shape (words, 1)."""
    found = np.zeros((words, 1), np.uint64)
    for run in runs:
        word, at = divmod(run, WORD)
        found[word] |= np.uint64(1 << at)
    return found


def columns(masks: Masks, runs: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return the bits of some runs, shape (n, runs)."""
    word, at = np.divmod(np.array(runs, np.int64), WORD)
    found = np.empty((masks.shape[1], len(word)), np.uint8)
    for each in np.unique(word).tolist():
        octets = np.ascontiguousarray(masks[each], "<u8").view(np.uint8).reshape(-1, WORD // 8)
        bits = np.unpackbits(octets, axis=1, bitorder="little")
        found[:, word == each] = bits[:, at[word == each]]
    return found.view(bool)


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


def labels_of(events: Iterable[Events], rows: Int64Array) -> Units:
    """Return the hashes of rows, or where one of them has none, the rows themselves.

    Args:
        events: With all of the rows, shape (n,).
        rows: Memorized ones, ascending, shape (n,).
    """
    hashes, known = np.zeros(len(rows), np.uint64), np.zeros(len(rows), bool)
    for one in events:
        if one.text_hash is not None:
            places = np.searchsorted(rows, one.sequence_index.astype(np.int64))
            hashes[places], known[places] = one.text_hash, True
    return hashes if known.all() else rows


def _marked(events: Sequence[Events]) -> tuple[Int64Array, Masks]:
    """Return the rows that any run has memorized, ascending, and which runs those are."""
    index = [one.sequence_index.astype(np.int64, copy=False) for one in events]
    end = max((int(rows[-1]) + 1 for rows in index if len(rows)), default=0)
    # Few rows are sorted; of many it is faster to mark all rows of the corpus.
    if FEW * sum(map(len, index)) < end:
        rows = distinct(np.concatenate([np.empty(0, np.int64), *index]))
        return rows, _marks([np.searchsorted(rows, one) for one in index], len(rows))
    found = [(np.empty(0, np.int64), _marks([one[:0] for one in index], 0))]
    for start in range(0, end, BLOCK):
        ends = [np.searchsorted(one, (start, start + BLOCK)) for one in index]
        parts = [one[low:high] - start for one, (low, high) in zip(index, ends, strict=True)]
        marks = _marks(parts, min(BLOCK, end - start))
        rows = np.flatnonzero(np.bitwise_or.reduce(marks, axis=0))
        found.append((rows + start, marks[:, rows]))
    masks = np.concatenate([one[1] for one in found], axis=1)
    return np.concatenate([one[0] for one in found]), masks


def _marks(places: Sequence[Int64Array], n: int) -> Masks:
    """Return the masks of n rows, of which each run has some, shape (words, n)."""
    marks = np.zeros((-(-len(places) // WORD), n), np.uint64)
    for run, own in enumerate(places):
        word, bit = divmod(run, WORD)
        marks[word, own] |= np.uint64(1 << bit)
    return marks
