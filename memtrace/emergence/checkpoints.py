"""What was memorized at each checkpoint, and what changed since the one before."""

from dataclasses import dataclass

import polars as pl

from memtrace.emergence.histories import Histories
from memtrace.point_process.models.constant import binomial_interval
from memtrace.types import UNDEFINED, Interval


@dataclass(frozen=True)
class Checkpoint:
    """What was memorized at one checkpoint, and what changed since the one before."""

    step: int
    exposed: int
    """Sequences evaluated that it had been trained on."""
    memorized: int
    before: int
    """Of those, the ones known to have been extractable before they were trained on."""
    share_ci95: Interval
    """Exact, of `memorized` among `exposed`."""
    unexposed: int
    """Sequences evaluated that it had not been trained on: the control group."""
    extractable: int
    """Of those, the ones that it returns all the same."""
    unexposed_ci95: Interval
    learned: int
    """Memorized for the first time, not counting those extractable before."""
    learned_again: int
    lost: int


def checkpoints_of(found: Histories) -> tuple[Checkpoint, ...]:
    """Count what each checkpoint has memorized, learned and lost."""
    events = dict(found.risk.group_by("checkpoint").agg(pl.col("events").sum()).iter_rows())
    moves = found.tables.transitions.sum(axis=0)
    rows = []
    for k, step in enumerate(found.checkpoints.tolist()):
        exposed, memorized, before, unexposed, extractable = found.tables.shares[k].tolist()
        rows.append(
            Checkpoint(
                step=step,
                exposed=exposed,
                memorized=memorized,
                before=before,
                share_ci95=_interval(memorized, exposed),
                unexposed=unexposed,
                extractable=extractable,
                unexposed_ci95=_interval(extractable, unexposed),
                learned=events.get(step, 0),
                learned_again=int(moves[k, 1, 0, 1]),
                lost=int(moves[k, :, 1, 0].sum()),
            )
        )
    return tuple(rows)


def _interval(events: int, trials: int) -> Interval:
    if not trials:
        return UNDEFINED
    low, high = binomial_interval(events, trials)
    return float(low), float(high)
