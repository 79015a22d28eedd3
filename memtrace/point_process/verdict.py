"""The fit in one or two plain sentences, honest about what it could not have seen.

It names a departure from random order only where the gate of all tests at 5% has found one.
"""

import math

from memtrace.point_process.departures import BOW, CURVE, DRIFT, RECENCY, STEP
from memtrace.point_process.diagnostics.dispersion import Dispersion
from memtrace.point_process.models.bow import Bow
from memtrace.point_process.models.trend import Trend
from memtrace.point_process.order import FEW_EVENTS, UNDERPOWERED, Order
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.texts.rates import too_few
from memtrace.point_process.texts.result import ByText
from memtrace.point_process.texts.text_order import FEW_TEXTS, TextOrder
from memtrace.report.numbers import count, fold, interval, number, p_text, percent, ratio

MANY_DIGITS = 0.01
SOME_DIGITS = 0.1
CLEAR = 0.01
"""Level at which unevenness beside a shape is worth a word."""
NEARLY_ALL = 0.995
"""Share of the sequences trained on above which coverage is no cause of anything."""


def verdict(fit: PoissonResult) -> str:
    """Return one sentence on the order of the events along training."""
    events = fit.events
    if events.exposure == 0:
        found = events.not_exposed_events or 0
        return (
            "Nothing to say about training order: none of the scanned sequences had been trained "
            f"on at this checkpoint ({found:,} of {events.not_exposed_exposure:,} "
            f"{'is' if 1 in (found, events.not_exposed_exposure) else 'are'} extractable all the "
            "same)."
        )
    if events.n_events == 0:
        return f"No memorized sequence among {_bounded(fit)}, and there is no order to test."
    if events.n_events == events.exposure:
        n = events.exposure
        every = f"All {n:,} sequences are" if n > 1 else "The only one is"
        return f"{every} memorized, so there is no order to test."
    if fit.by_text is None:
        return f"{_of_rows(fit.order)}; rows are taken as different texts."
    return f"{_share_of_texts(fit, fit.by_text)} {_order_of_texts(fit.by_text.order)}"


def order_first(fit: PoissonResult) -> tuple[str, str]:
    """Return the verdict in two parts: what it says of the order, and the rest."""
    if fit.by_text is None or not 0 < fit.events.n_events < fit.events.exposure:
        return verdict(fit), ""
    said = _order_of_texts(fit.by_text.order)
    # Of which texts it is stands in the sentence that comes second here.
    said = said.replace("of their copies", "of the copies of memorized texts")
    said = said.replace(" of them occur", " of the memorized texts occur")
    return said, _share_of_texts(fit, fit.by_text)


def _bounded(fit: PoissonResult) -> str:
    """Return how many sequences were scanned, and what share of them, or of texts, is ruled out."""
    unit, n, high = "", fit.events.exposure, fit.rate_ci95[1] / fit.window
    if fit.by_text is not None and fit.has_copies:
        n, high = fit.by_text.rates.texts, fit.by_text.rates.rate_ci95[1]
        unit = f", of {count(n, 'text')}"
    of = " of texts" if unit else ""
    bound = f"the rate{of} is below {number(high * 1e6, 3)} per million with 97.5% confidence"
    return f"{fit.events.exposure:,}{unit}: {bound}"


def interval_text(trend: Trend) -> str:
    """Return the rate ratio with its 90% interval, with as many digits as the interval needs."""
    low, high = trend.interval(0.90)
    width = high - low
    digits = 4 if width < MANY_DIGITS else 3 if width < SOME_DIGITS else 2

    def form(value: float) -> str:
        if high > 100 or value < SOME_DIGITS:
            return ratio(min(max(value, 1e-300), 1e300))  # its logarithm is finite
        return f"{value:.{digits}f}"

    return f"end/start {form(trend.rate_ratio)}, 90% interval {interval((low, high), form)}"


def _underpowered(order: Order) -> str:
    events, share = order.events, order.events.exposure / order.events.n
    least = f"the minimum detectable ratio at 80% power is {fold(order.trend.detectable_ratio())}"
    known = count(events.n_events, "event")
    in_full = order.detectable_in_full
    enough = events.fraction * events.n >= FEW_EVENTS and in_full <= UNDERPOWERED
    if share < NEARLY_ALL and enough:
        return (
            f"Too little was scanned to tell whether the rate drifts: {percent(share, 2)} of the "
            f"sequences trained on, with {known}, where {least}; at this rate a scan of all would "
            f"bring it to {fold(in_full)}"
        )
    return f"Too few events to tell whether the rate drifts: with {known} {least}"


def _share_of_texts(fit: PoissonResult, found: ByText) -> str:
    """Return the share of texts; where not all was scanned that trained, it is of scanned texts."""
    rates, whole = found.rates, fit.events.exposure == fit.events.n
    share = f"{percent(rates.rate)}, 95% {interval(rates.rate_ci95, percent)}"
    as_one = ", near-copies as one," if found.near.texts else ""
    unit = count(rates.texts, "text" if whole else "scanned text")
    are = "is" if rates.event_texts == 1 else "are"
    return f"{rates.event_texts:,} of {unit}{as_one} {are} memorized ({share})."


def _order_of_texts(order: TextOrder) -> str:
    """Return what is to be said of the order, text by text."""
    parts = [_of_copies(order)]
    if order.texts >= FEW_TEXTS:
        parts.append(_of_once(order))
    said = "; ".join(part for part in parts if part)
    return f"{said[:1].upper()}{said[1:]}."


def _of_copies(order: TextOrder) -> str:
    """Return what the order of all copies shows, and where there are too few texts."""
    found, parts = order.once.departures.found, []
    names = {
        "text order": ("the copies of memorized texts", order.linear),
        "last exposure": ("the last copies of memorized texts", order.last),
    }
    made = [one.p_holm for one in order.once.departures.made if one.name in names]
    if order.rows == order.texts:  # no second copy: both tests are of the same places
        names = {"text order": ("memorized texts", order.linear)}
    for name, (who, test) in names.items():
        if name in found:
            where = "later" if test.z > 0 else "earlier"
            parts.append(
                f"{who} lie {where} in training than in a random order ({p_text(test.p_value)})"
            )
    if order.few:
        few = too_few(order.rows, order.texts)
        return ", though ".join([few, "; ".join(parts)]) if parts else few
    if not parts and made:
        of_copies = " of their copies" if order.rows > order.texts else ""
        parts.append(
            f"text by text no departure{of_copies} from a random order was found "
            f"({_least(order.once, min(made))})"
        )
    return "; ".join(parts)


def _least(order: Order, p: float) -> str:
    """Return the least p-value of some tests of the gate, and how it is adjusted."""
    tests = count(len(order.departures.made), "test")
    return f"smallest {p_text(p)}, Holm over {tests}"


def _of_once(order: TextOrder) -> str:
    once = order.once
    if not once.events.n_events:
        return "none of them occurs once"
    who = f"{count(once.events.n_events, 'of them occurs', 'of them occur')} once"
    if once.events.n_events == once.events.exposure:
        return f"{who}, as many as were scanned"
    said = _of_rows(once)
    return f"{who}: {said[0].lower()}{said[1:]}"


def _of_rows(order: Order) -> str:
    if not order.underpowered:
        return f"{_ordered(order)}{_covered(order)}"
    found = [one for one in order.departures.made if one.name in _own(order)]
    if not found:
        return _underpowered(order)
    least = min(found, key=lambda one: one.p_holm)
    n, tests = order.events.n_events, count(len(order.departures.made), "test")
    whose = f"order of these {n:,} events departs" if n > 1 else "place of this event departs"
    by = f"{least.name}: {p_text(least.p_holm)}, Holm over {tests}"
    return f"{_underpowered(order)}; yet the {whose} from a random one ({by})"


def _ordered(order: Order) -> str:
    return _found(order) if _own(order) else _nothing_found(order)


def _own(order: Order) -> set[str]:
    """Return the tests of the order itself that found something, not those of all copies."""
    return set(order.departures.found) - {"text order", "last exposure"}


def _nothing_found(order: Order) -> str:
    least = _least(order, order.departures.p_any)
    return f"{_no_drift(order)}; no other departure from a random order was found ({least})"


def _no_drift(order: Order) -> str:
    margin, estimate = f"the margin of {order.equivalence.margin:g}", interval_text(order.trend)
    if order.equivalence.equivalent:
        return f"No drift: start and end of training agree within {margin} ({estimate})"
    return (
        f"No drift found, but one as large as {margin} is not ruled out ({estimate}; minimum "
        f"detectable ratio at 80% power {ratio(order.trend.detectable_ratio())})"
    )


def _found(order: Order) -> str:
    found, shape = order.departures, order.departures.shape
    if shape is None:
        return f"{_no_drift(order)}, but {_unevenness(order)}"
    text = _shape(order, shape)
    if found.alternatives:
        names = [_NAMES[name] for name in found.alternatives]
        text += f"; {' or '.join(names)} would describe it nearly as well"
    left = found.left
    if left is not None and 2 * left.binomial.p_value < CLEAR:
        text += f"; beside it {_uneven(left, 'short parts of training')}"
    return text


_NAMES = {
    DRIFT: "a steady drift",
    STEP: "one change of the rate",
    BOW: "a hump or trough",
    RECENCY: "a rise towards the checkpoint (recency)",
    CURVE: "a smooth curve",
}


def _shape(order: Order, shape: str) -> str:
    """Return what was found, with its size."""
    if shape == STEP:
        return _step(order)
    if shape == BOW:
        return _bow(order)
    if shape == RECENCY:
        return _recency(order)
    if shape == CURVE:
        curve = order.spline
        low, high = (
            float(end) / order.events.fraction for end in (curve.rate.min(), curve.rate.max())
        )
        return (
            "Shape: the rate is neither constant nor a steady drift; a smooth curve through it "
            f"runs between {ratio(low)} and {ratio(high)} times the mean rate "
            f"({interval_text(order.trend)})"
        )
    return _steady_drift(order)


def _steady_drift(order: Order) -> str:
    margin, estimate = f"the margin of {order.equivalence.margin:g}", interval_text(order.trend)
    if order.equivalence.equivalent:
        return f"A drift too small to matter: within {margin} between start and end ({estimate})"
    word = "higher" if order.trend.theta > 0 else "lower"
    return f"Drift: the rate is {word} at the end of training than at its start ({estimate})"


def _step(order: Order) -> str:
    change = order.change_point
    index, ends = change.index or 0, change.ci95 or (0, 0)
    low, high = (_place(order, end) for end in ends)
    places = f"95% {low} to {high}" if low != high else "the only place in its 95% interval"
    size = f"{fold(change.rate_ratio)} what it was before"
    if not change.rate_before:
        size = "above zero, but zero before"
    if not change.rate_after:
        size = "zero"
    return f"Change: from {_place_name(order, index)} on ({places}) the rate is {size}"


def _bow(order: Order) -> str:
    bent = order.departures.bow
    if bent is None or not _turns(bent, order.equivalence.margin):
        return f"{_steady_drift(order)}, and the drift is not steady"
    kind, most = ("Hump", "highest") if bent.is_hump else ("Trough", "lowest")
    return (
        f"{kind}: the rate is {most} near {_place_name(order, int(bent.turn * order.events.n))}, "
        f"{fold(bent.over_start)} that of the start and {fold(bent.over_end)} that of the end "
        "of training"
    )


def _turns(bent: Bow, margin: float) -> bool:
    """Return whether the rate turns inside the axis, by more than the margin on either side."""
    sides = (bent.over_start, bent.over_end)
    return not math.isnan(bent.turn) and all(not 1 / margin < side < margin for side in sides)


def _recency(order: Order) -> str:
    model = order.recency
    decay, step = model.parameters["decay_sequences"], order.events.sequences_per_step
    age = f"{number(decay / step, 2)} steps" if step else f"{number(decay, 2)} sequences"
    size = fold(1 + model.parameters["amplitude"])
    return (
        f"Recency: just before the checkpoint the rate is {size} that of the oldest sequences, "
        f"and this excess falls off over {age}"
    )


def _unevenness(order: Order) -> str:
    steps = order.departures.steps
    candidates = ((steps, _unit(order)), (order.dispersion, "windows"))
    known = [(d, unit) for d, unit in candidates if d is not None and not d.reason]
    return _uneven(*min(known, key=lambda one: one[0].binomial.p_value))


def _uneven(d: Dispersion, unit: str) -> str:
    index = f"{number(d.binomial.value)} times the variance, {p_text(d.binomial.p_value)}"
    if d.binomial.value < 1:
        return f"counts vary less between {unit} than a random order makes them ({index})"
    varies = f"the rate varies by {percent(d.cv, 2)}"
    if not d.cv <= 1:
        varies = f"the rate has a coefficient of variation of {ratio(d.cv)}"
    return f"counts vary more between {unit} than a random order makes them ({index}: {varies})"


def _covered(order: Order) -> str:
    share = order.events.exposure / order.events.n
    if share >= NEARLY_ALL:
        return ""
    return f"; {percent(share, 2)} of the sequences trained on were scanned"


def _unit(order: Order) -> str:
    return "steps" if order.events.sequences_per_step else "windows"


def _place(order: Order, index: int) -> str:
    step = order.events.step_of(index)
    return f"{index:,}" if step is None else f"{step:,.0f}"


def _place_name(order: Order, index: int) -> str:
    """Return a place and the end of the axis; that of once-only sequences counts these alone."""
    unit = "step"
    if order.events.schedule is None:
        by_text = any(one.name == "text order" for one in order.departures.tests)
        unit = "once-only sequence" if by_text else "sequence"
    return f"{unit} {_place(order, index)} of {_place(order, order.events.n)}"
