"""Runs of one suite, corpus and step: their shares by class of exposure, and their lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memtrace.comparison.classes import ClassTable, classes_of
from memtrace.comparison.corpora import Gathering
from memtrace.comparison.coverage import common, rows_in
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.scale import ScaleLine, ScalePoint, scale_line, scale_points
from memtrace.texts.exposure import CLASSES


@dataclass(frozen=True, eq=False)
class StepTable:
    """Runs of one suite, corpus and step, on the rows that all of them scanned."""

    places: tuple[int, ...]
    """Of the runs among all."""
    bits: tuple[int, ...]
    """Of the runs in the tables."""
    tables: dict[str, ClassTable]
    """By class of exposure."""
    rows: int
    """That all of them scanned."""

    def points(self) -> list[ScalePoint]:
        """Return one point for each run."""
        return scale_points(self.places, self.tables, self.rows, self.bits)

    def lines(self, runs: Sequence[ComparedRun]) -> Iterator[ScaleLine]:
        """Yield a line for each class, of the runs whose size is known."""
        known = [
            (runs[place].parameters or 0, place, bit)
            for place, bit in zip(self.places, self.bits, strict=True)
            if runs[place].parameters
        ]
        if len({size for size, *_ in known}) < 2:
            return
        places, bits = zip(*((place, bit) for _, place, bit in sorted(known)), strict=True)
        for name in CLASSES:
            yield scale_line(runs, places, self.tables[name], bits, name)


def step_tables(runs: Sequence[ComparedRun], found: Gathering) -> list[StepTable]:
    """Count what the runs of a gathering memorized, at each suite and step."""
    groups: dict[tuple[str, int, int], list[int]] = {}
    for bit, place in enumerate(found.own):
        run = runs[place]
        groups.setdefault((run.suite, run.step, run.exposed_rows), []).append(bit)
    tables = []
    for (_, _, exposed), bits in groups.items():
        ranges = common([found.masks.events[bit].scanned for bit in bits])
        counted = classes_of(found.masks, ranges, exposed)
        places = tuple(found.own[bit] for bit in bits)
        tables.append(StepTable(places, tuple(bits), counted, rows_in(ranges)))
    return tables
