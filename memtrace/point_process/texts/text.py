"""What is printed of exposure: its three classes, and its effect."""

import math

from memtrace.point_process.events import EventSequence
from memtrace.point_process.texts.order import Distance, RankTest
from memtrace.point_process.texts.result import ByText
from memtrace.report.numbers import count, interval, number, p_text, percent, ratio
from memtrace.texts.exposure import ClassCounts
from memtrace.texts.groups import EventTexts
from memtrace.texts.near import NearCounts

Rows = list[tuple[str, str]]


def control_rows(found: ByText | None, unknown: str | None, events: EventSequence) -> Rows:
    """Return the rows of the printed table that say what was extractable without exposure.

    Args:
        found: Statistics by text.
        unknown: Why there are none.
        events: The events, whose sequences are counted in any case.
    """
    if not events.not_exposed_exposure:
        return [("not exposed", "none scanned (no control group)")]
    if found is None:
        counts = f"{events.not_exposed_events:,} of {events.not_exposed_exposure:,} extractable"
        return [("not exposed", f"{counts}; copies of exposed ones may be among them: {unknown}")]
    classes = found.classes
    return [
        ("exposed", _class(classes.exposed)),
        ("copy exposed", f"{_class(classes.copy_exposed)}{_near(found.near)}"),
        ("unexposed (control)", _class(classes.unexposed)),
        ("effect of exposure", effect_text(found)),
    ]


def order_rows(found: ByText | None) -> Rows:
    """Return the rows on the order of texts: the primary end point where copies are known."""
    if found is None:
        return [("texts", "not known: rows are taken as different texts")]
    order = found.order
    if not order.texts:
        return [("texts", "none memorized: no order to test")]
    rows = [
        ("position, by text", _rank_test(order.linear)),
        ("last copies", _rank_test(order.last)),
        ("KS distance, by text", f"{_distance(order.distance)}: descriptive, unadjusted"),
    ]
    once, even = order.once, order.once.equivalence
    who = f"{once.events.n_events:,} of {count(once.events.exposure, 'sequence')} memorized"
    rows.append(("texts that occur once", who))
    if once.no_ratio:
        return [*rows, ("rate, end over start", once.no_ratio)]
    ends = interval(once.trend.interval(0.9), ratio)
    drift = f"{ratio(once.trend.rate_ratio)}, 90% {ends}, {p_text(once.trend.p_value)}"
    inside = f"{'yes' if even.equivalent else 'no'}, {p_text(even.p_value)}"
    least = f"{ratio(once.trend.detectable_ratio())} at 80% power"
    return [
        *rows,
        ("rate, end over start", drift),
        (f"within margin {even.margin:g}", inside),
        ("minimum detectable ratio", least),
    ]


def text_rows(
    found: ByText | None,
    unknown: str | None,
    hashed: EventTexts | None,
    *,
    whole: bool = True,
    row_interval: bool = False,
) -> Rows:
    """Return the rows of the printed table on texts: their rate, and how few they may be.

    Args:
        found: Statistics by text.
        unknown: Why there are none.
        hashed: How the events fall on texts, where only that is known.
        whole: Whether all that was trained on was scanned.
        row_interval: Also give the share of rows with its interval.
    """
    if found is None:
        missing = [("texts", f"rows are taken as different texts: {unknown}")]
        if hashed is None:
            return missing
        most = f"largest {percent(hashed.largest_share)} of the memorized sequences"
        effective = f"effective number {number(hashed.effective, 3)}"
        texts = f"{count(hashed.texts, 'text')} among the events, {most}, {effective}"
        texts += "; near-copies count as different texts"
        return [("texts memorized", texts), *missing]
    rates = found.rates
    if not rates.texts:
        return []
    share = f"{percent(rates.rate)}, 95% {interval(rates.rate_ci95, percent)}"
    rows = [("texts memorized", f"{rates.event_texts:,} of {count(rates.texts, 'text')}: {share}")]
    if not whole and rates.texts < found.classes.exposed.exposure:
        rows.append(("of the scanned ones", "a text with many copies is scanned more often"))
    if rates.event_texts:
        rows.append(("largest text", f"{percent(rates.largest_share)} of the memorized rows"))
        effect = f"design effect of copies {number(rates.design_effect, 3)}"
        rows.append(("effective texts", f"{number(rates.effective, 3)}, {effect}"))
    rows += [
        (
            f"texts that occur {one.name}",
            f"{one.events:,} of {one.texts:,}: 95% {interval(one.rate_ci95, percent)}",
        )
        for one in found.strata
        if one.texts
    ]
    if found.near.texts:
        rows.append(("near-copies", near_text(found.near)))
    if rates.event_texts and rates.reason:
        rows.append(("rate of rows", rates.reason))
    elif row_interval:
        ends = interval(rates.sequence_rate_ci95, percent)
        share = f"{percent(rates.sequence_rate)}, at least 95% {ends}, given the copies"
        rows.append(("rate of rows", share))
    return rows


def near_text(near: NearCounts) -> str:
    """Say how near-copies are counted."""
    passages = count(near.passages, "passage")
    said = f"{near.texts:,} texts share their continuation with another: {passages}, each one text"
    if near.memorized_texts:
        said += f"; {near.memorized_texts:,} of them are memorized"
        said += f", {near.memorized_passages:,} as one"
    return said


def effect_text(found: ByText) -> str:
    """Say what exposure does to texts that occur once; copies that were exposed are left out."""
    effect = found.once
    if effect is None:
        return f"not known: {found.reason}"
    (x, s), (y, t) = effect.exposed, effect.unexposed
    shares = f"of {count(s, 'once-only text')} exposed {x:,} returned, of {t:,} unexposed {y:,}"
    ends = interval(effect.ci95, percent)
    added = f"difference {percent(effect.difference)}, 95% {ends}, {p_text(effect.p_value)}"
    repeated = "" if found.repeated_control else "; no control exists for repeated texts"
    return f"{shares}: {added}{repeated}"


def _near(near: NearCounts) -> str:
    if not near.unexposed:
        return ""
    rows = f"{near.unexposed_memorized:,} of {count(near.unexposed, 'sequence')}"
    return f"; of these by a near-copy {rows}"


def _rank_test(test: RankTest) -> str:
    if math.isnan(test.z):
        return "undefined: no order to test"
    return f"z = {number(test.z)}, {p_text(test.p_value)}"


def _distance(found: Distance) -> str:
    if math.isnan(found.ks):
        return f"undefined: {found.reason}"
    return f"{percent(found.ks)}, {found.reason or p_text(found.p_value)}"


def _class(counts: ClassCounts) -> str:
    return (
        f"{counts.events:,} of {count(counts.exposure, 'sequence')}, {counts.event_texts:,} of "
        f"{count(counts.texts, 'text')}"
    )
