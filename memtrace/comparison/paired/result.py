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


@dataclass(frozen=True)
class PairedModels:
    """A model and its baseline at all checkpoints at which both were scanned."""

    baseline: str
    """Suite and model."""
    model: str
    unit: str
    """What is counted: `text`, or `sequence` where copies are not known."""
    steps: tuple[PairedStep, ...]
    """Ascending, one or more."""
    hazard_ratio: HazardRatio | None
    """None where one checkpoint has both."""

    @property
    def last(self) -> PairedStep:
        """Return what is known at the last checkpoint."""
        return self.steps[-1]
