"""What is seen in each figure of a comparison, for readers who do not see it."""

from collections.abc import Callable, Iterable

from memtrace.comparison.agreement import Measure
from memtrace.comparison.deduplication.copies import Seen
from memtrace.comparison.paired.text import short_name
from memtrace.comparison.profile.effects import Effect
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.scale import compared_sizes
from memtrace.report.numbers import count, interval, number, percent

MOST = 5
"""Combinations and strata that are told, at most."""


def described(found: ComparisonResult, name: str) -> str:
    """Return the alternative text of one of the figures that `drawn` lists."""
    return _DESCRIBED[name](found)


def _scale(found: ComparisonResult) -> str:
    points = compared_sizes(found.runs, found.points)
    told = [
        f"{found.runs[one.run].model} {percent(one.exposed.share.value)}"
        for one in sorted(points, key=lambda one: found.runs[one.run].parameters or 0)
    ]
    step = found.runs[points[0].run].step
    return f"{count(len(told), 'point')} at step {step:,}, by parameters: {', '.join(told)}."


def _heat_map(name: str, cells: Iterable[tuple[str, str, float]]) -> str:
    known = sorted(cells, key=lambda cell: cell[2])
    (a, b, least), (c, d, most) = known[0], known[-1]
    told = f"A heat map of {name} for {count(len(known), 'pair')} of runs: "
    if len(known) == 1:
        return f"{told}{percent(least)}, {a} and {b}."
    return f"{told}least {percent(least)}, {a} and {b}; most {percent(most)}, {c} and {d}."


def _predictions(found: ComparisonResult, name: str) -> str:
    cells = []
    for one in found.drawn_predictions:
        if not one.reason:
            measure: Measure = getattr(one.every, name)
            cells.append((found.label(one.source), found.label(one.target), measure.value))
    return _heat_map(name, cells)


def _overlap(found: ComparisonResult) -> str:
    cells = [
        (found.label(one.a), found.label(one.b), one.agreement.jaccard.value)
        for one in found.drawn_overlaps
        if not one.reason
    ]
    return _heat_map("Jaccard's index", cells)


def _combinations(found: ComparisonResult) -> str:
    one = found.combinations
    if one is None:
        return ""
    told = []
    for texts, members in zip(one.texts[:MOST], one.members[:MOST], strict=True):
        which = [found.label(one.runs[place]) for place in members.nonzero()[0]]
        named = f"all {len(which)} runs" if 2 < len(which) == len(one.runs) else " and ".join(which)
        told.append(f"{int(texts):,} by {named}")
    left = len(one.texts) - len(told)
    more = f"; {left:,} more bars are lower or equal" if left else ""
    return f"Bars of {count(int(one.texts.sum()), 'text')} by who memorized them: " + (
        f"{'; '.join(told)}{more}."
    )


def _by_copies(found: ComparisonResult) -> str:
    one = found.deduplication[-1]
    parts = dict(one.last.by_copies)
    if one.last.total is not None:
        parts["all"] = one.last.total
    told = [
        f"{name}, {_seen(part.standard)} and {_seen(part.deduplicated)}"
        for name, part in parts.items()
    ]
    models = f"{short_name(one.standard)} and {short_name(one.deduplicated)}"
    return f"Shares of texts by copies seen, {models}, step {one.last.step:,}: {'; '.join(told)}."


def _seen(one: Seen) -> str:
    return percent(one.share.value) if one.texts else "no text"


def _both_corpora(found: ComparisonResult) -> str:
    (one,) = [one for one in found.deduplication if one.last.matched_total is not None][-1:]
    told = [
        f"{name}, of {count(table.texts, 'text')} {table.baseline_only:,} by the model alone, "
        f"{table.both:,} by both, {table.model_only:,} by the twin alone"
        for name, table in one.last.matched.items()
        if table.texts
    ]
    return f"Bars by copies seen of {short_name(one.standard)} and its twin: {'; '.join(told)}."


def _pairs(found: ComparisonResult) -> str:
    told = []
    for one in found.paired:
        table = one.last.shares["exposed"]
        if table.texts:
            told.append(
                f"{short_name(one.model)} alone {table.model_only:,}, its baseline "
                f"{short_name(one.baseline)} alone {table.baseline_only:,}, both {table.both:,}"
            )
    return f"Bars of {found.paired[-1].counted} memorized: {'; '.join(told[-MOST:])}."


def _pairs_over_training(found: ComparisonResult) -> str:
    told = []
    for one in found.paired:
        steps = [step for step in one.steps if step.shares["exposed"].texts]
        if len(steps) > 1:
            first, last = (
                f"{percent(step.shares['exposed'].difference)} at step {step.step:,}"
                for step in (steps[0], steps[-1])
            )
            told.append(f"{short_name(one.model)} goes from {first} to {last}")
    return f"Lines of the difference to the baseline: {'; '.join(told[-MOST:])}."


def _profile(found: ComparisonResult) -> str:
    one = found.drawn_profile
    values = [effect.estimate for effect in one.cells.values()]
    ends = interval((min(values), max(values)), lambda value: number(value, 3))
    return (
        f"A heat map of {short_name(one.model)}, {count(len(one.cohorts), 'cohort')} by "
        f"{count(len(one.steps), 'checkpoint')}: effects of {ends} {one.outcome_unit}."
    )


def _course(found: ComparisonResult) -> str:
    one = found.drawn_profile
    told = [] if one.before is None else [f"before exposure {_effect(one.before)}"]
    if one.instantaneous is not None:
        told.append(f"at the first checkpoint after it {_effect(one.instantaneous)}")
    if one.persistent:
        last = one.persistent[-1]
        told.append(f"{count(last.checkpoints, 'checkpoint')} later {_effect(last.effect)}")
    return f"Points of the mean effect, in {one.outcome_unit}: {'; '.join(told)}."


def _effect(one: Effect) -> str:
    return f"{number(one.estimate, 3)} ({interval(one.ci95, lambda value: number(value, 3))})"


_DESCRIBED: dict[str, Callable[[ComparisonResult], str]] = {
    "scale": _scale,
    "precision": lambda found: _predictions(found, "precision"),
    "recall": lambda found: _predictions(found, "recall"),
    "overlap": _overlap,
    "combinations": _combinations,
    "deduplication": _by_copies,
    "both-corpora": _both_corpora,
    "pairs": _pairs,
    "pairs-over-training": _pairs_over_training,
    "profile": _profile,
    "time-since-training": _course,
}
