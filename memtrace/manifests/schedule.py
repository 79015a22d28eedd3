"""How many sequences each optimizer step consumes: always the same, or changing along a run."""

import reprlib
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator

from memtrace.types import FloatArray, Int64Array

Ramp = tuple[tuple[int, int], ...]
"""`(from step, sequences)`, from step 0 on, ascending."""
SequencesPerStep = int | Ramp
_MOST = 10**12


def _valid(said: Any) -> Any:
    """Accept a positive number, or pairs [from step, sequences] that ascend from step 0."""
    pairs = [[0, said]] if _is_count(said) else said
    if (
        not isinstance(pairs, list | tuple)
        or not pairs
        or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs)
        or not all(_is_count(count) and (_is_count(step) or step == 0) for step, count in pairs)
        or pairs[0][0] != 0
        or any(a[0] >= b[0] for a, b in pairwise(pairs))
    ):
        raise ValueError(
            f"{reprlib.repr(said)} is no number of sequences: write 1024, or where it changes "
            "along the run [[0, 256], [1000, 512]], from which step on how many, from step 0"
        )
    return said if _is_count(said) else tuple(map(tuple, pairs))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST


ValidSequencesPerStep = Annotated[SequencesPerStep, BeforeValidator(_valid)]
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


def place_in_steps(sequences_per_step: SequencesPerStep, rows: npt.ArrayLike) -> FloatArray:
    """Return how many steps, and which part of the next one, so many rows have taken."""
    ramp = _ramp(sequences_per_step)
    edges = np.array([rows_before(sequences_per_step, begin) for begin, _ in ramp], float)
    begins, sizes = np.array(ramp, float).T
    found = np.asarray(rows, float)
    phase = np.maximum(np.searchsorted(edges, found, side="right") - 1, 0)
    return np.asarray(begins[phase] + (found - edges[phase]) / sizes[phase])


def last_step(sequences_per_step: SequencesPerStep, rows: int) -> int:
    """Return the most steps that so many rows suffice for."""
    return int(steps_of(sequences_per_step, np.array([rows]))[0])


def largest_step(sequences_per_step: SequencesPerStep) -> int:
    """Return the most rows that a step consumes."""
    return max(sequences for _, sequences in _ramp(sequences_per_step))


def _ramp(sequences_per_step: SequencesPerStep) -> Ramp:
    if isinstance(sequences_per_step, int):
        return ((0, sequences_per_step),)
    return sequences_per_step
