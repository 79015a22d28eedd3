"""How much more likely one model finds a text than another: a difference of log-likelihoods."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from memtrace.comparison.paired.mean_difference import MeanDifference, mean_difference
from memtrace.comparison.paired.units import PairUnits, each_its_own, exposed_rows, units_of
from memtrace.comparison.runs import ComparedRun
from memtrace.likelihood.order.of_run import joined
from memtrace.runs.likelihoods import read_likelihoods
from memtrace.texts.exposure import CLASSES, classify_rows
from memtrace.types import FloatArray, Int64Array

SAME = ("temperature", "top_k")


@dataclass(frozen=True)
class LikelihoodDifference:
    """Log-likelihood of a continuation in the model minus that in its baseline, nats a text."""

    by_class: dict[str, MeanDifference]
    """By the names of `CLASSES`; empty where there is a reason."""
    tokens: int
    """Of a continuation."""
    reason: str | None = None
    """Why there is no difference."""


def likelihood_difference(
    baseline: ComparedRun,
    model: ComparedRun,
    on_progress: Callable[[int], None] = lambda _: None,
    units: PairUnits | None = None,
) -> LikelihoodDifference:
    """Compare the log-likelihoods of the rows that both runs have, each text once.

    A text with several rows in a class counts with their mean; near-copies are one text.

    Args:
        baseline: A run.
        model: A run of the same corpus that had seen the same rows.
        on_progress: Called with the number of rows read since the last call.
        units: Of the pair; by default those that the two runs tell.

    Raises:
        RunError: A folder cannot be read.
    """
    tokens = baseline.run.continuation_tokens
    if reason := _reason(baseline, model):
        return LikelihoodDifference({}, tokens, reason)
    sums = _Sums(units or units_of([baseline, model]), exposed_rows(baseline, model))
    unknown = 0
    ours, theirs = (read_likelihoods(each.run) for each in (model, baseline))
    for block in joined(ours, theirs):
        before = block.baseline if block.baseline is not None else block.log_likelihood
        apart = block.log_likelihood - before
        unknown += int((~np.isfinite(apart)).sum())
        sums.add(block.index, apart)
        on_progress(len(block))
    if unknown:
        reason = f"{unknown:,} log-likelihoods are not known, or that of probability 0"
        return LikelihoodDifference({}, tokens, reason)
    return LikelihoodDifference(sums.means(), tokens)


class _Sums:
    """Differences by class; rows of repeated texts are kept until all are there."""

    def __init__(self, units: PairUnits, exposed: int) -> None:
        self.units, self.exposed = units.texts, exposed
        # Copies that are known of memorized rows alone tell nothing of a class.
        self.classes = units.texts if units.by_table else each_its_own(units.texts.rows)
        self._once = [mean_difference([]) for _ in CLASSES]
        self._repeated: list[tuple[Int64Array, Int64Array, FloatArray]] = []

    def add(self, rows: Int64Array, apart: FloatArray) -> None:
        classes = classify_rows(self.classes, rows, self.exposed)
        repeated = self.units.places(rows) >= 0
        for place in range(len(CLASSES)):
            values = apart[(classes == place) & ~repeated]
            self._once[place] = self._once[place].plus(mean_difference(values))
        names = self.units.names_of(rows[repeated])
        self._repeated.append((classes[repeated].astype(np.int64), names, apart[repeated]))

    def means(self) -> dict[str, MeanDifference]:
        classes, names, apart = map(np.concatenate, zip(*self._repeated, strict=True))
        found = {}
        for place, name in enumerate(CLASSES):
            kept = classes == place
            _, text, copies = np.unique(names[kept], return_inverse=True, return_counts=True)
            repeated = mean_difference(np.bincount(text, apart[kept], len(copies)) / copies)
            found[name] = self._once[place].plus(repeated)
        return found


def _reason(baseline: ComparedRun, model: ComparedRun) -> str | None:
    ours, theirs = (each.run.configuration for each in (baseline, model))
    if not (ours.likelihood and theirs.likelihood):
        without = baseline if not ours.likelihood else model
        return f"{without.label} has no log-likelihoods: scan it with --likelihood"
    for name in SAME:
        one, other = getattr(ours, name), getattr(theirs, name)
        if one != other:
            return f"log-likelihoods at another {name.replace('_', ' ')}: {one} against {other}"
    return None
