"""The document of `memtrace emergence --evals --json`."""

from dataclasses import asdict
from typing import Any

from memtrace.evaluations.abilities.result import (
    TIME_SCALES,
    Z95,
    AbilityCurve,
    AbilityResult,
    TaskTrend,
)
from memtrace.evaluations.abilities.verdict import verdict
from memtrace.report.json import json_safe


def document(result: AbilityResult) -> dict[str, Any]:
    """Return the document; undefined values are None."""
    found: dict[str, Any] = json_safe(
        {
            "level": result.level,
            "seed": result.seed,
            "verdict": verdict(result),
            "time_scales": TIME_SCALES,
            "evaluations": result.evaluations.document(),
            "curves": [_curve(one) for one in result.curves],
            "size_trends": [_trend(one) for one in result.trends],
        }
    )
    return found


def _curve(one: AbilityCurve) -> dict[str, Any]:
    """Return the curve and its emergence as they stand in the JSON document."""
    final, error = one.values[-1], one.errors[-1]
    width = Z95 * error
    return {
        "suite": one.population.suite,
        "model": one.model,
        "family": one.population.family,
        "parameters": one.parameters,
        "shots": one.shots,
        "task": one.task,
        "metric": one.metric,
        "stands_for_task": one.main,
        "chance_level": one.chance,
        "final_level": final,
        "final_ci95": (final - width, final + width),
        "above_chance": one.above_chance,
        "chance_p_value": one.chance_p_value,
        "gain": one.gain,
        "gain_p_value": one.p_value,
        "gain_p_value_holm": one.p_value_holm,
        "emerged": one.emerged,
        "emergence_p_value_holm": one.emergence_p_holm,
        "emergence_step": one.emergence and one.emergence.step,
        "emergence_step_ci95": one.emergence and one.emergence.step_ci95,
        "normalized_emergence": one.emergence and one.emergence.share,
        "normalized_emergence_ci95": one.emergence and one.emergence.share_ci95,
        "log_step_emergence": one.emergence and one.emergence.log_share,
        "log_step_emergence_ci95": one.emergence and one.emergence.log_share_ci95,
        "tokens_per_parameter": one.emergence and one.emergence.tokens_per_parameter,
        "training_steps": one.last_step,
        "reason": one.reason,
        "note": one.note,
        "curve": {"step": one.steps, "value": one.values, "stderr": one.errors},
    }


def _trend(one: TaskTrend) -> dict[str, Any]:
    found = asdict(one.trend)
    return {
        "task": one.task,
        "metric": one.metric,
        "shots": one.shots,
        "suite": one.population.suite,
        "family": one.population.family,
        "time_scale": one.time_scale,
        "models": found["models"],
        "factor_for_ten_times_the_parameters": found["factor"],
        "factor_ci95": found["factor_ci95"],
        "rank_correlation": found["rank_correlation"],
        "p_value": found["p_value"],
    }
