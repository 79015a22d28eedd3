"""The document of `memtrace intervention --json`."""

import math
from dataclasses import asdict
from typing import Any

from memtrace.evaluations.folder import PERPLEXITY
from memtrace.evaluations.intervention.result import Comparison, InterventionResult
from memtrace.evaluations.intervention.verdict import verdict
from memtrace.report.json import json_safe


def document(result: InterventionResult) -> dict[str, Any]:
    """Return the document; undefined values are None."""
    found: dict[str, Any] = json_safe(
        {
            "verdict": verdict(result),
            "evaluations": result.evaluations.document(),
            "unpaired": list(result.unpaired),
            "comparisons": [_comparison(one) for one in result.comparisons],
        }
    )
    return found


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "suite": one.population.suite,
        "model": one.model,
        "family": one.population.family,
        "parameters": one.parameters,
        "run": one.run,
        "shots": one.shots,
        "task": one.task,
        "metric": one.metric,
        "kind": one.kind,
        "compared_with": one.compared_with,
        "scale": "difference of logarithms" if one.metric in PERPLEXITY else "difference",
        "step": one.last.step,
        "baseline": one.last.baseline,
        "intervened": one.last.intervened,
        "difference": one.last.difference,
        "ci95": one.last.ci95,
        "p_value": one.last.p_value,
        "p_value_holm": one.p_holm,
        "p_value_by": one.p_by,
        "reevaluation_difference": one.reevaluated,
        "checkpoints": len(one.pairs),
        "mean_difference": one.mean,
        "checkpoints_of_the_same_sign": one.same_sign,
        "reason": _undefined(one),
        "pairs": [asdict(pair) for pair in one.pairs],
    }


def _undefined(one: Comparison) -> str | None:
    """Return why values are None, or None."""
    if math.isnan(one.last.difference):
        return "a perplexity has no finite logarithm"
    return "standard errors are missing" if math.isnan(one.last.error) else None
