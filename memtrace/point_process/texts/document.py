"""The entries `control` and `texts` of `fit-poisson --json`."""

import math
from dataclasses import asdict
from typing import Any

from memtrace.point_process.events import EventSequence
from memtrace.point_process.texts.exposure_effect import EXACT_EVENTS, OnceEffect, StratifiedEffect
from memtrace.point_process.texts.result import ByText


def control_document(
    found: ByText | None, unknown: str | None, events: EventSequence
) -> dict[str, Any]:
    """Return the classes of exposure, and its effect on the share of texts that occur once.

    Args:
        found: Statistics by text.
        unknown: Why there are none.
        events: The events, whose sequences are counted in any case.
    """
    exposed: dict[str, Any] = {"events": events.n_events, "exposure": events.exposure}
    not_exposed = {
        "events": events.unexposed_events or 0,
        "exposure": events.unexposed_exposure or 0,
    }
    if found is None:
        exposed |= {"texts": None, "event_texts": None, "reason": unknown}
        return {
            "exposed": exposed,
            "not_exposed": not_exposed,
            **dict.fromkeys(("copy_exposed", "unexposed")),
            **_once(None),
            "p_value": None,
            "stratified": None,
            "reason": unknown,
        }
    return {
        **asdict(found.classes),
        "not_exposed": not_exposed,
        **_once(found.once),
        "p_value": found.sharp_null_p_value,
        "stratified": _stratified(found.stratified),
        "reason": found.reason or _repeated(found),
    }


def texts_document(found: ByText | None, unknown: str | None) -> dict[str, Any]:
    """Return the rate of memorized texts and what copies do to that of sequences."""
    keys = ("events", "exposure", "rate", "rate_ci95", "largest_share", "effective")
    if found is None:
        return {**dict.fromkeys((*keys, "design_effect", "sequence_rate_ci95")), "reason": unknown}
    rates = found.rates
    values = (
        rates.event_texts,
        rates.texts,
        rates.rate,
        rates.rate_ci95,
        rates.largest_share,
        rates.effective,
    )
    empty = None if rates.event_texts else "no memorized text"
    alike = None if math.isfinite(rates.design_effect) else "all sequences are memorized"
    return {
        **dict(zip(keys, values, strict=True)),
        "design_effect": rates.design_effect,
        "sequence_rate_ci95": rates.sequence_rate_ci95,
        "reason": empty or rates.reason or alike,
    }


def _once(effect: OnceEffect | None) -> dict[str, Any]:
    if effect is None:
        return dict.fromkeys(("once", "rate_difference", "rate_difference_ci95"))
    return {
        "once": {
            "exposed": {"events": effect.exposed[0], "texts": effect.exposed[1]},
            "unexposed": {"events": effect.unexposed[0], "texts": effect.unexposed[1]},
            "p_value": effect.p_value,
        },
        "rate_difference": effect.difference,
        "rate_difference_ci95": effect.ci95,
    }


def _stratified(effect: StratifiedEffect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    values = asdict(effect)
    numbers = [value for value in values.values() if isinstance(value, float)]
    many = f"more than {EXACT_EVENTS:,} memorized texts, or none in one of the groups"
    return values | {"reason": None if all(map(math.isfinite, numbers)) else many}


def _repeated(found: ByText) -> str | None:
    """Return what nulls are there for where texts that occur once have an effect."""
    whole = found.stratified is not None and math.isfinite(found.sharp_null_p_value)
    return None if whole else "one of the groups is empty"
