"""The control group: sequences that were evaluated before they were trained on."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.emergence.hazard import HazardModel, cells_of, grouped, regress
from memtrace.emergence.histories import Histories
from memtrace.point_process.models.constant import garwood_interval
from memtrace.types import UNDEFINED, Int64Array, Interval


@dataclass(frozen=True)
class Control:
    """How often sequences become extractable without having been seen."""

    evaluated: int
    """Evaluations of sequences that were not yet trained on, at all checkpoints together."""
    followed: int
    """Those of sequences not yet extractable, with another one before exposure."""
    became_extractable: int
    """Of those followed, at the next checkpoint."""
    exposure: int
    """Of those followed, steps to the next checkpoint, added up."""
    rate_ci95: Interval
    """Exact, per sequence and step; NaN if none was followed."""


def control_of(histories: Histories) -> Control:
    """Count what became of the control group."""
    control, steps = histories.tables.control, histories.checkpoints
    events = int(control[..., 1].sum())
    exposure = int((control[..., 0] * (steps[None, :] - steps[:, None])).sum())
    interval = UNDEFINED
    if exposure:
        low, high = garwood_interval(events, exposure)
        interval = float(low), float(high)
    evaluated, followed = histories.tables.shares[:, 3].sum(), control[..., 0].sum()
    return Control(int(evaluated), int(followed), events, exposure, interval)


def exposure_effect(histories: Histories) -> HazardModel:
    """Compare sequences trained on with those not yet: `exposed`, the log ratio of their hazards.

    Order is random, so the others are a randomised control group: they tell how often a sequence
    becomes extractable without having been seen. Each interval between two checkpoints has a
    hazard of its own, so what moves all sequences of a checkpoint together cancels.
    """
    cells = grouped(cells_of(histories), histories.total_steps, 1)
    control = histories.tables.control
    before, after = np.nonzero(control[..., 0])
    steps = histories.checkpoints
    events = np.concatenate((cells.events, control[before, after, 1]))
    at_risk = np.concatenate((cells.at_risk, control[before, after, 0]))
    length = np.concatenate((cells.length, steps[after] - steps[before]))
    stop = np.concatenate((cells.stop, steps[after]))
    exposed = np.repeat((1.0, 0.0), (len(cells.stop), len(after)))
    both = [c for c in np.unique(stop) if events[stop == c].sum() and np.ptp(exposed[stop == c])]
    kept = np.isin(stop, both)
    if (reason := _no_comparison(events[kept], exposed[kept] == 1, control)) is not None:
        nan = {"exposed": math.nan}
        return HazardModel(nan, nan, math.nan, 0, math.nan, reason)
    own = {f"step {c:g}": (stop[kept] == c).astype(float) for c in both[1:]}
    effect = {"exposed": exposed[kept]}
    return regress(events[kept], at_risk[kept], length[kept], effect | own)


def _no_comparison(
    events: Int64Array, exposed: npt.NDArray[np.bool_], control: Int64Array
) -> str | None:
    """Return why the two groups cannot be compared, or None."""
    if events[exposed].sum() and events[~exposed].sum():
        return None
    if not control[..., 0].any():
        return "no sequence was evaluated twice before it was trained on"
    if not control[..., 1].any():
        return "no sequence became extractable before it was trained on"
    return "no checkpoint has both, sequences that emerged and such that became extractable unseen"
