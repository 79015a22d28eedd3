"""What a checkpoint says of texts: copies have one outcome, so together they are one observation.

A text is named by the index of its first copy. It is memorized at a checkpoint where a copy that
was evaluated is, and missing where none was evaluated. Once a text is exposed only the copies that
the checkpoint had been trained on count, as in every other count of memorized texts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.emergence.copy_steps import CopySteps
from memtrace.errors import FitError
from memtrace.manifests.schedule import SequencesPerStep, steps_of
from memtrace.runs.events import read_events
from memtrace.runs.likelihoods import find_probable
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.texts.exposure import telling_copies
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TextEvents:
    """The texts that a checkpoint has memorized, and those that were evaluated."""

    events: Events
    """The same of sequences."""
    names: Int64Array
    """Of the texts that occur more than once, ascending, shape (t,)."""
    copies: Int64Array
    """Index of every copy of them, ascending, shape (r,)."""
    evaluated: Mask
    """Which of these texts were evaluated, shape (t,)."""
    memorized: Mask

    def between(self, start: int, stop: int) -> tuple[Int64Array, Mask]:
        """Return which texts named in [start, stop) were evaluated, and which of them memorized.

        Returns:
            Their names minus `start`, ascending, and a mask of them. The first may be shared: it
            is not to be written to.
        """
        rows, hit = self.events.between(start, stop)
        copies = self.copies[slice(*np.searchsorted(self.copies, [start, stop]))]
        if not len(copies):
            return rows, hit
        state = np.full(stop - start, -1, np.int8)
        state[rows] = hit
        state[copies - start] = -1
        part = slice(*np.searchsorted(self.names, [start, stop]))
        states = np.where(self.evaluated[part], self.memorized[part].astype(np.int8), -1)
        state[self.names[part] - start] = states
        there = np.flatnonzero(state >= 0)
        return there, state[there] == 1


def read_text_events(
    runs: Sequence[Run], texts: Texts | None, min_probability: float | None = None
) -> list[TextEvents]:
    """Read the events of runs; without texts every sequence is one of its own.

    With a least probability a sequence is an event whose continuation has at least that, in place
    of one that greedy decoding returns.
    """
    none = np.empty(0, np.int64)
    names, copies = (none, none) if texts is None else (texts.names, np.sort(texts.copies))
    found = []
    for run in runs:
        known = find_probable(run, min_probability) if min_probability else read_events(run)
        events = _compact(known, run.corpus_rows)
        states = none > 0, none > 0
        if texts is not None:
            states = _states(events, texts, telling_copies(texts, run.exposed_rows))
        found.append(TextEvents(events, names, copies, *states))
    return found


def copy_steps(texts: Texts | None, start: int, stop: int, schedule: SequencesPerStep) -> CopySteps:
    """Return which steps trained on copies of the texts named in [start, stop)."""
    if texts is None:
        return CopySteps(*(np.empty(0, np.int64) for _ in range(3)))
    first, last = np.searchsorted(texts.names, [start, stop])
    counts, begins = texts.duplicate_counts[first:last], texts.begins
    steps = steps_of(schedule, texts.copies[begins[first] : begins[last]])
    return CopySteps(
        texts.names[first:last] - start, np.repeat(np.arange(last - first), counts), steps
    )


def blocks(
    runs: Sequence[Run], found: Sequence[TextEvents], size: int
) -> Iterator[tuple[int, int]]:
    """Yield the blocks of at most `size` sequences in which a text was evaluated.

    Raises:
        FitError: Nothing is scanned.
    """
    spans = np.concatenate([one.events.scanned for one in found])
    if not len(spans):
        raise FitError(
            f"nothing of {runs[0].label} is scanned yet; finish it with: {runs[0].command}"
        )
    first, stop = int(spans.min()), int(spans.max())
    # A text is where its first copy is, which need not be scanned itself.
    names = found[0].names[np.any([one.evaluated for one in found], axis=0)]
    first = min(first, int(names.min(initial=first)))
    begun = np.zeros(stop // size + 2, np.int64)
    for begin, end in ((spans[:, 0], spans[:, 1] - 1), (names, names)):
        np.add.at(begun, begin // size, 1)
        np.add.at(begun, end // size + 1, -1)
    for number in np.flatnonzero(np.cumsum(begun)).tolist():
        yield max(number * size, first), min((number + 1) * size, stop)


def _compact(events: Events, corpus_rows: int) -> Events:
    """Lay events out for many searches, and in half the memory."""
    index = events.sequence_index
    small = index.astype(np.uint32) if corpus_rows < 1 << 32 else index
    return Events(small, np.asfortranarray(events.scanned))


def _states(events: Events, texts: Texts, telling: Mask) -> tuple[Mask, Mask]:
    """Return of which texts a telling copy was evaluated, and of which one was memorized; (t,)."""
    which = np.searchsorted(events.scanned[:, 0], texts.copies, side="right") - 1
    stop = np.append(events.scanned[:, 1], 0)  # the last for those before all ranges
    evaluated = texts.copies < stop[which]
    memorized = np.zeros(len(texts.copies), bool)
    places = texts.places(events.sequence_index)
    memorized[places[places >= 0]] = True
    return texts.per_text(evaluated & telling) > 0, texts.per_text(memorized & telling) > 0
