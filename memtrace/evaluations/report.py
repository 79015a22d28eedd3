"""The emergence of abilities as one value: a folder of evaluations in, every answer out.

It arranges what `abilities` and `emergence.curves` estimate; files are read by `harness`.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtrace.emergence.curves import SizeTrend, size_trend
from memtrace.errors import FitError
from memtrace.evaluations.abilities import AbilityCurve, ability_curves, curve_document, mean_z
from memtrace.evaluations.folder import Evaluations, read_evaluations
from memtrace.report.json import json_safe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLOCKS = {
    "normalized_emergence": "share of training",
    "log_step_emergence": "share of training on the clock of log steps",
    "tokens_per_parameter": "tokens seen for each parameter",
}


@dataclass(frozen=True)
class TaskTrend:
    """How the emergence of one task moves with the size of the model, on one clock."""

    task: str
    metric: str
    shots: int
    family: str
    clock: str
    """A key of `CLOCKS`."""
    trend: SizeTrend


@dataclass(frozen=True)
class AbilityEmergence:
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

    @property
    def verdict(self) -> str:
        """Return the answer in one plain sentence."""
        from memtrace.evaluations.page import verdict

        return verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `memtrace emergence --evals --json`; undefined values are None."""
        found: dict[str, Any] = json_safe(
            {
                "level": self.level,
                "seed": self.seed,
                "verdict": self.verdict,
                "clocks": CLOCKS,
                "evaluations": self.evaluations.document(),
                "curves": [curve_document(one) for one in self.curves],
                "size_trends": [_trend_document(one) for one in self.trends],
            }
        )
        return found

    def summary(self) -> str:
        """Return the answer as a page of text."""
        from memtrace.evaluations.page import ability_page
        from memtrace.report.text import rendered

        return rendered(ability_page(self))

    def plot(self) -> "Figure":
        """Draw curves by size for each task that emerged, and emergence against size."""
        from memtrace.evaluations.figures import ability_page

        return ability_page(self)


def emergence_of_abilities(
    folder: str | Path, level: float = 0.5, seed: int = 0
) -> AbilityEmergence:
    """Return when each ability emerged, from a folder of published evaluations.

    The normalized emergence time is the share of training at which a curve first made the fraction
    `level` of its gain from step 0 to the last checkpoint, by linear interpolation between
    checkpoints.

    Args:
        folder: Holds the JSON files of the evaluation harness, at any depth.
        level: Fraction of the gain, above 0 and below 1.
        seed: Of the draws for the intervals.

    Raises:
        FitError: No evaluation could be read, or the level is outside (0, 1).
    """
    if not 0 < level < 1:
        raise FitError(f"a level of {level} is outside (0, 1): take 0.5 for half of the gain")
    evaluations = read_evaluations(folder)
    curves = ability_curves(evaluations, level, seed)
    return AbilityEmergence(level, seed, evaluations, tuple(curves), tuple(_trends(curves)))


def _trends(curves: list[AbilityCurve]) -> list[TaskTrend]:
    groups: dict[tuple[str, str, int, str], list[AbilityCurve]] = {}
    for one in curves:
        if one.emerged and one.parameters:
            key = (one.task, one.metric, one.shots, one.family)
            groups.setdefault(key, []).append(one)
    found = []
    for key, members in sorted(groups.items()):
        for clock in CLOCKS:
            trend = size_trend(
                [one.parameters or math.nan for one in members], [_time(o, clock) for o in members]
            )
            if not math.isnan(trend.factor):
                found.append(TaskTrend(*key, clock, trend))
    return found


def _time(one: AbilityCurve, clock: str) -> float:
    if one.emergence is None:
        return math.nan
    return {
        "normalized_emergence": one.emergence.share,
        "log_step_emergence": one.emergence.log_share,
        "tokens_per_parameter": one.emergence.tokens_per_parameter,
    }[clock]


def _trend_document(one: TaskTrend) -> dict[str, Any]:
    place = {"task": one.task, "metric": one.metric, "shots": one.shots, "family": one.family}
    found = asdict(one.trend)
    return {
        **place,
        "clock": one.clock,
        "models": found["models"],
        "factor_for_ten_times_the_parameters": found["factor"],
        "factor_ci95": found["factor_ci95"],
        "rank_correlation": found["rank_correlation"],
        "p_value": found["p_value"],
    }
