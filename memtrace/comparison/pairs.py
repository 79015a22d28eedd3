"""Pairs of runs on the rows that both have scanned: counted together where coverage is equal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memtrace.comparison.agreement import Agreement
from memtrace.comparison.coverage import intersection, rows_in
from memtrace.comparison.masks import MaskedRows
from memtrace.types import Int64Array


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Texts by what two runs memorized, by level of exposure."""

    a: int
    b: int
    """Places of the two runs."""
    both: Int64Array
    of_a: Int64Array
    of_b: Int64Array
    texts: Int64Array
    """Scanned by both runs; each by how many thresholds lie at or below the first row of a text."""
    rows: int
    """Scanned by both."""
    ranges: Int64Array
    """Those rows."""

    def agreement(self, levels: slice = slice(None), *, reverse: bool = False) -> Agreement:
        """Return the counts of some levels: of a telling b, or of b telling a."""
        first, second = (self.of_b, self.of_a) if reverse else (self.of_a, self.of_b)
        numbers = (each[levels].sum() for each in (self.both, first, second, self.texts))
        return Agreement(*map(int, numbers))


def pair_counts(found: MaskedRows, wanted: Sequence[tuple[int, int]]) -> list[PairCounts]:
    """Count pairs of runs of one corpus.

    Args:
        found: The runs.
        wanted: Places of the two runs of each pair.
    """
    groups: dict[bytes, tuple[Int64Array, list[int]]] = {}
    for number, (a, b) in enumerate(wanted):
        ranges = intersection(found.scanned[a], found.scanned[b])
        groups.setdefault(ranges.tobytes(), (ranges, []))[1].append(number)
    counted: dict[int, PairCounts] = {}
    for ranges, numbers in groups.values():
        units, rows = found.within(ranges), rows_in(ranges)
        bits = sorted({bit for number in numbers for bit in wanted[number]})
        both, at = units.both(bits), {bit: place for place, bit in enumerate(bits)}
        for number in numbers:
            a, b = wanted[number]
            one, other = at[a], at[b]
            counts = both[:, one, other], both[:, one, one], both[:, other, other]
            counted[number] = PairCounts(a, b, *counts, units.scanned, rows, ranges)
    return [counted[number] for number in range(len(wanted))]


def exposed_levels(found: MaskedRows, exposed_rows: int) -> slice:
    """Return the levels of texts of which a checkpoint had seen a copy."""
    return slice(0, int(np.searchsorted(found.thresholds, exposed_rows, side="right")))
