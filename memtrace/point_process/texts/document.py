"""The entries `control` and `texts` of `fit-poisson --json`."""

import math
from dataclasses import asdict
from typing import Any

from memtrace.point_process.departures import LEVEL, Departures
from memtrace.point_process.events import EventSequence
from memtrace.point_process.strata import TextStratum
from memtrace.point_process.texts.exposure_effect import EXACT_EVENTS, OnceEffect, StratifiedEffect
from memtrace.point_process.texts.order import RankTest
from memtrace.point_process.texts.rates import TextRates
from memtrace.point_process.texts.result import ByText
from memtrace.point_process.texts.text_order import TextOrder
from memtrace.texts.groups import EventTexts
from memtrace.texts.near import NearCounts

COPIES = "sequences are copies of one another: the end point is that of `texts`"


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
        "events": events.not_exposed_events or 0,
        "exposure": events.not_exposed_exposure or 0,
    }
    if found is None:
        exposed |= {"texts": None, "event_texts": None, "reason": unknown}
        return {
            "exposed": exposed,
            "not_exposed": not_exposed,
            **dict.fromkeys(("copy_exposed", "unexposed", "near_copy_exposed")),
            **_once(None),
            "p_value": None,
            "stratified": None,
            "reason": unknown,
        }
    return {
        **asdict(found.classes),
        "not_exposed": not_exposed,
        "near_copy_exposed": {
            "events": found.near.unexposed_memorized,
            "exposure": found.near.unexposed,
        },
        **_once(found.once),
        "p_value": found.sharp_null_p_value,
        "stratified": _stratified(found.stratified),
        "reason": found.reason or _repeated(found),
    }


def texts_document(
    found: ByText | None,
    unknown: str | None,
    hashed: EventTexts | None,
    *,
    row_interval: bool = False,
) -> dict[str, Any]:
    """Return the rate of memorized texts, what copies do to that of sequences, and their order.

    Args:
        found: Statistics by text.
        unknown: Why there are none.
        hashed: How the events fall on texts, where only that is known.
        row_interval: Also give the interval of the share of sequences.
    """
    keys = (
        "exposure",
        "rate",
        "rate_ci95",
        "design_effect",
        "near_copies",
        "strata",
        "trend",
    )
    if found is None:
        known: dict[str, Any] = {"events": None, "largest_share": None, "effective": None}
        if hashed is not None:
            known = {
                "events": hashed.texts,
                "largest_share": hashed.largest_share,
                "effective": hashed.effective,
            }
        return {**known, **dict.fromkeys(keys), "reason": unknown}
    rates = found.rates
    empty = None if rates.event_texts else "no memorized text"
    return {
        "events": rates.event_texts,
        "exposure": rates.texts,
        "rate": rates.rate,
        "rate_ci95": rates.rate_ci95,
        "largest_share": rates.largest_share,
        "effective": rates.effective,
        "design_effect": rates.design_effect,
        **({"sequence_rate_ci95": rates.sequence_rate_ci95} if row_interval else {}),
        "near_copies": _near_copies(found.near),
        "strata": [_stratum(one) for one in found.strata],
        "trend": _order(found.order),
        "reason": empty or rates.reason or _no_design_effect(rates),
    }


def _no_design_effect(rates: TextRates) -> str | None:
    """Return why the design effect is not defined: the variance of the share is 0, or not known."""
    if rates.texts < 2:
        return "one text"
    return "every text is memorized" if rates.event_texts == rates.texts else None


def _near_copies(near: NearCounts) -> dict[str, int]:
    names = ("texts", "passages", "memorized_texts", "memorized_passages")
    return {name: getattr(near, name) for name in names}


def _stratum(stratum: TextStratum) -> dict[str, Any]:
    share = stratum.events / stratum.texts if stratum.texts else None
    why = None if stratum.texts else "no text occurs so often"
    return vars(stratum) | {"rate": share, "reason": why}


def _order(order: TextOrder) -> dict[str, Any]:
    once, trend = order.once, order.once.trend
    ends = {
        "rate_ratio": trend.rate_ratio,
        "ci90": trend.interval(0.90),
        "ci95": trend.interval(0.95),
    }
    finite = all(map(math.isfinite, (trend.rate_ratio, *trend.interval(0.95))))
    why = None if finite else "too large to represent"
    if once.no_ratio:
        ends = dict.fromkeys(ends)
    return {
        "by_text": _rank_test(order.linear),
        "last_exposure": _rank_test(order.last),
        "ks": vars(order.distance),
        "too_few_texts": order.few,
        "once": {
            "events": once.events.n_events,
            "exposure": once.events.exposure,
            **ends,
            "p_value": trend.p_value,
            "equivalence": vars(once.equivalence) | {"reason": trend.reason},
            "reason": once.no_ratio or why,
        },
        "departures": departures_document(once.departures),
    }


def _rank_test(test: RankTest) -> dict[str, Any]:
    values = {"z": test.z, "p_value": test.p_value, "texts": test.texts}
    return values | {"reason": "no order to test" if math.isnan(test.p_value) else None}


def departures_document(found: Departures, *, copies: bool = False) -> dict[str, Any]:
    """Return the tests behind the gate of the verdict, and what they found.

    Args:
        found: The departures.
        copies: Whether some of the events are copies: then there are no intervals.
    """
    undefined = any(math.isnan(one.p_value) for one in found.tests)
    why = "some tests are undefined" if undefined else None
    return {
        "level": LEVEL,
        "tests": [
            vars(one) | {"reason": "undefined here" if math.isnan(one.p_value) else None}
            for one in found.tests
        ],
        "found": found.found,
        "shape": found.shape,
        "alternatives": found.alternatives,
        "dispersion_of_steps": _steps(found, copies=copies),
        "reason": why or (None if found.shape else "no shape was found"),
    }


def _steps(found: Departures, *, copies: bool) -> dict[str, Any] | None:
    if found.steps is None:
        return None
    index = found.steps.binomial
    return {
        "index_binomial": index.value,
        "ci95": None if copies else index.ci95,
        "p_value": index.p_value,
        "reason": found.steps.reason or (COPIES if copies else None),
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
