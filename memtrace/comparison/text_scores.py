"""The log-likelihood of every text that a run scanned: the largest of its copies."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.comparison.coverage import inside
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.likelihoods import read_likelihoods
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

BLOCK = 1 << 22
"""Rows that are looked at at once."""


@dataclass(frozen=True, eq=False)
class RowScores:
    """The log-likelihoods of a run by row: 4 bytes a row of the corpus."""

    values: npt.NDArray[np.float32]
    """NaN where not scanned, minus infinity where below what was recorded, shape (rows,)."""

    def of_texts(
        self, memorized: npt.NDArray[np.integer], ranges: Int64Array, texts: Texts | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.integer]]:
        """Return value, whether it is memorized, and name of each text within ranges.

        Args:
            memorized: Rows that another run has memorized.
            ranges: Rows to take, all of them scanned.
            texts: Copies, near-copies as one; None where each row is a text.
        """
        values = np.full(len(self.values), np.nan, np.float32)
        hit = np.zeros(len(values), bool)
        for start, stop in ranges.tolist():
            values[start:stop] = self.values[start:stop]
        hit[memorized[inside(memorized, ranges)].astype(np.int64)] = True
        if texts is not None and len(texts.names):
            _joined(values, hit, texts)
        known = ~np.isnan(values)
        return values[known], hit[known], _places(known)


def row_scores(found: ComparedRun) -> RowScores:
    """Read the log-likelihoods of a run.

    Raises:
        FitError: The run has none.
        RunError: The folder cannot be read.
    """
    values = np.full(found.run.corpus_rows, np.nan, np.float32)
    for block in read_likelihoods(found.run):
        values[block.sequence_index] = np.where(
            np.isnan(block.log_likelihood), -np.inf, block.log_likelihood
        )
    return RowScores(values)


def _places(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.integer]:
    """Return where a mask is set, in four bytes a place where these are enough."""
    kind = np.uint32 if len(mask) <= np.iinfo(np.uint32).max else np.int64
    parts = [
        (np.flatnonzero(mask[start : start + BLOCK]) + start).astype(kind)
        for start in range(0, len(mask), BLOCK)
    ]
    return np.concatenate([np.empty(0, kind), *parts])


def _joined(values: npt.NDArray[np.float32], hit: npt.NDArray[np.bool_], texts: Texts) -> None:
    """Give each repeated text the largest value of its rows, at its first one, and no other."""
    own, begins = values[texts.copies], texts.begins[:-1]
    largest = np.fmax.reduceat(own, begins)
    any_hit = np.logical_or.reduceat(hit[texts.copies], begins)
    values[texts.copies], hit[texts.copies] = np.nan, False
    values[texts.names], hit[texts.names] = largest, any_hit
