"""How many sequences each optimizer step consumes: always the same, or changing along a run."""

from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from memtrace.types import Int64Array

Ramp = tuple[tuple[int, int], ...]
"""`(from step, sequences)`, from step 0 on, ascending."""
SequencesPerStep = int | Ramp


def _ascending(ramp: Ramp) -> Ramp:
    steps = [step for step, _ in ramp]
    if steps[0] != 0 or any(a >= b for a, b in pairwise(steps)):
        raise ValueError(
            f"the steps {steps} do not ascend from 0: write [[0, 256], [1000, 512]], from which "
            "step on how many sequences"
        )
    return ramp


ValidSequencesPerStep = (
    PositiveInt
    | Annotated[
        tuple[tuple[NonNegativeInt, PositiveInt], ...],
        Field(min_length=1),
        AfterValidator(_ascending),
    ]
)
"""As a manifest or a corpus file has it: a number, or a list of [from step, sequences]."""


def rows_before(sequences_per_step: SequencesPerStep, step: int) -> int:
    """Return how many rows have been consumed when `step` optimizer steps are done."""
    ramp = _ramp(sequences_per_step)
    ends = [begin for begin, _ in ramp[1:]] + [step]
    return sum(
        (min(end, step) - begin) * sequences
        for (begin, sequences), end in zip(ramp, ends, strict=True)
        if begin < step
    )


def steps_of(sequences_per_step: SequencesPerStep, rows: Int64Array) -> Int64Array:
    """Return the step, counted from 0, that consumes each row: checkpoint c has seen steps < c."""
    ramp = _ramp(sequences_per_step)
    begins = np.array([begin for begin, _ in ramp], np.int64)
    sizes = np.array([sequences for _, sequences in ramp], np.int64)
    edges = np.array([rows_before(sequences_per_step, begin) for begin, _ in ramp], np.int64)
    phase = np.searchsorted(edges, rows, side="right") - 1
    return np.asarray(begins[phase] + (rows - edges[phase]) // sizes[phase])


def last_step(sequences_per_step: SequencesPerStep, rows: int) -> int:
    """Return the most steps that so many rows suffice for."""
    return int(steps_of(sequences_per_step, np.array([rows]))[0])


def _ramp(sequences_per_step: SequencesPerStep) -> Ramp:
    if isinstance(sequences_per_step, int):
        return ((0, sequences_per_step),)
    return sequences_per_step
