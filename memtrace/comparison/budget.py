"""What it costs to find most of what a large model memorized, when a smaller one is asked first.

The cost of a scan is parameters times texts. A plan scans all texts with a smaller model, then with
the large one those that the smaller one returns, and as many others at random as are still needed.
With log-likelihoods it scans the texts that rank highest instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memtrace.comparison.agreement import EACH, share
from memtrace.comparison.prediction import Prediction
from memtrace.comparison.ranking import Ranking
from memtrace.comparison.runs import ComparedRun
from memtrace.types import Interval

RECALL = 0.8
"""Share of the memorized texts that is to be found."""
LEAST = 0.05
"""Share of the cost that a plan saves at least, to be worth its trouble."""


@dataclass(frozen=True)
class Plan:
    """A way to find a share of what a model memorized."""

    source: int
    target: int
    recall: float
    """Share of the memorized texts that is to be found."""
    how: str
    """`memorized`: what the source returns, and others at random; `ranked`: by log-likelihood."""
    texts: float
    """Share of the texts that the target scans."""
    cost: float
    """Over that of a scan of all texts with the target."""
    ci95: Interval
    """Of the cost for other texts of the population of which these are a sample."""

    @property
    def saves(self) -> bool:
        """Return whether it clearly costs less than to scan that share of all texts at random.

        It saves `LEAST` of that at least, and the interval of the cost is below it.
        """
        return self.cost <= (1 - LEAST) * self.recall and self.ci95[1] < self.recall


def plans(
    runs: Sequence[ComparedRun], predictions: Sequence[Prediction], recall: float = RECALL
) -> list[Plan]:
    """Return the plans for each target, the cheapest first.

    Args:
        runs: All runs.
        predictions: Of which those by a smaller model have a plan.
        recall: Share of the memorized texts that is to be found.
    """
    found = []
    for one in predictions:
        small, large = runs[one.source].parameters, runs[one.target].parameters
        if small is None or large is None or small >= large or one.reason:
            continue
        found.append(_by_memorized(one, small / large, recall))
        if one.ranking is not None and not math.isnan(one.ranking.budget):
            found.append(_by_rank(one, one.ranking, small / large))
    return sorted(found, key=lambda plan: (plan.target, plan.cost))


def _by_memorized(one: Prediction, ratio: float, recall: float) -> Plan:
    """Return the plan; its cost rises with the share that is taken, and falls with the recall."""
    known = one.every
    taken = share(known.first, known.texts, EACH)
    found = share(known.both, known.second, EACH)
    texts = _needed(taken.value, found.value, recall)
    low, high = (
        ratio + _needed(*ends, recall)
        for ends in zip(taken.ci95, reversed(found.ci95), strict=True)
    )
    cost = ratio + texts
    return Plan(one.source, one.target, recall, "memorized", texts, cost, (low, high))


def _by_rank(one: Prediction, ranking: Ranking, ratio: float) -> Plan:
    low, high = (ratio + end for end in ranking.budget_ci95)
    texts, recall = ranking.budget, ranking.recall
    return Plan(one.source, one.target, recall, "ranked", texts, ratio + texts, (low, high))


def _needed(taken: float, found: float, recall: float) -> float:
    """Return the share of texts to scan: those taken, and of the others at random what is left."""
    if found >= recall:
        return taken * recall / found  # a part of those taken is enough
    return taken + (recall - found) / (1 - found) * (1 - taken)
