"""Pairs of models in the document of `compare --json`."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from memtrace.comparison.paired.hazard_ratio import HazardRatio
from memtrace.comparison.paired.likelihoods import LikelihoodDifference
from memtrace.comparison.paired.mean_difference import MeanDifference
from memtrace.comparison.paired.result import PairedModels, PairedStep
from memtrace.comparison.paired.shares import PairedShares
from memtrace.texts.exposure import CLASSES

ONE_CHECKPOINT = "it needs two checkpoints of both, of known order, the later one having seen more"


def paired_document(found: Sequence[PairedModels]) -> list[dict[str, Any]]:
    """Return the value of `paired`: one entry for each pair; NaN stands for undefined."""
    return [
        {
            "baseline": one.baseline,
            "model": one.model,
            "unit": one.unit,
            "hazard_ratio": _hazard_ratio(one.hazard_ratio),
            "steps": [_step(step) for step in one.steps],
        }
        for one in found
    ]


def shares_document(found: PairedShares) -> dict[str, Any]:
    """Return a 2 x 2 table with what is computed of it."""
    return {
        "texts": found.texts,
        "both": found.both,
        "baseline_only": found.baseline_only,
        "model_only": found.model_only,
        "neither": found.neither,
        "baseline_share": found.baseline_share,
        "model_share": found.model_share,
        "difference": found.difference,
        "difference_ci95": found.difference_ci95,
        "p_value": found.p_value,
        "odds_ratio": found.odds_ratio,
        "odds_ratio_ci95": found.odds_ratio_ci95,
        "reason": undefined(found),
    }


def undefined(found: PairedShares) -> str | None:
    """Return why values of a table are undefined or unbounded, or None."""
    if not found.texts:
        return "no text was scanned by both"
    if not found.baseline_only:
        alone = "neither model" if not found.model_only else "the baseline"
        return f"{alone} memorized a text that the other did not: the odds ratio has no bound"
    return None


def _step(one: PairedStep) -> dict[str, Any]:
    shares = {name: shares_document(one.shares[name]) for name in CLASSES}
    return {"step": one.step, **shares, "log_likelihood": _likelihoods(one.likelihoods)}


def _likelihoods(found: LikelihoodDifference) -> dict[str, Any]:
    if found.reason:
        return {"reason": found.reason}
    exposed, unexposed = found.by_class["exposed"], found.by_class["unexposed"]
    nats, ends = exposed.minus(unexposed)
    return {
        "tokens": found.tokens,
        **{name: _mean(one) for name, one in found.by_class.items()},
        "exposed_minus_unexposed": {"nats": nats, "ci95": ends},
        "reason": None,
    }


def _mean(found: MeanDifference) -> dict[str, Any]:
    return {
        "texts": found.texts,
        "nats": found.mean,
        "ci95": found.ci95,
        "p_value": found.p_value,
        "reason": found.reason,
    }


def _hazard_ratio(found: HazardRatio | None) -> dict[str, Any]:
    if found is None:
        return {"ratio": math.nan, "ci95": None, "p_value": math.nan, "reason": ONE_CHECKPOINT}
    return asdict(found)
