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
    """Texts evaluated of which it had seen a copy."""
    memorized: int
    generic: int
    """Of those, the ones memorized at a checkpoint that had seen no copy."""
    share_ci95: Interval
    """Exact, of `memorized` among `exposed`."""
    exposed_sequences: int
    """Sequences evaluated that it had been trained on."""
    memorized_sequences: int
    unexposed: int
    """Texts evaluated of which it had seen no copy: the control group."""
    extractable: int
    """Of those, the ones that it returns all the same."""
    unexposed_ci95: Interval
    learned: int
    """Memorized for the first time, not counting generic ones."""
    learned_again: int
    lost: int


def checkpoints_of(found: Histories) -> tuple[Checkpoint, ...]:
    """Count what each checkpoint has memorized, learned and lost."""
    events = dict(found.risk.group_by("checkpoint").agg(pl.col("events").sum()).iter_rows())
    moves = found.tables.transitions.sum(axis=0)
    rows = []
    for k, step in enumerate(found.checkpoints.tolist()):
        exposed, memorized, generic, unexposed, extractable = found.tables.shares[k].tolist()
        rows.append(
            Checkpoint(
                step=step,
                exposed=exposed,
                memorized=memorized,
                generic=generic,
                share_ci95=_interval(memorized, exposed),
                exposed_sequences=int(found.rows[k, 0]),
                memorized_sequences=int(found.rows[k, 1]),
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
