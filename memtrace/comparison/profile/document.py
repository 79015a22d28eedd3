"""Counterfactual profiles in the document of `compare --json`."""

from collections.abc import Sequence
from typing import Any

from memtrace.comparison.profile.effects import Effect
from memtrace.comparison.profile.result import Profile


def profile_document(found: Sequence[Profile]) -> list[dict[str, Any]]:
    """Return the value of `profile`: one entry for each model; NaN stands for undefined."""
    return [_profile(one) for one in found]


def _profile(one: Profile) -> dict[str, Any]:
    return {
        "model": one.model,
        "outcome": one.outcome,
        "outcome_unit": one.outcome_unit,
        "unit": one.unit,
        "steps": one.steps,
        "reason": one.reason,
        "instantaneous": _effect(one.instantaneous),
        "persistent": [
            {"checkpoints": later.checkpoints, "steps": later.steps, **_known(later.effect)}
            for later in one.persistent
        ],
        "residual": _effect(one.residual, step=one.residual_step),
        "before_exposure": _effect(one.before),
        "cohorts": [
            {
                "after": cohort.after,
                "by": cohort.by,
                "texts": cohort.texts,
                "effects": [
                    {"step": one.steps[checkpoint], **_known(effect)}
                    for (number, checkpoint), effect in sorted(one.cells.items())
                    if number == place
                ],
            }
            for place, cohort in enumerate(one.cohorts)
        ],
    }


def _effect(effect: Effect | None, **more: Any) -> dict[str, Any] | None:
    return None if effect is None else {**more, **_known(effect)}


def _known(effect: Effect) -> dict[str, Any]:
    return {
        "effect": effect.estimate,
        "standard_error": effect.standard_error,
        "ci95": effect.ci95,
        "p_value": effect.p_value,
        "texts": effect.texts,
        "control": effect.control,
    }
