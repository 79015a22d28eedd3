"""Who memorized what: two runs on the rows that both scanned, by text and by class of exposure."""

from memtrace.comparison.classes import ClassTable, classes_of
from memtrace.comparison.coverage import intersection
from memtrace.comparison.masks import MaskedRows
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.paired.units import PairUnits, exposed_rows, units_of
from memtrace.comparison.runs import ComparedRun


def paired_shares(
    baseline: ComparedRun, model: ComparedRun, units: PairUnits | None = None
) -> dict[str, PairedShares]:
    """Count the texts that both runs scanned, by who memorized them, in each class of exposure.

    A text is in a class with its scanned rows of that class, near-copies are one text, and it is
    memorized where one of these rows is. Without a table of duplicates no row is copy exposed.

    Args:
        baseline: A run.
        model: A run of the same corpus that had seen the same rows.
        units: Of the pair; by default those that the two runs tell.

    Returns:
        By the names of `CLASSES`.
    """
    units = units or units_of([baseline, model])
    exposed = exposed_rows(baseline, model)
    events = [baseline.events, model.events]
    # Copies among memorized rows are those of all runs of the pair, not of these two alone.
    texts, unit_of = (units.texts, None) if units.by_table else (None, units.texts.names_of)
    masks = MaskedRows.of(events, [exposed], texts, unit_of)
    ranges = intersection(*(each.scanned for each in events))
    tables = classes_of(masks, ranges, exposed, range(2))
    return {name: _shares(table) for name, table in tables.items()}


def _shares(table: ClassTable) -> PairedShares:
    both = int(table.both[0, 1])
    alone = (int(table.both[arm, arm]) - both for arm in range(2))
    return PairedShares(int(table.of_texts), both, *alone)
