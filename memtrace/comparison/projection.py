"""Runs of one corpus on the rows of another: what they say of texts that both corpora have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memtrace.comparison.matching import row_hashes
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.memorized import Events, Hashes, ranges_of
from memtrace.texts.distinct import distinct
from memtrace.types import Int64Array

BLOCK = 1 << 20
"""Rows of a corpus that are looked for at once."""


@dataclass(frozen=True, eq=False)
class HashedCorpus:
    """The text of every row of a corpus, by its hash: 16 bytes a row."""

    hashes: Hashes
    """Shape (rows,)."""
    order: Int64Array
    """Rows by hash, shape (rows,)."""

    @classmethod
    def of(cls, found: ComparedRun) -> "HashedCorpus":
        """Read the corpus of a run.

        Raises:
            CorpusError: It is not on this machine.
        """
        hashes = row_hashes(found.run)
        return cls(hashes, np.argsort(hashes, kind="stable"))

    def shares_text(self, other: "HashedCorpus") -> bool:
        """Return whether some text is in both corpora."""
        starts = range(0, len(other.hashes), BLOCK)
        return any(len(self.rows_of(other.hashes[at : at + BLOCK])) for at in starts)

    def rows_of(self, wanted: Hashes) -> Int64Array:
        """Return every row with one of these texts, ascending."""
        keys = distinct(wanted)
        low, high = (
            np.searchsorted(self.hashes, keys, side, sorter=self.order)
            for side in ("left", "right")
        )
        lengths = high - low
        first = np.repeat(low - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        return np.sort(self.order[first + np.arange(len(first))])


def projected(runs: Sequence[ComparedRun], own: HashedCorpus, other: HashedCorpus) -> list[Events]:
    """Return the events of runs as if they had been asked the rows of another corpus.

    A row counts as scanned if a copy of its text was, and as memorized if one was.

    Args:
        runs: Of one corpus.
        own: That corpus.
        other: The other one.
    """
    asked: dict[bytes, Int64Array] = {}
    found = []
    for run in runs:
        key = run.events.scanned.tobytes()
        if key not in asked:
            asked[key] = ranges_of(other.rows_of(own.hashes[run.events.scanned_rows()]))
        rows = other.rows_of(own.hashes[run.events.sequence_index.astype(np.int64)])
        found.append(Events(rows, asked[key], other.hashes[rows]))
    return found
