"""A model and its deduplicated twin, as one value."""

import math
from dataclasses import dataclass

from memtrace.comparison.deduplication.copies import Seen
from memtrace.comparison.paired.shares import PairedShares
from memtrace.point_process.shares import newcombe_interval
from memtrace.types import UNDEFINED, Interval


@dataclass(frozen=True)
class TwinShares:
    """Texts that had been seen so often, in the model and in its twin: each has its own texts."""

    standard: Seen
    deduplicated: Seen

    @property
    def difference(self) -> float:
        """Return the share of the twin minus that of the model; NaN where one has no text."""
        return self.deduplicated.share.value - self.standard.share.value

    @property
    def difference_ci95(self) -> Interval:
        """Return its interval, that of independent shares (Newcombe 1998, method 10)."""
        if math.isnan(self.difference):
            return UNDEFINED
        one, other = self.deduplicated, self.standard
        return newcombe_interval((one.memorized, other.memorized), (one.texts, other.texts))


@dataclass(frozen=True)
class TwinStep:
    """Both at one checkpoint."""

    step: int
    by_copies: dict[str, TwinShares]
    """By how often each had seen a text; empty where copies are not known."""
    total: TwinShares | None
    """All texts; None where copies are not known."""
    matched: dict[str, PairedShares]
    """Texts in both corpora, by how often the model had seen them; empty with a reason."""
    matched_total: PairedShares | None
    reason: str | None = None
    """Why copies are not known."""
    matched_reason: str | None = None
    """Why texts were not matched."""
    is_order_known: bool = True
    """Whether it is known which rows both had seen; else all of their corpora count as seen."""


@dataclass(frozen=True)
class Deduplication:
    """A model and its deduplicated twin at all checkpoints at which both were scanned."""

    standard: str
    """Suite and model."""
    deduplicated: str
    steps: tuple[TwinStep, ...]
    """Ascending, one or more."""

    @property
    def last(self) -> TwinStep:
        """Return what is known at the last checkpoint."""
        return self.steps[-1]
