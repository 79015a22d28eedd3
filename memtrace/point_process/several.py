"""Several fits side by side: one row each, p-values adjusted for their number.

Checkpoints of one model share most of their memorized sequences, so their p-values are dependent.
"""

import math
from collections.abc import Sequence
from typing import Any

from memtrace.point_process.contrasts import adjust_p_values
from memtrace.point_process.result import PoissonResult
from memtrace.types import UNDEFINED


def comparison(fits: Sequence[PoissonResult]) -> list[dict[str, Any]]:
    """Return a row for each fit: events, rate, drift with its interval and adjusted p-values.

    The primary end point, the drift of all rows, with copies that of texts that occur once, is
    adjusted by Holm and by Benjamini and Yekutieli: both hold whatever the dependence. Fits that
    could not find a drift of `UNDERPOWERED` are no members of that family: how many events there
    are says so, whatever their order. The p-value of any departure is adjusted by Holm too.
    """
    primary = [fit.primary for fit in fits]
    p_values = [order.trend.p_value if order else math.nan for order in primary]
    able = [order is not None and order.powered for order in primary]
    tested = [p if can else math.nan for p, can in zip(p_values, able, strict=True)]
    holm = adjust_p_values(tested, "holm")
    by = adjust_p_values(tested, "benjamini-yekutieli")
    of_any = [fit.gate.departures.p_any for fit in fits]
    any_holm = adjust_p_values(of_any, "holm")
    return [
        {
            "label": fit.events.label,
            "events": fit.events.n_events,
            "texts": _texts(fit),
            "rate_per_million": fit.events.fraction * 1e6,
            "rate_ratio": order.trend.rate_ratio if order else math.nan,
            "ci90": order.trend.interval(0.90) if order else UNDEFINED,
            "p_value": p_values[i],
            "p_value_holm": float(holm[i]),
            "p_value_by": float(by[i]),
            "margin": fit.equivalence.margin,
            "equivalent": order.equivalence.equivalent if order else None,
            "powered": able[i],
            "departures": fit.gate.departures.found,
            "p_value_any": of_any[i],
            "p_value_any_holm": float(any_holm[i]),
            "dispersion": fit.dispersion.binomial.value,
            "best_model": fit.best.name,
        }
        for i, (fit, order) in enumerate(zip(fits, primary, strict=True))
    ]


def _texts(fit: PoissonResult) -> int | None:
    """Return how many texts the events are of, None where that is not known."""
    if fit.by_text is not None:
        return fit.by_text.rates.event_texts
    return fit.event_texts.texts if fit.event_texts else None
