"""Events of many runs: those that were read last stay in memory, as far as there is room."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path

from memtrace.runs.events import read_events
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.types import Int64Array

MOST_BYTES = 1_500_000_000
"""Of events in memory: of 32 runs with 2 million each, with the hashes of their texts, and more."""


@dataclass(eq=False)
class EventReader:
    """Reads the events of runs, those of a run again only after many others."""

    hashes: bool
    """Whether the hashes of the texts are read."""
    _kept: "OrderedDict[Path, Events]" = field(default_factory=OrderedDict)
    _ranges: dict[bytes, Int64Array] = field(default_factory=dict)
    _bytes: int = 0

    def read(self, run: Run) -> Events:
        """Return the events of a run.

        Raises:
            RunError: The folder cannot be read.
        """
        if run.folder in self._kept:
            self._kept.move_to_end(run.folder)
            return self._kept[run.folder]
        found = read_events(run, hashes=self.hashes)
        # Runs of one sample have the same ranges, of which there may be millions.
        ranges = self._ranges.setdefault(found.scanned.tobytes(), found.scanned)
        found = replace(found, scanned=ranges)
        self._keep(run.folder, found)
        return found

    def _keep(self, folder: Path, events: Events) -> None:
        self._kept[folder] = events
        self._bytes += _size(events)
        while self._bytes > MOST_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(events: Events) -> int:
    hashes = events.text_hash
    return events.sequence_index.nbytes + (0 if hashes is None else hashes.nbytes)
