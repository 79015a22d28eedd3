"""Interventions in plain sentences: what is shown to have changed, and what cannot be seen."""

import math
from collections.abc import Sequence

from memtrace.evaluations.intervention.result import (
    BIAS_METRICS,
    Comparison,
    Difference,
    InterventionResult,
)
from memtrace.evaluations.populations import populations_told
from memtrace.report.numbers import count, signed

KINDS = {"bias": "bias", "cost": "language modelling"}


def verdict(result: InterventionResult) -> str:
    """Say in how many measures of bias and of language modelling a change is shown.

    A test that does not reject shows no absence: what its interval leaves open is said too, and
    what a second evaluation of the same baseline changed.
    """
    told: list[str] = []
    for kind, name in KINDS.items():
        measures = [one for one in result.comparisons if one.kind == kind]
        if measures:
            who = "" if told else f"In {runs_told(result.comparisons)}, "
            told.append(_capitalized(f"{who}{_changed(measures, name)}."))
        if measures and kind == "bias":
            told.append(_gender(measures))
    return " ".join(sentence for sentence in told if sentence)


def runs_told(comparisons: Sequence[Comparison]) -> str:
    """Return what was compared: `5 intervened runs of 4 deduped models of pythia`."""
    runs = {(one.model, one.run) for one in comparisons}
    models = populations_told((one.population, one.model) for one in comparisons)
    return f"{count(len(runs), 'intervened run')} of {models}"


def tested(measures: Sequence[Comparison]) -> list[Comparison]:
    """Return the measures that have a p-value."""
    return [one for one in measures if not math.isnan(one.p_holm)]


def shown(measures: Sequence[Comparison]) -> list[Comparison]:
    """Return the measures of which a change is shown."""
    return [one for one in measures if one.p_holm < 0.05]


def left_open(measures: Sequence[Comparison]) -> str:
    """Return the least and the largest change that the 95% intervals leave open.

    Of a measure it is the larger one of both directions; empty where no interval is known.
    """
    reach = [
        (one, max(map(abs, one.last.ci95))) for one in measures if not math.isnan(one.last.error)
    ]
    return _sizes(reach)


def again(measures: Sequence[Comparison]) -> str:
    """Return how far a second evaluation of the same baselines moved; empty if there is none."""
    moved = [(one, abs(one.reevaluated)) for one in measures if one.reevaluated is not None]
    known = [(one, size) for one, size in moved if not math.isnan(size)]
    if not known:
        return ""
    return "up to " + _sizes(known, largest=True)


def _changed(measures: list[Comparison], name: str) -> str:
    known = tested(measures)
    if not known:
        return f"none of {count(len(measures), 'measure')} of {name} could be tested"
    sure = shown(known)
    some = f"{len(sure):,}" if sure else "none"
    said = (
        f"a change is shown in {some} of {count(len(known), 'measure')} of {name} "
        f"{_where(known)} (Holm over all of them)"
    )
    unsure = [one for one in known if one not in sure]
    reach, repeated = left_open(unsure), again(measures)
    if reach:
        where = "in the others " if sure else ""
        said += f"; {where}the 95% intervals leave open changes of {reach}, by measure"
    if repeated:
        said += f"; evaluating the same baselines again moved them by {repeated}"
    left = len(measures) - len(known)
    return f"{said}; {left:,} more could not be tested" if left else said


def _where(measures: Sequence[Comparison]) -> str:
    steps = {one.last.step for one in measures}
    return "at the last common checkpoint" + (
        f", step {steps.pop():,}" if len(steps) == 1 else " of each pair"
    )


def _sizes(sizes: Sequence[tuple[Comparison, float]], *, largest: bool = False) -> str:
    """Return sizes of changes, in points and as factors of perplexity."""
    points = [100 * size for one, size in sizes if one.metric in BIAS_METRICS]
    ratios = [math.exp(size) for one, size in sizes if one.metric not in BIAS_METRICS]
    parts = [f"{_span(points, '.1f', largest)} points"] if points else []
    parts += [f"a factor of {_span(ratios, '.4g', largest)} in perplexity"] if ratios else []
    return " and ".join(parts)


def _span(sizes: Sequence[float], form: str, largest: bool) -> str:
    ends = [max(sizes)] if largest else [min(sizes), max(sizes)]
    return " to ".join(dict.fromkeys(f"{end:{form}}" for end in ends))


def _gender(bias: list[Comparison]) -> str:
    """Say how far the measure that the swap of pronouns aims at moved."""
    change = moved_by_gender(bias)
    if not change:
        return ""
    moved = " to ".join(dict.fromkeys(signed(end) for end in (change[0], change[-1])))
    said = f"Stereotyped choices about gender (English) differ by {moved} points"
    ends = reach_by_gender(bias)
    if ends is None:
        return f"{said}, with unknown errors."
    within = "intervals within" if len(change) > 1 else "interval"
    return f"{said} (95% {within} {signed(ends[0])} to {signed(ends[1])})."


def moved_by_gender(comparisons: Sequence[Comparison]) -> list[float]:
    """Return by how many points the measure moved that the swap of pronouns aims at, ascending."""
    return sorted(100 * one.difference for one in _aimed(comparisons))


def reach_by_gender(comparisons: Sequence[Comparison]) -> tuple[float, float] | None:
    """Return the outer ends of the 95% intervals of that measure in points; None if not known."""
    known = [one.ci95 for one in _aimed(comparisons) if not math.isnan(one.error)]
    if not known:
        return None
    return 100 * min(low for low, _ in known), 100 * max(high for _, high in known)


def _aimed(comparisons: Sequence[Comparison]) -> list[Difference]:
    return [one.last for one in comparisons if one.task == "crows_pairs_english_gender"]


def _capitalized(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
