"""A model against its baseline on the same rows, as one value."""

from dataclasses import dataclass

from memtrace.comparison.paired.hazard_ratio import HazardRatio
from memtrace.comparison.paired.likelihoods import LikelihoodDifference
from memtrace.comparison.paired.shares import PairedShares


@dataclass(frozen=True)
class PairedStep:
    """Both models at one checkpoint."""

    step: int
    shares: dict[str, PairedShares]
    """Texts by who memorized them, by the names of `CLASSES`."""
    likelihoods: LikelihoodDifference
    is_order_known: bool = True
    """Whether it is known which texts both had been trained on; else all count as exposed."""


@dataclass(frozen=True)
class PairedModels:
    """A model and its baseline at all checkpoints at which both were scanned."""

    baseline: str
    """Suite and model."""
    model: str
    unit: str
    """What is counted: `text`, or `sequence` where nothing is known of copies."""
    steps: tuple[PairedStep, ...]
    """Ascending, one or more."""
    hazard_ratio: HazardRatio | None
    """None without two checkpoints of both, the later one having seen more."""

    @property
    def counted(self) -> str:
        """Return what tables count: `exposed texts`, or all where an order is not known."""
        return f"{'exposed ' if self.last.is_order_known else ''}{self.unit}s"

    @property
    def last(self) -> PairedStep:
        """Return what is known at the last checkpoint."""
        return self.steps[-1]
