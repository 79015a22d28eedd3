"""Interventions in one plain sentence."""

import math
from collections.abc import Sequence

from memtrace.evaluations.intervention.result import Z95, Comparison, Difference, InterventionResult


def verdict(result: InterventionResult) -> str:
    """Say how many measures of bias and of language modelling changed."""
    bias = [one for one in result.comparisons if one.kind == "bias"]
    cost = [one for one in result.comparisons if one.kind == "cost"]
    parts = []
    if bias:
        parts.append(f"{_changed(bias)} of bias changed at the end of training (Holm)")
        parts.append(_gender(bias))
    if cost:
        parts.append(f"{_changed(cost)} of language modelling changed")
    return "; ".join(part for part in parts if part) + "."


def _changed(measures: list[Comparison]) -> str:
    tested = [one for one in measures if not math.isnan(one.p_holm)]
    changed = sum(one.p_holm < 0.05 for one in tested)
    left = len(measures) - len(tested)
    untested = f" (and {left} without standard errors)" if left else ""
    return f"{changed} of {len(tested)} measures{untested}"


def _gender(bias: list[Comparison]) -> str:
    """Say how far the measure that the swap of pronouns aims at moved."""
    aimed = _aimed(bias)
    change = moved_by_gender(bias)
    if not change:
        return ""
    moved = " to ".join(dict.fromkeys(f"{end:+.1f}" for end in (change[0], change[-1])))
    said = f"stereotyped choices about gender (English) moved by {moved} points"
    errors = [one.error for one in aimed if not math.isnan(one.error)]
    return f"{said}, each +- {100 * Z95 * max(errors):.1f} or less (95%)" if errors else said


def moved_by_gender(comparisons: Sequence[Comparison]) -> list[float]:
    """Return by how many points the measure moved that the swap of pronouns aims at, ascending."""
    return sorted(100 * one.difference for one in _aimed(comparisons))


def _aimed(comparisons: Sequence[Comparison]) -> list[Difference]:
    return [one.last for one in comparisons if one.task == "crows_pairs_english_gender"]
