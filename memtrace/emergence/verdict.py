"""Memorization over checkpoints in plain sentences."""

import math

from memtrace.emergence.result import EmergenceResult
from memtrace.report.numbers import count, interval, number, percent, ratio

UNKNOWN = "Whether exposure caused it is unknown"


def verdict(fit: EmergenceResult) -> str:
    """Say what happened, when, what was lost, and whether exposure caused it."""
    out = fit.outcomes
    first = (
        f"{out.emerged:,} of {count(fit.sequences, 'sequence')} "
        f"{'was' if out.emerged == 1 else 'were'} found memorized after being trained on"
    )
    if out.before_exposure:
        first += f" ({out.before_exposure:,} more were extractable before: no memories)"
    if not out.emerged:
        return f"{first}."
    return f"{first}; {_when(fit)}; {_kept(fit)}. {_cause(fit)}"


def _when(fit: EmergenceResult) -> str:
    low, high = fit.time_scales["share"].among_emerged(0.5)
    if math.isnan(high):
        return "when is unknown, since too few were followed for long enough"
    return (
        f"half of those that emerge do so within the first {percent(high)} of the training that is "
        f"left after they are seen (between {percent(low)} and {percent(high)})"
    )


def _kept(fit: EmergenceResult) -> str:
    out = fit.outcomes
    lost = out.emerged - out.always_retained
    kept = f"{percent(lost / out.emerged)} were lost at some later checkpoint"
    return f"{kept}, {percent(out.learned_again / lost)} of these learned again" if lost else kept


def _cause(fit: EmergenceResult) -> str:
    """Compare with the control group, as far as there is one."""
    if not fit.effect.reason:
        return _effect(fit)
    control = fit.control
    if not control.evaluated:
        return (
            f"{UNKNOWN}: there is no control group, since no sequence was scanned before it was "
            "trained on (scan with --include-unexposed)."
        )
    if control.followed and not control.became_extractable:
        most = number(control.rate_ci95[1] * 1e6, 3)
        return (
            f"Of the sequences not yet trained on none became extractable (followed for "
            f"{count(control.exposure, 'sequence step')}: 95% interval of the rate 0 to {most} "
            "per million and step)."
        )
    return f"{UNKNOWN}: {fit.effect.reason}."


def _effect(fit: EmergenceResult) -> str:
    factor, low, high = fit.effect.factor("exposed")
    said = f"x {ratio(factor)}, 95% {interval((low, high), ratio)}"
    if low > 1:
        return f"Being trained on makes a sequence emerge more often than it would have ({said})."
    if high < 1:
        return (
            "But sequences trained on emerge less often than those not yet trained on become "
            f"extractable ({said})."
        )
    return (
        "No difference was found between how often sequences trained on emerge and those not yet "
        f"trained on become extractable ({said})."
    )
