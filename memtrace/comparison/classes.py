"""What runs at one step memorized, by class of exposure: all runs are counted at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memtrace.comparison.agreement import Measure, share
from memtrace.comparison.coverage import inside, intersection, rows_in
from memtrace.comparison.masks import MaskedRows
from memtrace.texts.exposure import CLASSES
from memtrace.texts.groups import Texts
from memtrace.types import FloatArray, Int64Array

HALF_A_TEXT = 0.5
"""As is added to the cells of a table of counts (Haldane 1956, Ann. Hum. Genet. 20:309)."""


@dataclass(frozen=True)
class ClassShare:
    """How much of a class of exposure a run has memorized."""

    texts: int
    of_texts: int
    """Scanned ones; near-copies are one text."""
    rows: int
    of_rows: int

    @property
    def share(self) -> Measure:
        """Return the share of texts with its exact interval."""
        return share(self.texts, self.of_texts)

    @property
    def log_variance(self) -> float:
        """Return the variance of the logarithm of the share: see `ClassTable.log_covariance`."""
        return (self.texts + HALF_A_TEXT) / self.texts**2 - 1 / self.of_texts


@dataclass(frozen=True, eq=False)
class ClassTable:
    """What some runs memorized of one class of exposure."""

    both: Int64Array
    """Texts that each pair has memorized, one run on the diagonal, shape (runs, runs)."""
    of_texts: int
    rows: Int64Array
    """Memorized rows, shape (runs,)."""
    of_rows: int

    def of(self, run: int) -> ClassShare:
        """Return the share of one run."""
        texts, rows = int(self.both[run, run]), int(self.rows[run])
        return ClassShare(texts, self.of_texts, rows, self.of_rows)

    def log_covariance(self, runs: Int64Array) -> FloatArray:
        """Return the covariance of the logarithms of shares of runs with a memorized text.

        Texts are a sample, and every run is asked the same ones: n_ab / (n_a n_b) - 1 / n, by the
        delta method. Half a text that each run alone has memorized is added, so that runs with the
        same texts, or with all of them, are not taken for equal beyond doubt.
        """
        both = self.both[np.ix_(runs, runs)].astype(float)
        counts = np.diagonal(both)
        alone = HALF_A_TEXT * np.eye(len(counts))
        return np.asarray((both + alone) / np.outer(counts, counts) - 1 / self.of_texts)


def classes_of(
    found: MaskedRows, ranges: Int64Array, exposed_rows: int, runs: Sequence[int]
) -> dict[str, ClassTable]:
    """Count memorized texts and rows of some runs by class of exposure.

    Args:
        found: The runs.
        ranges: Rows that the runs of interest have scanned.
        exposed_rows: Leading rows of the corpus that their checkpoint had seen: one of the
            thresholds.
        runs: Places in `found` of the runs that are counted.

    Returns:
        By `CLASSES`. Where texts are not known, none is copy exposed.
    """
    level = int(np.searchsorted(found.thresholds, exposed_rows, side="right"))
    level = level if found.texts is not None else 0
    before, after = _cut(ranges, exposed_rows)
    first = found.memorized_rows(runs, inside(found.rows, before))
    early = found.within(before)
    seen = early.both(runs).sum(axis=0), early.total, first, rows_in(before)
    kept = inside(found.rows, after)
    second, copied = found.memorized_rows(runs, kept), np.zeros(len(runs), np.int64)
    of_copied = 0
    if found.texts is not None:
        copied = found.memorized_rows(runs, kept & (found.units < exposed_rows))
        of_copied = _copies(found.texts, after, exposed_rows)
    late = found.within(after)
    both, scanned = late.both(runs), late.scanned
    copies = both[:level].sum(axis=0), int(scanned[:level].sum()), copied, of_copied
    others = rows_in(after) - of_copied
    unseen = both[level:].sum(axis=0), int(scanned[level:].sum()), second - copied, others
    tables = zip(CLASSES, (seen, copies, unseen), strict=True)
    return {name: ClassTable(*table) for name, table in tables}


def _cut(ranges: Int64Array, row: int) -> tuple[Int64Array, Int64Array]:
    """Return the ranges before a row, and those from it on."""
    nothing = np.empty((0, 2), np.int64)
    end = int(ranges.max(initial=row)) + 1
    before = intersection(ranges, np.array([[0, row]])) if row else nothing
    return before, intersection(ranges, np.array([[row, end]]))


def _copies(texts: Texts, ranges: Int64Array, exposed_rows: int) -> int:
    """Return how many rows of the ranges are copies of exposed texts."""
    here = inside(texts.copies, ranges)
    return int((texts.names[texts.numbers[here]] < exposed_rows).sum())
