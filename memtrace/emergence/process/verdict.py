"""The emergence process in one plain sentence."""

from memtrace.emergence.overdispersion import LocalOverdispersion
from memtrace.emergence.process.result import EmergenceProcessResult
from memtrace.emergence.verdict import at_first_look
from memtrace.report.numbers import count, interval, number, p_text, ratio


def verdict(fit: EmergenceProcessResult) -> str:
    """Say whether the rate drifts along training and whether the intervals are even."""
    if not fit.n_events:
        return "Nothing emerged between two neighbouring checkpoints: there is no rate to follow."
    first = fit.histories.first_look
    if first == len(fit.histories.own):
        unit = fit.histories.unit
        which, were, them = (
            (f"the one {unit}", "it was", "it")
            if first == 1
            else (f"any of {count(first, unit)}", "all were", "them")
        )
        return (
            f"Whether {which} emerged is not known: {were} memorized at the first look at {them}."
        )
    reserved = f"; {at_first_look(first)}" if first else ""
    if fit.trend.reason:
        return f"{count(fit.n_events, fit.histories.unit)} emerged; {fit.trend.reason}{reserved}."
    return f"{_drift(fit)}; {_even(fit.local_overdispersion, fit.histories.unit)}{reserved}."


def _drift(fit: EmergenceProcessResult) -> str:
    ends = interval(fit.trend.interval(0.90), ratio)
    said = f"end/start {ratio(fit.trend.rate_ratio)}, 90% interval {ends}"
    margin = f"the margin of {number(fit.equivalence.margin)}"
    if fit.equivalence.equivalent:
        return f"The rate of emergence is the same all along training within {margin} ({said})"
    if fit.trend.p_value < 0.05:
        kind = "rises" if fit.trend.theta > 0 else "falls"
        return f"The rate of emergence {kind} along training ({said})"
    return f"No drift of the rate of emergence was found, nor ruled out by {margin} ({said})"


def _even(found: LocalOverdispersion, unit: str) -> str:
    if found.reason:
        return f"whether {unit}s emerge together is unknown: {found.reason}"
    index = f"index {number(found.index, 3)}, {p_text(found.p_value)}"
    if found.p_value < 0.05:
        return f"more {unit}s emerge together than in a Poisson process of a smooth rate ({index})"
    return f"no local overdispersion was found ({index})"
