"""Between which steps did a text emerge, and which share of its training is that?"""

import numpy as np
import numpy.typing as npt

from memtrace.types import FloatArray


def emergence_interval(
    exposure: npt.ArrayLike, first: npt.ArrayLike, checkpoints: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return the intervals (left, right] of emergence of texts that all checkpoints evaluated.

    Args:
        exposure: Step that trains on the first copy of each text, shape (n,).
        first: First checkpoint after exposure that has it memorized, NaN for never, shape (n,).
        checkpoints: All checkpoints, ascending.

    Returns:
        Left ends: the last checkpoint without, or the exposure if that is later; right ends,
        infinite for never.
    """
    e, right = np.asarray(exposure, float), np.asarray(first, float)
    steps = np.asarray(checkpoints, float)
    place = np.where(np.isnan(right), len(steps), np.searchsorted(steps, right))
    before = np.concatenate(([-np.inf], steps))[place]
    return np.maximum(before, e), np.where(np.isnan(right), np.inf, right)


def normalized(
    left: npt.ArrayLike, right: npt.ArrayLike, exposure: npt.ArrayLike, total: float
) -> tuple[FloatArray, FloatArray]:
    """Return (t - exposure) / (total - exposure) at both ends of intervals of emergence.

    With exposure 0 it is the share of all training. Do not average it over texts: those seen
    late have few checkpoints left, and those that never emerge have no right end.
    """
    e = np.asarray(exposure, float)
    low, high = ((np.asarray(end, float) - e) / (total - e) for end in (left, right))
    return low, high
