"""Curves of abilities: which metric stands for a task, its chance level, and when it gained."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from scipy import stats

from memtrace.emergence.curves import Crossing, EvaluationCurve, emergence_time
from memtrace.evaluations.abilities.result import SIGNIFICANT, AbilityCurve
from memtrace.evaluations.boundaries import with_errors_at_ends
from memtrace.evaluations.folder import PERPLEXITY, Evaluations
from memtrace.evaluations.names import Training, trainings_of
from memtrace.evaluations.populations import population_of
from memtrace.point_process.contrasts import adjust_p_values

_ACCURACY = ("acc", "exact_match", "em", "f1", "exact_match,strict-match", "acc_norm", "mcc")
# Of guessing: one over the number of answers. ARC has a few questions of three or five.
_CHANCE = {
    r"piqa|winogrande|wsc|wsc273|boolq|copa|rte|wic|storycloze.*|truthfulqa_mc": 1 / 2,
    r"arc_(easy|challenge)|sciq|logiqa|hellaswag|openbookqa|race": 1 / 4,
    r"hendrycksTest-.*|mmlu.*": 1 / 4,
    r"lambada.*|triviaqa|nq_open|gsm8k|num_reasoning.*": 0.0,
}


def ability_curves(evaluations: Evaluations, level: float, seed: int) -> list[AbilityCurve]:
    """Return the curves of all tasks that have an accuracy or a perplexity, runs as published.

    Baselines and intervened runs are left out: they are other runs of the same models.

    Args:
        evaluations: What was read of a folder.
        level: Fraction of the gain that must have been made.
        seed: Of the draws for the intervals; each curve has its own stream, so that its interval
            does not depend on what else is in the folder.
    """
    table = with_errors_at_ends(evaluations.table).filter(run="standard")
    found = list(_curves(table))
    curves = _adjusted([one for one, _, _ in found])
    return [
        _emerged(one, curve, training, level, seed)
        for one, (_, curve, training) in zip(curves, found, strict=True)
    ]


def _adjusted(curves: list[AbilityCurve]) -> list[AbilityCurve]:
    """Return the curves with p-values adjusted for all that are counted together.

    An ability is a gain and a level above guessing: where one of the two is not, the larger p-value
    is below p with a chance of at most p (an intersection-union test, Berger 1982, Technometrics
    24:295).
    """
    gains, both = (np.full(len(curves), math.nan) for _ in range(2))
    for main in (True, False):
        mine = [i for i, one in enumerate(curves) if one.main == main]
        of_gain = np.array([curves[i].p_value for i in mine])
        of_level = np.array([curves[i].chance_p_value for i in mine])
        gains[mine] = adjust_p_values(of_gain)
        both[mine] = adjust_p_values(np.where(np.isnan(of_level), of_gain,
                                              np.maximum(of_gain, of_level)))  # fmt: skip
    return [
        replace(one, p_value_holm=float(gain), emergence_p_holm=float(p))
        for one, gain, p in zip(curves, gains, both, strict=True)
    ]


def chance_level(task: str, metric: str) -> float | None:
    """Return the accuracy of guessing, or None if it is not known."""
    if metric in PERPLEXITY:
        return None
    return next((p for pattern, p in _CHANCE.items() if re.fullmatch(pattern, task)), None)


def _curves(table: pl.DataFrame) -> Iterator[tuple[AbilityCurve, EvaluationCurve, Training | None]]:
    trainings = trainings_of(table["model"].unique())
    by = ["model", "shots", "task"]
    for key, of_task in table.sort(*by, "step").group_by(by, maintain_order=True):
        model, shots, task = str(key[0]), int(str(key[1])), str(key[2])
        there = set(of_task["metric"])
        accuracy = [metric for metric in _ACCURACY if metric in there][:1]
        for metric in accuracy + [metric for metric in PERPLEXITY if metric in there]:
            rows = of_task.filter(metric=metric)
            curve, training = _towards_better(rows), trainings[model]
            chance = chance_level(task, metric)
            tested = curve.steps[0] == 0 and len(curve.steps) > 1
            yield (
                AbilityCurve(
                    model=model,
                    population=population_of(model, training),
                    parameters=training.parameters if training else None,
                    shots=shots,
                    task=task,
                    metric=metric,
                    main=metric in accuracy,
                    steps=curve.steps,
                    values=tuple(rows["value"]),
                    errors=tuple(rows["stderr"].fill_null(math.nan)),
                    chance=chance,
                    gain=curve.gain,
                    p_value=curve.gain_p_value if tested else math.nan,
                    p_value_holm=math.nan,
                    chance_p_value=_chance_p_value(curve, chance),
                    emergence_p_holm=math.nan,
                    last_step=max(training.last_step if training else 0, curve.steps[-1]),
                    emergence=None,
                    reason=None,
                    note=None,
                ),
                curve,
                training,
            )


def _chance_p_value(curve: EvaluationCurve, chance: float | None) -> float:
    """Return the one-sided p-value of a last level that is that of guessing."""
    error = curve.errors[-1]
    if chance is None or math.isnan(error):
        return math.nan
    return float(stats.norm.sf((curve.values[-1] - chance) / error))


def _towards_better(rows: pl.DataFrame) -> EvaluationCurve:
    """Return a curve in which more is better; perplexities as the log of their inverse."""
    values, errors = (rows[c].fill_null(math.nan).to_numpy() for c in ("value", "stderr"))
    if rows["metric"][0] in PERPLEXITY:
        # By the delta method the error of a logarithm is the relative error.
        with np.errstate(divide="ignore", invalid="ignore"):
            values, errors = -np.log(values), errors / values
    elif not rows["higher_is_better"][0]:
        values = -values
    steps = tuple(int(step) for step in rows["step"])
    return EvaluationCurve(steps, tuple(values.tolist()), tuple(errors.tolist()))


def _emerged(
    one: AbilityCurve,
    curve: EvaluationCurve,
    training: Training | None,
    level: float,
    seed: int,
) -> AbilityCurve:
    reason = _why_not(one)
    if reason:
        return replace(one, reason=reason)
    name = f"{one.model} {one.shots} {one.task} {one.metric}"
    found = emergence_time(
        curve,
        level=level,
        last_step=one.last_step,
        rng=np.random.default_rng([seed, *name.encode()]),
        tokens_per_step=training.tokens_per_step if training else 0,
        parameters=one.parameters,
    )
    return replace(one, emergence=found, note=_note(one, found))


def _why_not(one: AbilityCurve) -> str | None:
    """Return why a curve has no emergence time, or None."""
    if one.steps[0] != 0:
        return f"not evaluated at step 0, where the gain begins; the first is step {one.steps[0]}"
    if len(one.steps) < 2:
        return "evaluated at step 0 only"
    if not math.isfinite(one.gain):
        return "a value has no finite logarithm"
    if one.p_value_holm > SIGNIFICANT:
        p = f"p = {one.p_value:.2g}, {one.p_value_holm:.2g} adjusted"
        return f"the gain of {one.gain:+.3g} is not significant ({p})"
    if one.gain <= 0:
        return f"no gain: the last checkpoint is {-one.gain:.3g} worse than step 0"
    return None


def _note(one: AbilityCurve, found: Crossing) -> str | None:
    notes = []
    if math.isnan(one.p_value):
        notes.append("standard errors are missing: neither a test of the gain nor an interval")
    elif any(map(math.isnan, one.errors)):
        notes.append("no interval: a checkpoint has no standard error")
    elif found.step_ci95 is None:
        notes.append("no interval: in more than 2.5% of the draws the curve does not rise")
    if one.above_chance is False:
        notes.append(f"the last level, {one.values[-1]:.3g}, is not above guessing, {one.chance}")
    elif one.emergence_p_holm >= SIGNIFICANT:
        p = f"p = {one.chance_p_value:.2g}, {one.emergence_p_holm:.2g} adjusted"
        level = f"the last level, {one.values[-1]:.3g}"
        notes.append(f"{level}, is above guessing, {one.chance}, but not after adjustment ({p})")
    if one.steps[-1] < one.last_step:
        notes.append(f"evaluated until step {one.steps[-1]:,} of {one.last_step:,}: gain till then")
    return "; ".join(notes) or None
