"""What became of the texts that were memorized at some checkpoint."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from memtrace.emergence.block import RELEARNED, RETAINED
from memtrace.emergence.histories import Histories
from memtrace.emergence.intervals import normalized
from memtrace.emergence.moves import LEAST
from memtrace.emergence.product_limit import cumulative_incidence, product_limit
from memtrace.point_process.models.constant import binomial_interval
from memtrace.types import Interval

RETENTION = (1, 2, 4, 8)
"""Checkpoints after which retention is told, where at least `LEAST` texts are still at risk."""
EVALUATED_AFTER = pl.col("last_checkpoint") > pl.col("exposure_step")


@dataclass(frozen=True)
class Outcomes:
    """What became of the texts that were memorized at some checkpoint."""

    ever: int
    """Texts memorized at some checkpoint, generic ones too."""
    generic: int
    """Memorized at a checkpoint that had seen no copy."""
    generic_exposed: int
    """Those of the generic ones that were evaluated after exposure too."""
    emerged: int
    """All others."""
    first_look: int
    """Of those that emerged, found by the first checkpoint that evaluated them: whether they had
    been extractable all along is not known."""
    copies: int | None
    """Sequences of the corpus that have one of the texts that emerged; None if not known."""
    emerged_repeated: int
    """Of those that emerged, texts that occur more than once."""
    evaluated_before: int
    """Of those that emerged, how many had been evaluated before exposure."""
    always_retained: int
    lost: int
    """Lost, and not learned again."""
    learned_again: int
    """Lost and learned again at least once."""
    memorized_at_last_checkpoint: int


@dataclass(frozen=True)
class Retention:
    """What became of first memories after so many checkpoints (Aalen and Johansen 1978).

    Empty where fewer than `LEAST` texts were evaluated at a checkpoint after their first.
    """

    checkpoints: tuple[int, ...]
    retained: tuple[float, ...]
    """By the product limit, which takes texts that were not followed for so long as alike."""
    retained_ci95: tuple[Interval, ...]
    at_risk: tuple[int, ...]
    """Texts retained at all checkpoints before, and evaluated at this one."""
    lost: tuple[float, ...]
    """Lost by then, and not learned again until the last checkpoint."""
    lost_for_a_time: tuple[float, ...]
    """Lost by then, and learned again later."""


def outcomes_of(found: Histories) -> Outcomes:
    """Count what became of the memorized texts."""
    own, end = found.own, found.own["retention_end"]
    retained, relearned = (int((end == kind).sum()) for kind in (RETAINED, RELEARNED))
    return Outcomes(
        ever=len(found.memorized),
        generic=len(found.memorized) - len(own),
        generic_exposed=len(found.memorized.filter("before_exposure", EVALUATED_AFTER)),
        emerged=len(own),
        first_look=found.first_look,
        copies=int(own["duplicate_count"].sum()) if found.copies_known else None,
        emerged_repeated=int(own["repeated"].sum()),
        evaluated_before=int(own["evaluated_before"].sum()),
        always_retained=retained,
        lost=len(own) - retained - relearned,
        learned_again=relearned,
        memorized_at_last_checkpoint=int(own["memorized_at_last"].sum()),
    )


def retention_of(found: Histories) -> Retention:
    """Estimate how many first memories are still there after so many checkpoints."""
    own = found.own
    found_at, end = own["retention_checkpoints"].to_numpy(), own["retention_end"].to_numpy()
    # Of a text that was found at n checkpoints and not missed, n - 1 came after the first.
    after = found_at - (end == RETAINED)
    at_risk = {n: int((after >= n).sum()) for n in RETENTION}
    checkpoints = tuple(n for n in RETENTION if at_risk[n] >= LEAST)
    times, share = cumulative_incidence(after, end, 2)
    place = np.searchsorted(times, checkpoints, side="right")
    lost, again = (np.append(0.0, row)[place].tolist() for row in share)
    retained = tuple(1 - a - b for a, b in zip(lost, again, strict=True))
    kept = product_limit(after, end != RETAINED)
    low, high = (np.append(1.0, ends)[place].tolist() for ends in (kept.low, kept.high))
    ends = zip(checkpoints, low, high, strict=True)
    return Retention(
        checkpoints=checkpoints,
        retained=retained,
        retained_ci95=tuple(_with_width((a, b), at_risk[n]) for n, a, b in ends),
        at_risk=tuple(at_risk[n] for n in checkpoints),
        lost=tuple(lost),
        lost_for_a_time=tuple(again),
    )


def _with_width(ends: Interval, at_risk: int) -> Interval:
    """Return the exact interval where all or none of those at risk were retained."""
    if ends[0] < ends[1]:
        return ends
    low, high = binomial_interval(round(ends[0] * at_risk), at_risk)
    return float(low), float(high)


def sequence_table(found: Histories) -> pl.DataFrame:
    """Return a row for each text that was ever memorized, with its interval.

    `emerged_after` and `emerged_by` are the ends of the half-open interval in steps,
    `normalized_low` and `normalized_high` in shares of the training that was left.
    """
    table = found.memorized
    exposure = table["exposure_step"].to_numpy().astype(float)
    without = table["last_without"].cast(pl.Float64).fill_null(-np.inf).to_numpy()
    left, right = np.maximum(without, exposure), table["first_with"].to_numpy().astype(float)
    low, high = normalized(left, right, exposure, found.total_steps)
    memory = ~table["before_exposure"].to_numpy()
    columns = {
        "emerged_after": left,
        "emerged_by": right,
        "normalized_low": low,
        "normalized_high": high,
    }
    hidden = {name: np.where(memory, values, np.nan) for name, values in columns.items()}
    lost, again = pl.col("retention_end") > 0, pl.col("retention_end") == RELEARNED
    return (
        table.with_columns(
            *(pl.Series(name, values).fill_nan(None) for name, values in hidden.items()),
            lost=lost,
            learned_again=again,
        )
        .rename({"before_exposure": "generic"})
        .drop(
            "bin",
            "repeated",
            "confirmed",
            "retention_checkpoints",
            "retention_end",
            "evaluations",
            "memorized_before",
            "losses",
            "gains",
        )
        .sort("first_index")
    )
