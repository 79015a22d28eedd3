"""Who memorized what: two runs on the rows that both scanned, by text and by class of exposure."""

import numpy as np
import numpy.typing as npt

from memtrace.comparison.coverage import intersection, within
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.memorized import Events
from memtrace.texts.distinct import among, distinct
from memtrace.texts.exposure import CLASSES, classify_rows, count_classes
from memtrace.texts.groups import NearCopies, Texts
from memtrace.types import Int64Array


def each_its_own(rows: int) -> Texts:
    """Return the texts of a corpus in which no two rows are copies."""
    none = np.empty(0, np.int64)
    return Texts(rows, none, np.zeros(1, np.int64), none, NearCopies.none())


def paired_shares(baseline: ComparedRun, model: ComparedRun) -> dict[str, PairedShares]:
    """Count the texts that both runs scanned, by who memorized them, in each class of exposure.

    A text is in a class with its scanned rows of that class, near-copies are one text, and it is
    memorized where one of these rows is. Where copies are not known each row is a text.

    Args:
        baseline: A run.
        model: A run of the same corpus. Classes are those of the baseline.

    Returns:
        By the names of `CLASSES`.
    """
    ranges = intersection(baseline.events.scanned, model.events.scanned)
    units = baseline.units or each_its_own(baseline.run.corpus_rows)
    exposed = baseline.exposed_rows
    events = [within(each.events, ranges) for each in (baseline, model)]
    # Of all rows: the counts of memorized ones, which differ, are not used.
    classes = count_classes(units, events[0], exposed)
    found = [_texts(units, each, exposed) for each in events]
    tables = {}
    for place, name in enumerate(CLASSES):
        ours, theirs = (names[place] for names in found)
        both = int(among(ours, theirs).sum())
        texts = getattr(classes, name).texts
        tables[name] = PairedShares(texts, both, len(ours) - both, len(theirs) - both)
    return tables


def _texts(units: Texts, events: Events, exposed_rows: int) -> list[Int64Array]:
    """Return the names of the memorized texts of each class."""
    rows: npt.NDArray[np.integer] = events.sequence_index
    classes, names = classify_rows(units, rows, exposed_rows), units.names_of(rows)
    return [distinct(names[classes == place]) for place in range(len(CLASSES))]
