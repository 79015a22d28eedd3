"""Does order matter alike for texts that occur once, a few times and often?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memtrace.errors import FitError
from memtrace.point_process.events import EventSequence
from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.models.trend import Equivalence, Trend, log_linear
from memtrace.report.json import json_safe
from memtrace.types import Interval

if TYPE_CHECKING:
    import polars as pl

BOUNDS: tuple[tuple[str, int, int | None], ...] = (
    ("once", 1, 2),
    ("few (2 to 9)", 2, 10),
    ("many (10 and more)", 10, None),
)


@dataclass(frozen=True, eq=False)
class Stratum:
    """The sequences whose text occurs in the corpus a number of times."""

    name: str
    events: EventSequence
    rate_ci95: Interval
    """Exact interval of the events per sequence."""
    trend: Trend
    equivalence: Equivalence

    def document(self) -> dict[str, Any]:
        """Return the stratum's entry in `fit-poisson --json`."""
        entry: dict[str, Any] = json_safe(
            {
                "name": self.name,
                "events": self.events.n_events,
                "exposure": self.events.exposure,
                "rate_per_million": self.events.fraction * 1e6,
                "rate_per_million_ci95": [end * 1e6 for end in self.rate_ci95],
                "rate_ratio": self.trend.rate_ratio,
                "ci90": self.trend.interval(0.90),
                "p_value": self.trend.p_value,
                "equivalent": self.equivalence.equivalent,
                "reason": self.trend.reason,
            }
        )
        return entry


def duplicate_strata(
    scores: "pl.LazyFrame",
    duplicates: "pl.LazyFrame",
    *,
    n: int,
    sequences_per_step: int | None = None,
    continuation_tokens: int = 32,
    margin: float = 1.05,
) -> tuple[Stratum, ...]:
    """Fit the trend among sequences whose text occurs once, a few times and often.

    Args:
        scores: Columns `sequence_index` and `matched_tokens`.
        duplicates: Columns `sequence_index` and `duplicate_count`, a row for each scored sequence.
        n: Rows the checkpoint had been exposed to.
        sequences_per_step: Sequences that one optimizer step consumes.
        continuation_tokens: Matched tokens at which a sequence counts as memorized.
        margin: Rate ratio that counts as a drift.

    Raises:
        FitError: A scored sequence is not in the table.
    """
    import polars as pl

    columns = duplicates.select(pl.col("sequence_index").cast(pl.UInt64), "duplicate_count")
    # The scores are in order; the join must keep it.
    joined = scores.join(columns, on="sequence_index", how="left", maintain_order="left")
    absent = joined.select(pl.col("duplicate_count").is_null().sum()).collect(engine="streaming")
    if absent.item():
        raise FitError(
            f"{absent.item():,} scored sequences are not in the table of duplicates; make it of "
            "the whole corpus"
        )
    times = pl.col("duplicate_count")
    found = []
    for name, least, below in BOUNDS:
        inside = (times >= least) if below is None else (times >= least) & (times < below)
        events = EventSequence.from_scores(
            joined.filter(inside).drop("duplicate_count"),
            n=n,
            sequences_per_step=sequences_per_step,
            continuation_tokens=continuation_tokens,
            label=name,
        )
        trend = log_linear(events, step=sequences_per_step)
        low, high = binomial_interval(events.n_events, max(events.exposure, 1))
        interval = (float(low), float(high))
        found.append(Stratum(name, events, interval, trend, trend.equivalence(margin)))
    return tuple(found)
