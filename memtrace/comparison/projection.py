"""Runs of one corpus on the rows of another: what they say of texts that both corpora have."""

import numpy as np

from memtrace.comparison.matching import MatchedCorpora
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.memorized import Events, Hashes, ranges_where
from memtrace.types import Int64Array


def projected(run: ComparedRun, corpus: str, matched: MatchedCorpora) -> Events:
    """Return the events of a run as if it had been asked the rows of another corpus.

    A row counts as scanned if a copy of its text was, and as memorized if one was.

    Args:
        run: Of another corpus.
        corpus: Whose rows it is asked.
        matched: The texts of both.
    """
    events = run.events
    index = events.sequence_index.astype(np.int64)
    asked = matched.rows_of(corpus, matched.of_ranges(run.corpus, events.scanned))
    rows = np.flatnonzero(matched.rows_of(corpus, matched.of_rows(run.corpus, index)))
    return Events(rows, ranges_where(asked), _hashes(run, index, rows, corpus, matched))


def _hashes(
    run: ComparedRun, index: Int64Array, rows: Int64Array, corpus: str, matched: MatchedCorpora
) -> Hashes | None:
    """Return the hash of the text of each row, as the run's own events have it."""
    hashes = run.events.text_hash
    if hashes is None:
        return None
    names, first = np.unique(matched.names[run.corpus][index], return_index=True)
    return hashes[first[np.searchsorted(names, matched.names[corpus][rows])]]
