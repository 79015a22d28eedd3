"""The texts that both corpora have: what did the twin memorize of them, and what the model?

Rows of two corpora are matched by their text, since no order and no cut is common to both.
"""

import numpy as np

from memtrace.comparison.coverage import inside, intersection
from memtrace.comparison.deduplication.copies import BOUNDS, Mask, in_stratum
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.memorized import Hashes
from memtrace.texts.distinct import among, distinct
from memtrace.types import Int64Array

NONE_IN_BOTH = (
    "no text that both had seen and were asked for is in both corpora: their rows begin at other "
    "places"
)


def matched_shares(
    standard: ComparedRun, deduplicated: ComparedRun, hashes: tuple[Hashes, Hashes]
) -> dict[str, PairedShares]:
    """Pair the texts that both models had seen and were asked for.

    Near-copies in the corpus of the first are one text.

    Args:
        standard: A run, which is the baseline.
        deduplicated: A run of its twin, on another corpus.
        hashes: Of the text of every row of the corpus of each.

    Returns:
        By how often the first had seen a text, under the names of `BOUNDS`.
    """
    ours, theirs = (
        _asked(run, rows) for run, rows in zip((standard, deduplicated), hashes, strict=True)
    )
    text, place = np.unique(ours[0], return_index=True)
    kept = among(text, distinct(theirs[0]))
    common, rows = text[kept], ours[1][place[kept]]
    names, copies = _units(standard, common, rows, hashes[0])
    unit, number = np.unique(names, return_inverse=True)
    seen = np.zeros(len(unit), np.int64)
    seen[number] = copies
    hits = [_hit(common, one[0][one[2]], number, len(unit)) for one in (ours, theirs)]
    tables = {}
    for name, least, below in BOUNDS:
        there = in_stratum(seen, least, below)
        one, other = (hit & there for hit in hits)
        both = int((one & other).sum())
        only = int(one.sum()) - both, int(other.sum()) - both
        tables[name] = PairedShares(int(there.sum()), both, *only)
    return tables


def _asked(run: ComparedRun, hashes: Hashes) -> tuple[Hashes, Int64Array, Mask]:
    """Return hash and index of the rows that were seen and scanned, and which are memorized."""
    ranges = intersection(run.events.scanned, np.array([[0, run.exposed_rows]]))
    parts = [np.arange(start, stop) for start, stop in ranges.tolist()]
    rows = np.concatenate([np.empty(0, np.int64), *parts])
    memorized = np.zeros(len(rows), bool)
    found = run.events.sequence_index.astype(np.int64)
    memorized[np.searchsorted(rows, found[inside(found, ranges)])] = True
    return hashes[rows], rows, memorized


def _units(
    run: ComparedRun, texts: Hashes, rows: Int64Array, hashes: Hashes
) -> tuple[Int64Array, Int64Array]:
    """Return the unit of each text, and how many copies of it the run had seen."""
    if run.units is not None:
        names = run.units.names_of(rows)
        return names, run.units.copies_before(names, run.exposed_rows)
    every, counts = np.unique(hashes[: run.exposed_rows], return_counts=True)
    return rows, counts[np.searchsorted(every, texts)]


def _hit(common: Hashes, memorized: Hashes, number: Int64Array, units: int) -> Mask:
    """Return which units have a text that is memorized."""
    found = np.zeros(units, bool)
    found[number[among(common, distinct(memorized))]] = True
    return found
