"""The emergence of abilities: a folder of evaluations in, every estimate out."""

import math
from pathlib import Path

from memtrace.emergence.curves import size_trend
from memtrace.errors import FitError
from memtrace.evaluations.abilities.curves import ability_curves
from memtrace.evaluations.abilities.document import document
from memtrace.evaluations.abilities.figures import figure
from memtrace.evaluations.abilities.page import brief, head
from memtrace.evaluations.abilities.result import (
    TIME_SCALES,
    AbilityCurve,
    AbilityResult,
    TaskTrend,
)
from memtrace.evaluations.abilities.text import text
from memtrace.evaluations.abilities.verdict import verdict
from memtrace.evaluations.folder import read_evaluations
from memtrace.evaluations.populations import Population
from memtrace.report.base import Renderers, Report


class AbilityEmergence(Report, AbilityResult):
    """When abilities emerged, for every model and task of a folder."""

    renderers = Renderers(verdict, document, text, figure, head, brief)


def emergence_of_abilities(
    folder: str | Path, level: float = 0.5, seed: int = 0
) -> AbilityEmergence:
    """Return when each ability emerged, from a folder of published evaluations.

    The normalized emergence time is the share of training at which a curve first made the fraction
    `level` of its gain from step 0 to the last checkpoint, by linear interpolation between
    checkpoints. An ability emerged where that gain is significant and ends above the level of
    guessing, if that is known: both together, adjusted for all curves of the folder (Holm).

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
    groups: dict[tuple[str, str, int, Population], list[AbilityCurve]] = {}
    for one in curves:
        if one.emerged and one.placed and one.parameters:
            key = (one.task, one.metric, one.shots, one.population)
            groups.setdefault(key, []).append(one)
    found = []
    for key in sorted(groups, key=lambda key: (*key[:3], key[3].order)):
        members = groups[key]
        for scale in TIME_SCALES:
            trend = size_trend(
                [one.parameters or math.nan for one in members], [_time(o, scale) for o in members]
            )
            if not math.isnan(trend.factor):
                found.append(TaskTrend(*key, scale, trend))
    return found


def _time(one: AbilityCurve, scale: str) -> float:
    if one.emergence is None:
        return math.nan
    return {
        "normalized_emergence": one.emergence.share,
        "log_step_emergence": one.emergence.log_share,
        "tokens_per_parameter": one.emergence.tokens_per_parameter,
    }[scale]
