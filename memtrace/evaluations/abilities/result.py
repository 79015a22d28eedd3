"""When abilities emerged, for every model and task of a folder, as one value."""

import math
from dataclasses import dataclass

from memtrace.emergence.curves import Crossing, SizeTrend
from memtrace.evaluations.folder import Evaluations
from memtrace.evaluations.populations import Population

Z95 = 1.959964
ONE_SIDED = 0.025
SIGNIFICANT = 0.05
KNOWN = 10
"""An emergence time whose 95% interval spans more than this factor is not named."""
TIME_SCALES = {
    "normalized_emergence": "share of training",
    "log_step_emergence": "share of training on the scale of log steps",
    "tokens_per_parameter": "tokens seen for each parameter",
}


@dataclass(frozen=True)
class AbilityCurve:
    """One task of one model along training, and when it emerged."""

    model: str
    population: Population
    """What it may be compared with: models of its suite and family."""
    parameters: int | None
    """None if no manifest has the model."""
    shots: int
    task: str
    metric: str
    main: bool
    """Whether this metric stands for the task; perplexities stand beside it."""
    steps: tuple[int, ...]
    values: tuple[float, ...]
    """As published."""
    errors: tuple[float, ...]
    chance: float | None
    """Level of guessing; None if not known, or if the metric has none."""
    gain: float
    """From step 0 to the last checkpoint, towards better; of perplexities in nats."""
    p_value: float
    """Of the gain, two-sided; NaN where it cannot be tested."""
    p_value_holm: float
    """Adjusted for every tested curve of the same kind of metric, in all models (Holm)."""
    chance_p_value: float
    """Of a last level that is that of guessing, one-sided; NaN where that is not known."""
    emergence_p_holm: float
    """Of no ability, the larger of both p-values, adjusted for the same curves (Holm)."""
    last_step: int
    """Steps of the whole training; the last one evaluated where no manifest says."""
    emergence: Crossing | None
    reason: str | None
    """Why there is no emergence time."""
    note: str | None
    """What to know of the emergence time, such as why it has no interval."""

    @property
    def above_chance(self) -> bool | None:
        """Return whether the last level is above guessing, unadjusted; None if not known."""
        return None if math.isnan(self.chance_p_value) else self.chance_p_value < ONE_SIDED

    @property
    def emerged(self) -> bool:
        """Return whether there is an emergence time, of a level that is not that of guessing.

        An untrained model may fall below the level of guessing, by giving one answer throughout: a
        curve that rises to it has gained, but no ability. Of many that do some end above it by
        chance, so both claims are tested together, for all curves. Without standard errors nothing
        is tested.
        """
        if self.emergence is None or self.above_chance is False:
            return False
        return not self.emergence_p_holm >= SIGNIFICANT

    @property
    def placed(self) -> bool:
        """Return whether the emergence time is known to a factor of `KNOWN` or was not tested."""
        ends = self.emergence.step_ci95 if self.emergence else None
        return ends is None or ends[1] <= KNOWN * ends[0]


@dataclass(frozen=True)
class TaskTrend:
    """How the emergence of one task moves with the size of the model, on one time scale."""

    task: str
    metric: str
    shots: int
    population: Population
    time_scale: str
    """A key of `TIME_SCALES`."""
    trend: SizeTrend


@dataclass(frozen=True)
class AbilityResult:
    """When abilities emerged, for every model and task of a folder."""

    level: float
    seed: int
    evaluations: Evaluations
    curves: tuple[AbilityCurve, ...]
    trends: tuple[TaskTrend, ...]
    """Of tasks whose time is known in three models of a population at least."""

    @property
    def main(self) -> list[AbilityCurve]:
        """Return the curves of the metrics that stand for their tasks."""
        return [one for one in self.curves if one.main]

    @property
    def tested(self) -> list[AbilityCurve]:
        """Return those of them whose gain has a p-value: what Holm adjusts for."""
        return [one for one in self.main if not math.isnan(one.p_value)]

    @property
    def headline(self) -> tuple[AbilityCurve, ...]:
        """Return the curves of the task that emerged in most models, smallest first.

        Among tasks of as many models it is the one that is known best: with the largest mean gain
        in units of its standard error.
        """
        tasks: dict[tuple[str, int], list[AbilityCurve]] = {}
        for one in self.main:
            if one.emerged:
                tasks.setdefault((one.task, one.shots), []).append(one)
        if not tasks:
            return ()
        best = max(tasks.values(), key=lambda task: (len(task), mean_z(task)))
        return tuple(sorted(best, key=lambda one: (one.population.order, one.parameters or 0)))


def mean_z(curves: list[AbilityCurve]) -> float:
    """Return the mean gain in units of the last checkpoint's standard error; 0 if not known."""
    z = [one.gain / one.errors[-1] if one.errors[-1] > 0 else 0.0 for one in curves]
    return sum(z) / len(z)
