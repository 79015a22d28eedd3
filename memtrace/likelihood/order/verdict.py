"""The test of order in plain sentences: nothing is concluded where a negative control fails.

An effect is named where it holds among all tests together (Holm 1979).
"""

import math

from memtrace.likelihood.order.result import LEVEL, OrderResult
from memtrace.likelihood.recency import AgeBin
from memtrace.point_process.contrasts import adjust_p_values
from memtrace.report.numbers import count, interval, number, p_text, percent

EFFECT, ORDER, RECENCY = "exposure", "order", "recency"


def adjusted_p_values(fit: OrderResult) -> dict[str, float]:
    """Return the p-value of each test that is defined, adjusted for their number by Holm."""
    found = {
        EFFECT: fit.difference.p_value,
        ORDER: fit.order.p_value,
        RECENCY: fit.recency.p_value,
    }
    known = {name: p for name, p in found.items() if not math.isnan(p)}
    adjusted = adjust_p_values(list(known.values()), "holm").tolist() if known else []
    return dict(zip(known, adjusted, strict=True))


def verdict(fit: OrderResult) -> str:
    """Return what the likelihoods say of training order."""
    if failed := fit.controls.failed:
        p_values = fit.controls.p_values
        which = " and ".join(f"{name}, {p_text(p_values[name])}" for name in failed)
        return (
            f"The rows do not look shuffled ({which}), so nothing can be concluded about the "
            "order of training: look for what the order of the corpus follows."
        )
    largest = largest_effect(fit)
    parts = [_order(fit), _exposure(fit), *([_recency(fit, largest)] if largest else [])]
    return ". ".join(parts) + "."


def largest_effect(fit: OrderResult) -> AgeBin | None:
    """Return the age of the largest effect, None unless some age differs among all tests."""
    return fit.recency.largest if RECENCY in _found(fit) else None


def _found(fit: OrderResult) -> set[str]:
    return {name for name, p in adjusted_p_values(fit).items() if p < LEVEL}


def age_text(age: tuple[int, int], unit: str = "step") -> str:
    """Return a range of ages: `8 to 15 steps`, `1 step`."""
    first, last = age[0], age[1] - 1
    return count(first, unit) if first == last else f"{first:,} to {last:,} {unit}s"


def band_text(one: AgeBin) -> str:
    """Return the effect at an age with its band: `11.3 nats, band 4.5 to 18`."""
    return f"{number(one.nats, 3)} nats, band {interval(one.band95, lambda end: number(end, 3))}"


def _exposure(fit: OrderResult) -> str:
    d = fit.difference
    if d.reason:
        advice = (
            "; scan with --include-unexposed" if fit.source.later_rows and not d.unexposed else ""
        )
        return f"What exposure adds is not known: {d.reason}{advice}"
    ends = interval(d.interval(), lambda end: number(end, 3))
    nats = number(abs(d.nats), 3)
    size = f"95% {ends}; {number(d.nats / fit.tokens, 3)} a token"
    given = f", given {fit.source.baseline}" if fit.adjusted else ""
    within = f"the margin of {fit.equivalence.margin:g} nats a token"
    of = "such a sequence" if fit.source.once else "a sequence"
    if EFFECT in _found(fit):
        small = f", which is less than {within}" if fit.equivalence.equivalent else ""
        if d.nats > 0:
            said = f"Training on {of} adds {nats} nats to its log-likelihood ({size})"
        else:
            low, high = d.interval()
            ends = interval((-high, -low), lambda end: number(end, 3))
            size = f"95% {ends}; {number(-d.nats / fit.tokens, 3)} a token"
            said = f"Training on {of} takes {nats} nats from its log-likelihood ({size})"
        return f"{said}{given}{small}"
    if fit.equivalence.equivalent:
        inside = interval(d.interval(0.9), lambda end: number(end / fit.tokens, 3))
        return (
            f"What training on {of} adds is smaller than {within} "
            f"({number(d.nats / fit.tokens, 3)}, 90% {inside}){given}"
        )
    p = p_text(adjusted_p_values(fit)[EFFECT])
    return (
        f"No effect of exposure is found ({number(d.nats, 3)} nats, {size}; {p}){given}; one of "
        f"{number(d.detectable, 3)} nats would be found with 80% power"
    )


def _order(fit: OrderResult) -> str:
    rho = fit.order
    if rho.reason:
        return f"The order of exposed {fit.who} cannot be tested: {rho.reason}"
    size = f"rank correlation {number(rho.rho, 3)}, {p_text(adjusted_p_values(fit)[ORDER])}"
    if ORDER in _found(fit):
        word = "likelier" if rho.rho > 0 else "less likely"
        return f"Among exposed {fit.who}, those seen later are {word} ({size})"
    least = f"one of {number(rho.detectable, 2)} would be found with 80% power"
    if math.isnan(rho.detectable):
        least = f"of {count(rho.n, 'row')} one near 1 would be found at best"
    return f"Among exposed {fit.who} no order is found ({size}; {least})"


def _recency(fit: OrderResult, largest: AgeBin) -> str:
    """Say where the effect is largest among ages that differ: a larger one may be noise."""
    curve, unit = fit.recency, fit.ages.unit
    oldest = curve.bins[-1]
    text = "Of the ages whose band leaves out 0 the estimated effect is largest "
    text += f"{_ago(largest, unit)} ({band_text(largest)})"
    if curve.relative:
        return f"{text}; it is relative to the oldest age, for no unexposed sequence was scanned"
    if largest is oldest:
        return f"{text}, which is the oldest age that was seen"
    low, high = oldest.band95
    if low <= 0 <= high:
        return f"{text}, and cannot be told from none {_ago(oldest, unit)}"
    if curve.retention < 0:
        return f"{text}, and is reversed {_ago(oldest, unit)}, {number(oldest.nats, 3)} nats"
    return f"{text}; {_ago(oldest, unit)} {percent(curve.retention, 2)} of it is left"


def _ago(one: AgeBin, unit: str) -> str:
    if one.steps_ago == (0, 1):
        return f"in the last {unit}"
    return f"{age_text(one.steps_ago, unit)} after exposure"
