"""The texts that both corpora have: what did the twin memorize of them, and what the model?

Rows of two corpora are matched by their text, since no order and no cut is common to both.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.comparison.coverage import inside
from memtrace.comparison.deduplication.copies import BOUNDS, Mask, in_stratum
from memtrace.comparison.matching import MatchedCorpora
from memtrace.comparison.paired.shares import PairedShares
from memtrace.comparison.runs import ComparedRun
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

NONE_IN_BOTH = (
    "no text that both had seen and were asked for is in both corpora: their rows begin at other "
    "places"
)
MANY = 255
"""Copies from which on they are not counted: as many as a byte holds."""
Counts = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Units:
    """Units of the model's corpus by number, as far as both models were asked for a text of it."""

    there: Mask
    hits: tuple[Mask, Mask]
    """Memorized by the model, and by its twin."""


def matched_shares(
    standard: ComparedRun, deduplicated: ComparedRun, matched: MatchedCorpora
) -> dict[str, PairedShares]:
    """Pair the texts that both models had seen and were asked for.

    Near-copies in the corpus of the first are one text.

    Args:
        standard: A run, which is the baseline.
        deduplicated: A run of its twin, on another corpus.
        matched: The texts of both corpora.

    Returns:
        By how often the first had seen a text, under the names of `BOUNDS`.
    """
    # A byte a row of both corpora each, so nothing is made twice.
    both = matched.of_ranges(standard.corpus, standard.scanned_exposed)
    both &= matched.of_ranges(deduplicated.corpus, deduplicated.scanned_exposed)
    hits = [matched.of_rows(run.corpus, _memorized(run)) for run in (standard, deduplicated)]
    for hit in hits:
        hit &= both
    units = _Units(both, (hits[0], hits[1]))
    if standard.units is None:
        seen = _copies_of_names(standard, matched)
    else:
        units = _of_corpus(units, standard, standard.units, matched)
        seen = _copies_of_units(units.there, standard.units, standard.exposed_rows)
    return {name: _table(units, in_stratum(seen, least, below)) for name, least, below in BOUNDS}


def _memorized(run: ComparedRun) -> Int64Array:
    """Return the memorized rows that the run had been trained on."""
    rows = run.events.sequence_index.astype(np.int64)
    return rows[inside(rows, run.scanned_exposed)]


def _table(units: _Units, there: Mask) -> PairedShares:
    there &= units.there
    texts, counts = int(np.count_nonzero(there)), []
    for hit in units.hits:
        counts.append(int(np.count_nonzero(hit & there)))
    there &= units.hits[0]
    there &= units.hits[1]
    both = int(np.count_nonzero(there))
    return PairedShares(texts, both, counts[0] - both, counts[1] - both)


def _of_corpus(
    names: _Units, standard: ComparedRun, texts: Texts, matched: MatchedCorpora
) -> _Units:
    """Return the same by the units of the model's corpus, with near-copies as one."""
    there, *hits = (np.zeros(texts.rows, bool) for _ in range(3))
    for start, block in matched.blocks(standard.corpus):
        kept = np.flatnonzero(names.there[block])
        units, name = texts.names_of(kept + start), block[kept]
        there[units] = True
        for hit, of_names in zip(hits, names.hits, strict=True):
            hit[units[of_names[name]]] = True
    return _Units(there, (hits[0], hits[1]))


def _copies_of_units(there: Mask, texts: Texts, exposed_rows: int) -> Counts:
    """Return how many copies of each unit a checkpoint had seen, `MANY` at most."""
    found = (np.arange(len(there)) < exposed_rows).astype(np.uint8)
    before = texts.per_text(texts.copies < exposed_rows)
    found[texts.names] = np.minimum(before, MANY)
    return found


def _copies_of_names(standard: ComparedRun, matched: MatchedCorpora) -> Counts:
    """Return how many rows with each name a checkpoint had seen, `MANY` at most."""
    found = np.zeros(matched.alone + 1, np.uint8)
    for block in _exposed(standard, matched):
        names, counts = np.unique(block, return_counts=True)
        found[names] = np.minimum(found[names] + counts, MANY)
    return found


def _exposed(run: ComparedRun, matched: MatchedCorpora) -> Iterator[npt.NDArray[np.integer]]:
    """Yield the names of rows that a checkpoint had seen, block by block."""
    for start, names in matched.blocks(run.corpus):
        yield names[: max(run.exposed_rows - start, 0)]
