"""Ranges of rows by how long before the checkpoint they were trained on."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from memtrace.manifests.schedule import SequencesPerStep, rows_before, steps_of
from memtrace.types import Int64Array


@dataclass(frozen=True, eq=False)
class Ages:
    """The exposed rows of a checkpoint, cut where their age doubles."""

    edges: Int64Array
    """Ends of the ranges of rows, ascending, shape (ranges + 1,): the last is the first row that
    the checkpoint had not seen."""
    steps_ago: tuple[tuple[int, int], ...]
    """Ages of each range, from, up to but not including: the oldest range first."""
    unit: str
    """What an age counts: `step`, or `sequence` where nothing tells the steps."""


def age_ranges(
    first_row: int, exposed_rows: int, step: int, schedule: SequencesPerStep | None
) -> Ages:
    """Cut the rows [first_row, exposed_rows) at ages of 0, 1, 2, 4, 8, ... steps.

    A row of step s is step - 1 - s steps old at a checkpoint: 0 where the last step trained on it.

    Args:
        first_row: First row that counts.
        exposed_rows: Rows that the checkpoint had seen.
        step: The checkpoint.
        schedule: Sequences that each step consumes; None where unknown.
    """
    unit = "step" if schedule is not None else "sequence"
    if schedule is None:
        step, schedule = exposed_rows, 1
    if first_row >= exposed_rows:
        return Ages(np.array([exposed_rows], np.int64), (), unit)
    first, last = steps_of(schedule, np.array([first_row, exposed_rows - 1])).tolist()
    youngest, oldest = step - 1 - last, step - 1 - first
    ages = [0, 1]
    while ages[-1] <= oldest:
        ages.append(2 * ages[-1])
    ages = [
        max(ages[0], youngest),
        *(age for age in ages[1:] if youngest < age <= oldest),
        oldest + 1,
    ]
    rows = [rows_before(schedule, step - age) for age in ages]
    edges = np.clip(rows[::-1], first_row, exposed_rows).astype(np.int64)
    return Ages(edges, tuple(pairwise(ages))[::-1], unit)
