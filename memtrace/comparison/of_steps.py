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
    tables: dict[str, ClassTable]
    """Of these runs, by class of exposure."""
    rows: int
    """That all of them scanned."""

    def points(self) -> list[ScalePoint]:
        """Return one point for each run."""
        return scale_points(self.places, self.tables, self.rows)

    def lines(self, runs: Sequence[ComparedRun]) -> Iterator[ScaleLine]:
        """Yield a line for each class, of the runs whose size is known."""
        known = [
            (runs[place].parameters or 0, place, at)
            for at, place in enumerate(self.places)
            if runs[place].parameters
        ]
        if len({size for size, *_ in known}) < 2:
            return
        places, columns = zip(*((place, at) for _, place, at in sorted(known)), strict=True)
        for name in CLASSES:
            yield scale_line(runs, places, self.tables[name], columns, name)


def step_tables(runs: Sequence[ComparedRun], found: Gathering) -> list[StepTable]:
    """Count what the runs of a gathering memorized, at each suite and step."""
    tables = []
    for places in found.batch.steps:
        bits = found.bits(places)
        ranges = common([found.masks.scanned[bit] for bit in bits])
        exposed = runs[places[0]].exposed_rows
        counted = classes_of(found.masks, ranges, exposed, bits)
        tables.append(StepTable(places, counted, rows_in(ranges)))
    return tables
