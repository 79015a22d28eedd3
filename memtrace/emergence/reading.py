"""What histories read of runs: their memorized sequences and what was scanned, never the scores."""

from collections.abc import Iterator, Sequence

import numpy as np

from memtrace.errors import FitError
from memtrace.runs.events import read_events
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run


def events_of(run: Run) -> Events:
    """Return the events of a run, laid out for many searches and in half the memory."""
    found = read_events(run)
    small = found.sequence_index.astype(np.uint32) if run.corpus_rows < 1 << 32 else None
    return Events(
        found.sequence_index if small is None else small, np.asfortranarray(found.scanned)
    )


def blocks(runs: Sequence[Run], events: Sequence[Events], size: int) -> Iterator[tuple[int, int]]:
    """Yield the blocks of at most `size` sequences in which something is scanned.

    Raises:
        FitError: Nothing is.
    """
    spans = np.concatenate([found.scanned for found in events])
    if not len(spans):
        raise FitError(
            f"nothing of {runs[0].label} is scanned yet; finish it with: {runs[0].command}"
        )
    first, stop = int(spans.min()), int(spans.max())
    begun = np.zeros(stop // size + 2, np.int64)
    np.add.at(begun, spans[:, 0] // size, 1)
    np.add.at(begun, (spans[:, 1] - 1) // size + 1, -1)
    for number in np.flatnonzero(np.cumsum(begun)).tolist():
        yield max(number * size, first), min((number + 1) * size, stop)
