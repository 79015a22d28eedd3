"""What a smaller model or an earlier checkpoint tells of a larger or later one."""

from collections.abc import Sequence
from dataclasses import dataclass

from memtrace.comparison.agreement import Agreement
from memtrace.comparison.ranking import Ranking
from memtrace.comparison.runs import ComparedRun


@dataclass(frozen=True, eq=False)
class Prediction:
    """How well one run tells what another memorized, on the rows that both scanned."""

    source: int
    """Place of the run that predicts: smaller, earlier, or both."""
    target: int
    """Place of the run that is predicted."""
    every: Agreement
    """All texts that both scanned."""
    exposed: Agreement | None
    """Those that the source had been trained on; None where that is not known."""
    unexposed: Agreement | None
    """Those that it had not been trained on."""
    rows: int
    """That both scanned."""
    ranking: Ranking | None = None
    """By the log-likelihoods of the source, where it has them."""
    matched_by_text: bool = False
    """Whether the runs are of two corpora, whose texts match by their hashes."""

    @property
    def reason(self) -> str | None:
        """Return why nothing is known."""
        if not self.every.texts:
            return "no text was scanned by both"
        if not self.every.first:
            return "the run that predicts has memorized none of the texts that both scanned"
        if not self.every.second:
            return "the run that is predicted has memorized none of the texts that both scanned"
        return None


def predicts(source: ComparedRun, target: ComparedRun) -> bool:
    """Return whether a run can predict another: of one suite, not larger, not later, not equal.

    Models of unknown size predict later checkpoints of themselves alone.
    """
    if source.suite != target.suite or source.step > target.step:
        return False
    if source.model == target.model:
        return source.step < target.step
    if source.parameters is None or target.parameters is None:
        return False
    if source.parameters == target.parameters:
        return False
    return source.parameters < target.parameters


def ordered_pairs(runs: Sequence[ComparedRun]) -> list[tuple[int, int]]:
    """Return every pair of which the first can predict the second, by places."""
    return [
        (a, b)
        for b, target in enumerate(runs)
        for a, source in enumerate(runs)
        if predicts(source, target)
    ]
