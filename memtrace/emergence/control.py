"""The control group: texts that were evaluated before any copy of them had been trained on.

Where copies are known these are texts that occur once: which of them had been seen by a checkpoint
was drawn at random. Of texts with copies nearly all have been seen early on.
"""

from dataclasses import dataclass

from memtrace.emergence.histories import Histories
from memtrace.point_process.models.constant import garwood_interval
from memtrace.types import UNDEFINED, Interval


@dataclass(frozen=True)
class Control:
    """How often texts that occur once become extractable without having been seen."""

    evaluated: int
    """Evaluations of texts of which no copy had been seen, at all checkpoints together."""
    followed: int
    """Those of texts that occur once, not yet extractable and evaluated again before exposure."""
    became_extractable: int
    """Of those followed, at the next checkpoint."""
    exposure: int
    """Of those followed, steps to the next checkpoint, added up."""
    rate_ci95: Interval
    """Exact, per text and step; NaN if none was followed."""


def control_of(histories: Histories) -> Control:
    """Count what became of the control group."""
    control, steps = histories.tables.control[:, :, 0], histories.checkpoints
    events = int(control[..., 1].sum())
    exposure = int((control[..., 0] * (steps[None, :] - steps[:, None])).sum())
    interval = UNDEFINED
    if exposure:
        low, high = garwood_interval(events, exposure)
        interval = float(low), float(high)
    evaluated, followed = histories.tables.shares[:, 3].sum(), control[..., 0].sum()
    return Control(int(evaluated), int(followed), events, exposure, interval)
