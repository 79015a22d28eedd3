"""Several fits side by side: one row each, p-values adjusted for their number.

Checkpoints of one model share most of their memorized sequences, so their p-values are dependent.
"""

from collections.abc import Sequence
from typing import Any

from memtrace.point_process.contrasts import adjust_p_values
from memtrace.point_process.result import PoissonResult


def comparison(fits: Sequence[PoissonResult]) -> list[dict[str, Any]]:
    """Return a row for each fit: events, rate, drift with its interval and adjusted p-values.

    The primary end point, the drift, is adjusted by Holm and by Benjamini and Yekutieli: both hold
    whatever the dependence.
    """
    p_values = [fit.trend.p_value for fit in fits]
    holm = adjust_p_values(p_values, "holm")
    by = adjust_p_values(p_values, "benjamini-yekutieli")
    return [
        {
            "label": fit.events.label,
            "events": fit.events.n_events,
            "texts": _texts(fit),
            "rate_per_million": fit.events.fraction * 1e6,
            "rate_ratio": fit.trend.rate_ratio,
            "ci90": fit.trend.interval(0.90),
            "p_value": fit.trend.p_value,
            "p_value_holm": float(holm[i]),
            "p_value_by": float(by[i]),
            "margin": fit.equivalence.margin,
            "equivalent": fit.equivalence.equivalent,
            "dispersion": fit.dispersion.binomial.value,
            "best_model": fit.best.name,
        }
        for i, fit in enumerate(fits)
    ]


def _texts(fit: PoissonResult) -> int | None:
    """Return how many texts the events are of, None where that is not known."""
    if fit.by_text is not None:
        return fit.by_text.rates.event_texts
    return fit.event_texts.texts if fit.event_texts else None
