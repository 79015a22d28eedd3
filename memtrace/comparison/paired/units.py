"""What a pair of models counts: one unit of its runs in tables, times and likelihoods alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memtrace.comparison.masks import labels_of
from memtrace.comparison.runs import ComparedRun
from memtrace.corpus.copies import Copies
from memtrace.texts.groups import NearCopies, Texts


@dataclass(frozen=True, eq=False)
class PairUnits:
    """The texts of the corpus of a pair, as far as they are known."""

    texts: Texts
    """With near-copies as one, or only the copies among memorized rows, or no copies at all."""
    by_table: bool
    """Whether a table tells all copies."""
    name: str
    """`text`, or `sequence` where nothing is known of copies."""


def units_of(runs: Sequence[ComparedRun]) -> PairUnits:
    """Return the units of runs of one corpus.

    Without a table of duplicates, memorized rows with equal hashes are one text; where the hash of
    one of them is not known, each row is a unit.
    """
    rows, known = runs[0].run.corpus_rows, runs[0].units
    if known is not None:
        return PairUnits(known, True, "text")
    memorized = np.zeros(rows, bool)
    for run in runs:
        memorized[run.events.sequence_index.astype(np.int64)] = True
    index = np.flatnonzero(memorized)
    labels = labels_of((run.events for run in runs if run.hashed), index)
    if labels is index or not any(run.hashed for run in runs):
        return PairUnits(each_its_own(rows), False, "sequence")
    _, first, which, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    repeated = counts[which] > 1
    copies, firsts = index[repeated], index[first[which[repeated]]]
    order = np.lexsort((copies, firsts))
    table = Copies("", rows, 0, 0, firsts[order], copies[order])
    return PairUnits(Texts.from_copies(table), False, "text")


def each_its_own(rows: int) -> Texts:
    """Return the texts of a corpus in which no two rows are copies."""
    none = np.empty(0, np.int64)
    return Texts(rows, none, np.zeros(1, np.int64), none, NearCopies.none())


def is_order_known(baseline: ComparedRun, model: ComparedRun) -> bool:
    """Return whether it is known of both which rows they had been trained on."""
    return baseline.run.is_order_known and model.run.is_order_known


def exposed_rows(baseline: ComparedRun, model: ComparedRun) -> int:
    """Return how many leading rows both had seen; all of them where an order is not known."""
    if not is_order_known(baseline, model):
        return baseline.run.corpus_rows
    return min(baseline.exposed_rows, model.exposed_rows)
