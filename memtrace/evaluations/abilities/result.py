"""When abilities emerged, for every model and task of a folder, as one value."""

import math
from dataclasses import dataclass

from memtrace.emergence.curves import Crossing, SizeTrend
from memtrace.evaluations.folder import Evaluations

Z95 = 1.959964
TIME_SCALES = {
    "normalized_emergence": "share of training",
    "log_step_emergence": "share of training on the scale of log steps",
    "tokens_per_parameter": "tokens seen for each parameter",
}


@dataclass(frozen=True)
class AbilityCurve:
    """One task of one model along training, and when it emerged."""

    model: str
    family: str
    """What follows the size in the model's name, such as `deduped`; empty where nothing does."""
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
    p_value_holm: float
    """Adjusted for the tasks of the same model, shots and kind of metric."""
    last_step: int
    """Steps of the whole training; the last one evaluated where no manifest says."""
    emergence: Crossing | None
    reason: str | None
    """Why there is no emergence time."""
    note: str | None
    """What to know of the emergence time, such as why it has no interval."""

    @property
    def above_chance(self) -> bool | None:
        """Return whether the last level is significantly above guessing; None if not known."""
        if self.chance is None or math.isnan(self.errors[-1]):
            return None
        return self.values[-1] - self.chance > Z95 * self.errors[-1]

    @property
    def emerged(self) -> bool:
        """Return whether there is an emergence time, of a level that is not that of guessing.

        An untrained model may fall below the level of guessing, by giving one answer throughout: a
        curve that rises to it has gained, but no ability.
        """
        return self.emergence is not None and self.above_chance is not False


@dataclass(frozen=True)
class TaskTrend:
    """How the emergence of one task moves with the size of the model, on one time scale."""

    task: str
    metric: str
    shots: int
    family: str
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
    """Of tasks that emerged in three models of a family at least."""

    @property
    def headline(self) -> tuple[AbilityCurve, ...]:
        """Return the curves of the task that emerged in most models, smallest first.

        Among tasks of as many models it is the one that is known best: with the largest mean gain
        in units of its standard error.
        """
        tasks: dict[tuple[str, int], list[AbilityCurve]] = {}
        for one in self.curves:
            if one.main and one.emerged:
                tasks.setdefault((one.task, one.shots), []).append(one)
        if not tasks:
            return ()
        best = max(tasks.values(), key=lambda task: (len(task), mean_z(task)))
        return tuple(sorted(best, key=lambda one: (one.family, one.parameters or 0)))


def mean_z(curves: list[AbilityCurve]) -> float:
    """Return the mean gain in units of the last checkpoint's standard error; 0 if not known."""
    z = [one.gain / one.errors[-1] if one.errors[-1] > 0 else 0.0 for one in curves]
    return sum(z) / len(z)
