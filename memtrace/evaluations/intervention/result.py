"""Intervened runs against their baselines, as one value."""

import math
from dataclasses import dataclass

from scipy import stats

from memtrace.evaluations.folder import Evaluations
from memtrace.evaluations.populations import Population

Z95 = 1.959964
GAP = "pro - anti"
"""The metric of WinoBias: stereotyped minus other sentences."""
BIAS_METRICS = ("pct_stereotype", "acc", "em", "pct_male_preferred", GAP)


@dataclass(frozen=True, slots=True)
class Difference:
    """Intervened minus baseline at one checkpoint; of perplexities the difference of logarithms."""

    step: int
    baseline: float
    intervened: float
    difference: float
    error: float
    """Standard error; NaN if one of the two was not published."""

    @property
    def ci95(self) -> tuple[float, float]:
        """Return the 95% interval of the difference."""
        return self.difference - Z95 * self.error, self.difference + Z95 * self.error

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of no difference; NaN without standard errors."""
        return 2 * float(stats.norm.sf(abs(self.difference) / self.error))


@dataclass(frozen=True)
class Comparison:
    """One measure of one intervened run against the same model's baseline."""

    model: str
    population: Population
    parameters: int | None
    run: str
    shots: int
    task: str
    metric: str
    kind: str
    """`bias` or `cost`."""
    compared_with: str
    """`baseline`, or `standard` where only the run as published has the measure."""
    pairs: tuple[Difference, ...]
    """At each checkpoint that both runs have, ascending; the last one is the result."""
    reevaluated: float | None
    """Baseline minus the run as published, two evaluations of one checkpoint: what repeating the
    evaluation alone changes (precision, batch size). None where there are not both."""
    p_holm: float = math.nan
    """Adjusted for the measures of the same kind, in all models and runs (Holm)."""
    p_by: float = math.nan
    """The same by Benjamini and Yekutieli: false discoveries, whatever the dependence."""

    @property
    def last(self) -> Difference:
        """Return the difference at the last checkpoint."""
        return self.pairs[-1]

    @property
    def same_sign(self) -> int | None:
        """Return at how many checkpoints the difference has the sign of the last; None if it is 0.

        They are no independent witnesses: neighbours share questions and training.
        """
        if not self.last.difference:
            return None
        return sum(pair.difference * self.last.difference > 0 for pair in self.pairs)

    @property
    def mean(self) -> float:
        """Return the mean difference over all checkpoints of the intervention."""
        return sum(pair.difference for pair in self.pairs) / len(self.pairs)


@dataclass(frozen=True)
class InterventionResult:
    """Every intervened run of a folder against its baseline."""

    evaluations: Evaluations
    comparisons: tuple[Comparison, ...]
    """By kind, task, metric, then by size of the model and by run."""
    unpaired: tuple[str, ...]
    """Intervened runs that have no baseline at the same checkpoints."""
