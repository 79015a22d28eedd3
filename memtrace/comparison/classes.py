"""What runs at one step memorized, by class of exposure: all runs are counted at once."""

from dataclasses import dataclass

import numpy as np

from memtrace.comparison.agreement import Measure, share
from memtrace.comparison.coverage import inside, intersection, rows_in
from memtrace.comparison.masks import MaskedRows, bits_of
from memtrace.texts.exposure import CLASSES
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


def classes_of(found: MaskedRows, ranges: Int64Array, exposed_rows: int) -> dict[str, ClassTable]:
    """Count memorized texts and rows of every run by class of exposure.

    Args:
        found: The runs.
        ranges: Rows that the runs of interest have scanned.
        exposed_rows: Leading rows of the corpus that their checkpoint had seen: one of the
            thresholds.

    Returns:
        By `CLASSES`. Where texts are not known, none is copy exposed.
    """
    runs = len(found.events)
    level = int(np.searchsorted(found.thresholds, exposed_rows, side="right"))
    before, after = _cut(ranges, exposed_rows)
    early, late = found.within(before), found.within(after)
    copied, of_copied = _copies(found, after, exposed_rows)
    first, second = (
        np.array([found.memorized_rows(run, side) for run in range(runs)], np.int64)
        for side in (before, after)
    )
    level = level if found.texts is not None else 0
    by_level = late.both(runs)
    tables = (
        (early.both(runs).sum(axis=0), early.total, first, rows_in(before)),
        (by_level[:level].sum(axis=0), int(late.scanned[:level].sum()), copied, of_copied),
        (
            by_level[level:].sum(axis=0),
            int(late.scanned[level:].sum()),
            second - copied,
            rows_in(after) - of_copied,
        ),
    )
    return {name: ClassTable(*table) for name, table in zip(CLASSES, tables, strict=True)}


def _cut(ranges: Int64Array, row: int) -> tuple[Int64Array, Int64Array]:
    """Return the ranges before a row, and those from it on."""
    nothing = np.empty((0, 2), np.int64)
    end = int(ranges.max(initial=row)) + 1
    before = intersection(ranges, np.array([[0, row]])) if row else nothing
    return before, intersection(ranges, np.array([[row, end]]))


def _copies(found: MaskedRows, ranges: Int64Array, exposed_rows: int) -> tuple[Int64Array, int]:
    """Return the copies of exposed texts among the rows of ranges: memorized ones, and all."""
    runs, texts = len(found.events), found.texts
    if texts is None:
        return np.zeros(runs, np.int64), 0
    here = inside(texts.copies, ranges)
    late = int((texts.names[texts.numbers[here]] < exposed_rows).sum())
    kept = inside(found.rows, ranges) & (found.units < exposed_rows)
    return bits_of(found.masks[kept], runs).sum(axis=0, dtype=np.int64), late
