"""Simulated suites of runs, and every number of a comparison by brute force over rows and texts."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from memtrace.runs.memorized import Events, ranges_of
from memtrace.texts.groups import Texts


@dataclass(frozen=True)
class Suite:
    """Runs of one corpus, as sets."""

    rows: int
    labels: list[int]
    """Text of each row."""
    passages: list[int]
    """Passage of each row, equal where texts are."""
    memorized: list[set[int]]
    scanned: list[set[int]]
    exposed: list[int]

    @property
    def texts(self):
        return Texts.from_labels(self.labels, self.passages)

    @property
    def events(self):
        return [
            Events(np.array(sorted(hit), np.int64), ranges_of(np.array(sorted(asked), np.int64)))
            for hit, asked in zip(self.memorized, self.scanned, strict=True)
        ]

    def units(self, rows):
        """The texts of rows, near-copies as one."""
        return {self.passages[row] for row in rows}

    def first(self, unit):
        return self.passages.index(unit)

    def table(self, a, b, kept=lambda unit: True):
        """Texts that both, a, and b memorized, and that both scanned, by brute force."""
        common = self.scanned[a] & self.scanned[b]
        sets = [
            {unit for unit in self.units(rows & common) if kept(unit)}
            for rows in (self.memorized[a], self.memorized[b], common)
        ]
        return len(sets[0] & sets[1]), *map(len, sets)


@st.composite
def suites(draw, runs=4, equal=False):
    """Suites of few rows, so that every case of copies, coverage and exposure comes up."""
    n = draw(st.integers(1, 24))
    labels = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    passages = [label // 2 if label < 4 else label for label in labels]
    everything = set(range(n))
    scanned, memorized = [], []
    for _ in range(runs):
        asked = everything if equal else draw(st.sets(st.integers(0, n - 1)))
        scanned.append(asked)
        memorized.append(draw(st.sets(st.sampled_from(sorted(asked)))) if asked else set())
    exposed = draw(st.lists(st.integers(0, n), min_size=runs, max_size=runs))
    return Suite(n, labels, passages, memorized, scanned, exposed)
