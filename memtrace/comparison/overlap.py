"""How much of what two runs memorized is the same, and which combinations of runs share texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.comparison.agreement import Agreement
from memtrace.comparison.masks import MaskedRows
from memtrace.types import Int64Array


@dataclass(frozen=True)
class Overlap:
    """What two runs memorized, on the rows that both scanned."""

    a: int
    b: int
    """Places of the two runs."""
    agreement: Agreement
    rows: int
    """That both scanned."""
    matched_by_text: bool = False
    """Whether the runs are of two corpora, whose texts match by their hashes."""

    @property
    def contained(self) -> float:
        """Return the share of the smaller set that the larger one has too (Szymkiewicz-Simpson)."""
        least = min(self.agreement.first, self.agreement.second)
        return self.agreement.both / least if least else math.nan

    @property
    def reason(self) -> str | None:
        """Return why Jaccard's index is not defined."""
        if not self.agreement.texts:
            return "no text was scanned by both"
        return None if self.agreement.either else "neither has memorized a text that both scanned"


@dataclass(frozen=True, eq=False)
class Combinations:
    """Texts by the runs that memorized them, on the rows that all of these scanned."""

    runs: tuple[int, ...]
    """Places of the runs."""
    members: npt.NDArray[np.bool_]
    """Which runs make a combination, shape (combinations, runs)."""
    texts: Int64Array
    """Memorized by exactly these runs, descending, shape (combinations,)."""
    scanned: int
    """Texts that all of them scanned."""

    def of_how_many(self, runs: int) -> str:
        """Say how many of so many runs these are: `all 3`, `10 of 11 runs`."""
        return f"all {runs}" if len(self.runs) == runs else f"{len(self.runs)} of {runs:,} runs"

    @property
    def sizes(self) -> Int64Array:
        """Return how many texts each run has memorized, shape (runs,)."""
        return np.asarray((self.members * self.texts[:, None]).sum(axis=0))


def combinations(
    found: MaskedRows, bits: Sequence[int], places: Sequence[int], ranges: Int64Array
) -> Combinations:
    """Count texts by the runs that memorized them.

    Args:
        found: The runs.
        bits: Places in `found` of those to combine.
        places: Their places among all runs.
        ranges: Rows that all of them scanned.
    """
    units = found.within(ranges)
    members, texts = units.patterns(bits)
    return Combinations(tuple(places), members, texts, units.total)
