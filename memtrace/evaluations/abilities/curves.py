"""Curves of abilities: which metric stands for a task, its chance level, and when it gained."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from memtrace.emergence.curves import Crossing, EvaluationCurve, emergence_time
from memtrace.evaluations.abilities.result import AbilityCurve
from memtrace.evaluations.folder import PERPLEXITY, Evaluations
from memtrace.evaluations.names import Training, size_and_family, trainings_of
from memtrace.point_process.contrasts import adjust_p_values

SIGNIFICANT = 0.05
UNKNOWN = "in no manifest"
"""Family of the models that no manifest has."""
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
    curves = list(_curves(evaluations.table.filter(run="standard")))
    families: dict[tuple[str, int, bool], list[int]] = {}
    for i, (one, _, _) in enumerate(curves):
        families.setdefault((one.model, one.shots, one.main), []).append(i)
    adjusted = np.array([one.p_value for one, _, _ in curves])
    for members in families.values():
        if len(members) > 1:
            adjusted[members] = adjust_p_values(adjusted[members])
    return [
        _emerged(replace(one, p_value_holm=float(p)), curve, training, level, seed)
        for (one, curve, training), p in zip(curves, adjusted, strict=True)
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
            yield (
                AbilityCurve(
                    model=model,
                    family=size_and_family(model)[1] if training else UNKNOWN,
                    parameters=training.parameters if training else None,
                    shots=shots,
                    task=task,
                    metric=metric,
                    main=metric in accuracy,
                    steps=curve.steps,
                    values=tuple(rows["value"]),
                    errors=tuple(rows["stderr"].fill_null(math.nan)),
                    chance=chance_level(task, metric),
                    gain=curve.gain,
                    p_value=curve.gain_p_value if len(curve.steps) > 1 else math.nan,
                    p_value_holm=math.nan,
                    last_step=max(training.last_step if training else 0, curve.steps[-1]),
                    emergence=None,
                    reason=None,
                    note=None,
                ),
                curve,
                training,
            )


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
    elif found.step_ci95 is None:
        notes.append("no interval: in more than 2.5% of the draws the curve does not rise")
    if one.above_chance is False:
        notes.append(f"the last level, {one.values[-1]:.3g}, is not above guessing, {one.chance}")
    if one.steps[-1] < one.last_step:
        notes.append(f"evaluated until step {one.steps[-1]:,} of {one.last_step:,}: gain till then")
    return "; ".join(notes) or None
