"""Memorization over checkpoints in plain sentences."""

import math

from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.timescales import ENOUGH
from memtrace.report.numbers import count, interval, number, percent, ratio

UNKNOWN = "Whether exposure caused it is unknown"


def verdict(fit: EmergenceResult) -> str:
    """Say what happened, when, what was lost, what copies did, and whether exposure caused it."""
    out, unit = fit.outcomes, fit.histories.unit
    was = "was" if out.emerged == 1 else "were"
    first = (
        f"{out.emerged:,} of {count(fit.texts, unit)} {was} found memorized after being trained on"
    )
    first += _generic(fit)
    if not out.emerged:
        return f"{first}."
    return f"{first}; {_when(fit)}; {_kept(fit)}. {_copies(fit)}{_cause(fit)}"


def answer(fit: EmergenceResult) -> str:
    """Say in one sentence when texts emerge, and how many did."""
    out, unit = fit.outcomes, fit.histories.unit
    if not out.emerged:
        return f"None of {count(fit.texts, unit)} was found memorized after being trained on."
    when = _when(fit)
    return f"{when[0].upper()}{when[1:]}; {out.emerged:,} of {count(fit.texts, unit)} emerged."


def _generic(fit: EmergenceResult) -> str:
    generic = fit.outcomes.generic
    if not generic:
        return ""
    if fit.histories.copies_known:
        are = "is" if generic == 1 else "are"
        return f" ({generic:,} more {are} generic: memorized before any copy had been seen)"
    were = "was" if generic == 1 else "were"
    return (
        f" ({generic:,} more {were} memorized before that row had been seen; without a table of "
        "duplicates it is not known whether a copy had)"
    )


def too_few(fit: EmergenceResult) -> str | None:
    """Return why there is no distribution of the time of emergence, or None."""
    out, unit = fit.outcomes, fit.histories.unit
    if out.emerged >= ENOUGH:
        return None
    if out.copies is not None and out.copies > out.emerged:
        rows = f"{count(out.copies, 'row')}, but {count(out.emerged, unit)}"
        return f"{rows}: too few to say how it varies"
    return f"{count(out.emerged, unit)}: too few to say how it varies"


def _when(fit: EmergenceResult) -> str:
    if reason := too_few(fit):
        return f"when is not said ({reason})"
    low, high = fit.time_scales["share"].among_emerged(0.5)
    if math.isnan(high):
        return "when is unknown, since too few were followed for long enough"
    ends = f"the estimate lies between {percent(low)} and {percent(high)}, "
    return (
        f"half of those that emerge do so within the first {percent(high)} of the training that is "
        f"left after they are first seen ({ends if percent(low) != percent(high) else ''}without "
        "its sampling error)"
    )


def _kept(fit: EmergenceResult) -> str:
    out = fit.outcomes
    lost = out.emerged - out.always_retained
    if not lost:
        return "none was found lost at a later checkpoint"
    were = "was" if lost == 1 else "were"
    kept = f"{lost:,} of them {were} lost at some later checkpoint"
    return f"{kept}, {out.learned_again:,} of these learned again"


def _copies(fit: EmergenceResult) -> str:
    """Say how the chance grows with the copies seen, where that is known."""
    found = fit.copies
    if found.reason:
        return ""
    times, *ends = (2**power for power in (found.exponent, *found.ci95))
    said = f"x {ratio(times)}, 95% {interval((ends[0], ends[1]), ratio)}"
    if ends[0] > 1:
        return f"Texts emerge faster the more copies have been seen: twice as many, {said}. "
    if ends[1] < 1:
        return f"Texts emerge more slowly the more copies have been seen: twice as many, {said}. "
    return f"No effect of further copies of a text was found (twice as many: {said}). "


def _cause(fit: EmergenceResult) -> str:
    """Compare with the control group, as far as there is one."""
    control = fit.control
    if not control.evaluated:
        return (
            f"{UNKNOWN}: there is no control group, since no {fit.histories.unit} was scanned at a "
            "checkpoint that had not seen it (scan with --include-unexposed)."
        )
    if fit.histories.copies_known and control.followed and not control.became_extractable:
        most = number(control.rate_ci95[1] * 1e6, 3)
        least = fit.effect.ci95[0]
        more = f"; those trained on emerge at least x {ratio(least)} as often" if least > 0 else ""
        return (
            "Of the texts that occur once and were not yet trained on none became extractable "
            f"(followed for {count(control.exposure, 'text step')}: 95% interval of the rate 0 to "
            f"{most} per million and step){more}."
        )
    return f"{UNKNOWN}: {fit.effect.reason}." if fit.effect.reason else _effect(fit)


def _effect(fit: EmergenceResult) -> str:
    found = fit.effect
    low, high = found.ci95
    said = (
        f"({found.exposed_events:,} against {found.unexposed_events:,}: hazard x "
        f"{ratio(found.hazard_ratio)}, 95% {interval(found.ci95, ratio)})"
    )
    if low > 1:
        return (
            "Of texts that occur once, those trained on emerge more often than those not yet "
            f"trained on become extractable {said}."
        )
    if high < 1:
        return (
            "But of texts that occur once, those trained on emerge less often than those not yet "
            f"trained on become extractable {said}."
        )
    return (
        "No difference was found between how often texts that occur once emerge after being "
        f"trained on and become extractable before {said}."
    )
