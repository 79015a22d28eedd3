"""The document of `test-order --json`: what is undefined is null, with the reason."""

import math
from typing import Any

from memtrace.likelihood.difference import Difference
from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.verdict import adjusted_p_values, verdict
from memtrace.likelihood.ranks import RankCorrelation
from memtrace.likelihood.recency import AgeBin, Recency
from memtrace.report.json import json_safe

NO_BASELINE = "no earlier checkpoint with likelihoods"


def document(fit: OrderResult) -> dict[str, Any]:
    """Return the document; differences are in nats a sequence."""
    safe: dict[str, Any] = json_safe(
        {
            "label": fit.source.label,
            "step": fit.source.step,
            "sources": fit.source.runs,
            "baseline": fit.source.baseline,
            "scanned": fit.source.part or "all",
            "sequences": fit.rows,
            "texts": fit.rows if fit.copies_known else None,
            "texts_reason": fit.source.copies_reason,
            "continuation_tokens": fit.tokens,
            "exact_ranks": fit.exact,
            "seed": fit.seed,
            "spearman": _correlation(fit.spearman),
            "partial": _correlation(fit.partial),
            "exposed_minus_unexposed": {
                **_difference(fit.difference, fit.tokens),
                "unadjusted": _difference(fit.raw, fit.tokens),
            },
            "equivalence": {
                "margin_nats_per_token": fit.equivalence.margin,
                "equivalent": fit.equivalence.equivalent,
                "p_value": fit.equivalence.p_value,
                "reason": fit.equivalence.reason,
            },
            "recency": [_age(one) for one in fit.recency.bins],
            "recency_curve": _curve(fit.recency, fit.ages.unit),
            "controls": {
                "unexposed": _correlation(fit.controls.unexposed),
                "baseline": _correlation(fit.controls.baseline),
                "balance": {
                    "p_value": fit.controls.balance,
                    "reason": _balance_reason(fit.controls.balance),
                },
                "failed": list(fit.controls.failed),
            },
            "adjusted_p_values": adjusted_p_values(fit),
            "verdict": verdict(fit),
        }
    )
    return safe


def _correlation(found: RankCorrelation | None) -> dict[str, Any]:
    if found is None:
        keys = ("n", "rho", "ci95", "p_value", "detectable")
        return {**dict.fromkeys(keys), "reason": NO_BASELINE}
    return {
        "n": found.n,
        "rho": found.rho,
        "ci95": found.ci95,
        "p_value": found.p_value,
        "detectable": found.detectable,
        "reason": found.reason
        or ("so few rows show one near 1 at best" if math.isnan(found.detectable) else None),
    }


def _difference(found: Difference, tokens: int) -> dict[str, Any]:
    return {
        "nats": found.nats,
        "standard_error": found.standard_error,
        "ci95": found.interval(),
        "p_value": found.p_value,
        "nats_per_token": found.nats / tokens,
        "detectable": found.detectable,
        "exposed": found.exposed,
        "unexposed": found.unexposed,
        "adjusted": found.adjusted,
        "reason": found.reason,
    }


def _age(one: AgeBin) -> dict[str, Any]:
    return {
        "steps_ago": [one.steps_ago[0], one.steps_ago[1] - 1],
        "sequences": one.n,
        "nats": one.nats,
        "standard_error": one.standard_error,
        "ci95": one.ci95,
        "band95": one.band95,
    }


def _curve(found: Recency, unit: str) -> dict[str, Any]:
    largest = found.largest
    why = "relative to the oldest ages: no unexposed row was scanned" if found.relative else None
    none = None if largest else "no age whose band leaves out 0"
    return {
        "unit": unit,
        "relative": found.relative,
        "critical": found.critical,
        "p_value": found.p_value,
        "largest_steps_ago": [largest.steps_ago[0], largest.steps_ago[1] - 1] if largest else None,
        "retention": found.retention,
        "reason": found.reason or why or none,
    }


def _balance_reason(p: float | None) -> str | None:
    if p is None:
        return NO_BASELINE
    return "one of the groups is empty, or all baselines are the same" if math.isnan(p) else None
