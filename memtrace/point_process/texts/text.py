"""What is printed of exposure: its three classes, and its effect."""

from memtrace.point_process.events import EventSequence
from memtrace.point_process.texts.result import ByText
from memtrace.report.numbers import count, interval, number, p_text, percent
from memtrace.texts.exposure import ClassCounts

Rows = list[tuple[str, str]]


def control_rows(found: ByText | None, unknown: str | None, events: EventSequence) -> Rows:
    """Return the rows of the printed table that say what was extractable without exposure.

    Args:
        found: Statistics by text.
        unknown: Why there are none.
        events: The events, whose sequences are counted in any case.
    """
    if not events.unexposed_exposure:
        return [("not exposed", "none scanned (no control group)")]
    if found is None:
        counts = f"{events.unexposed_events:,} of {events.unexposed_exposure:,} extractable"
        return [("not exposed", f"{counts}, copies of exposed ones among them: {unknown}")]
    classes = found.classes
    return [
        ("exposed", _class(classes.exposed)),
        ("copy exposed", _class(classes.copy_exposed)),
        ("unexposed (control)", _class(classes.unexposed)),
        ("effect of exposure", effect_text(found)),
    ]


def text_rows(found: ByText | None, unknown: str | None) -> Rows:
    """Return the rows of the printed table on texts: their rate, and how few they may be."""
    if found is None:
        return [("texts", f"rows are taken as different texts: {unknown}")]
    rates = found.rates
    if not rates.texts:
        return []
    share = f"{percent(rates.rate)}, 95% {interval(rates.rate_ci95, percent)}"
    rows = [("texts memorized", f"{rates.event_texts:,} of {count(rates.texts, 'text')}: {share}")]
    if rates.event_texts:
        rows.append(("largest text", f"{percent(rates.largest_share)} of the memorized rows"))
        effect = f"design effect of copies {number(rates.design_effect, 3)}"
        rows.append(("effective texts", f"{number(rates.effective, 3)}, {effect}"))
    if rates.event_texts and rates.reason:
        rows.append(("rate of rows", rates.reason))
    return rows


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


def _class(counts: ClassCounts) -> str:
    return (
        f"{counts.events:,} of {count(counts.exposure, 'sequence')}, {counts.event_texts:,} of "
        f"{count(counts.texts, 'text')}"
    )
