"""The document of `fit-poisson --json`: every number of a fit under its key.

Undefined values are null, with a reason beside them.
"""

import math
from typing import Any

import numpy as np

from memtrace.point_process.contrasts import adjust_p_values
from memtrace.point_process.detectable import credibility, dispersion_power
from memtrace.point_process.diagnostics.checks import Checks
from memtrace.point_process.diagnostics.dispersion import LESS, Dispersion
from memtrace.point_process.events import EventSequence
from memtrace.point_process.models.trend import Trend
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.shares import RateComparison
from memtrace.point_process.texts.document import (
    COPIES,
    control_document,
    departures_document,
    texts_document,
)
from memtrace.point_process.verdict import verdict
from memtrace.report.json import json_safe

MISSING_RANGES_LISTED = 1000
"""A scan of a random sample leaves millions of gaps; the document lists the first ones."""
CURVE_POINTS = 41


def document(fit: PoissonResult) -> dict[str, Any]:
    """Return the document; rates are events per window, and so are differences of rates."""
    events = fit.events
    found = {
        "label": events.label,
        "source": events.source or "given positions, not a run",
        "events": events.n_events,
        "exposure": events.exposure,
        "window": fit.window,
        "window_count": len(fit.windows.counts),
        "unit": fit.unit,
        "seed": fit.seed,
        "rate_per_window": fit.rate_per_window,
        "rate_ci95": None if fit.has_copies else fit.rate_ci95,
        "rate_ci95_poisson": None if fit.has_copies else fit.rate_ci95_poisson,
        "rate_per_million": events.fraction * 1e6,
        "reason": _reason(fit),
        "dispersion": _rows(fit, _dispersion(fit.dispersion), "ci95", "ci95_poisson", "cv_upper95"),
        "trend": _row_trend(fit),
        "equivalence": _row_equivalence(fit),
        "detectable": _detectable(fit),
        "uniformity": _rows(fit, dict(vars(fit.uniformity)), "ks_upper95"),
        "change_point": _rows(fit, _change_point(fit), "ci95"),
        "departures": departures_document(fit.order.departures, copies=fit.has_copies),
        "models": [model.document() for model in fit.models],
        "best_model": fit.best.name,
        "rate_curve": _rows(fit, _curve(fit), "low", "high"),
        "contrasts": {name: _comparison(fit, one) for name, one in fit.contrasts.items()},
        "last_steps": _last_steps(fit),
        "scales": _scales(fit.checks),
        "checks": _checks(fit.checks),
        "coverage": _coverage(events),
        "texts": texts_document(
            fit.by_text, fit.by_text_reason, fit.event_texts, row_interval=fit.row_interval
        ),
        "control": control_document(fit.by_text, fit.by_text_reason, events),
        "verdict": verdict(fit),
    }
    safe: dict[str, Any] = json_safe(found)
    return safe


def _reason(fit: PoissonResult) -> str | None:
    if not fit.events.exposure:
        return "no exposed sequence was scanned"
    return COPIES if fit.has_copies else None


def _dispersion(d: Dispersion) -> dict[str, Any]:
    return {
        "index_poisson": d.poisson.value,
        "index_binomial": d.binomial.value,
        "ci95": d.binomial.ci95,
        "p_value": d.binomial.p_value,
        "p_over": d.binomial.p_over,
        "ci95_poisson": d.poisson.ci95,
        "p_value_poisson": d.poisson.p_value,
        "degrees_of_freedom": d.degrees_of_freedom,
        "method": d.method,
        "cv": d.cv,
        "cv_upper95": d.cv_upper95,
        "icc": d.icc,
        "reason": d.reason or (LESS if d.varies_less else None),
    }


def _rows(fit: PoissonResult, found: dict[str, Any], *intervals: str) -> dict[str, Any]:
    """Return what is known of rows; with copies without intervals, which would not hold."""
    if not fit.has_copies:
        return found
    return found | dict.fromkeys(intervals) | {"reason": found["reason"] or COPIES}


def _row_trend(fit: PoissonResult) -> dict[str, Any]:
    intervals = ("ci90", "ci95", "log_ci90", "log_ci95")
    found = _rows(fit, _trend(fit.trend), *intervals, "detectable_rate_ratio")
    if fit.order.no_ratio:
        sizes = dict.fromkeys(("rate_ratio", "log_rate_ratio", *intervals))
        return found | sizes | {"reason": fit.order.no_ratio}
    return found


def _row_equivalence(fit: PoissonResult) -> dict[str, Any]:
    found = vars(fit.equivalence) | {"reason": fit.trend.reason}
    return _rows(fit, found, "equivalent", "p_value")


def _trend(trend: Trend) -> dict[str, Any]:
    ratios = (trend.rate_ratio, trend.interval(0.95)[1], trend.detectable_ratio())
    return {
        "rate_ratio": trend.rate_ratio,
        "ci90": trend.interval(0.90),
        "ci95": trend.interval(0.95),
        "p_value": trend.p_value,
        "log_rate_ratio": trend.theta,
        "log_ci90": trend.log_interval(0.90),
        "log_ci95": trend.log_interval(0.95),
        "inflation": trend.inflation,
        "detectable_rate_ratio": trend.detectable_ratio(),
        "reason": trend.reason or ("too large to represent" if math.inf in ratios else None),
    }


def _detectable(fit: PoissonResult) -> dict[str, Any]:
    p, windows = fit.events.fraction, len(fit.windows.counts)
    power = dispersion_power(p, windows, fit.rate_per_window)
    excess = fit.dispersion.binomial.value - 1
    sizes = credibility(fit.trend.theta, excess, fit.rate_per_window)
    values = {
        "rate_ratio_80": fit.trend.detectable_ratio(),
        "credibility_events_trend": sizes.events_laplace,
        "credibility_windows_dispersion": sizes.windows_dispersion,
        "dispersion_standard_error": power.standard_error,
        "dispersion_poisson_expected": power.expected_poisson,
        "trend_hidden_from_dispersion": power.hidden_trend,
    }
    endless = "no sample would tell a departure of this size, or it is undefined"
    found = values | {"reason": None if all(map(math.isfinite, values.values())) else endless}
    return _rows(fit, found, *values)


def _change_point(fit: PoissonResult) -> dict[str, Any]:
    found, events = fit.change_point, fit.events
    missing = "sequences per step are unknown" if events.schedule is None else None
    endless = None if math.isfinite(found.rate_ratio) else "no event before the change"
    return {
        "index": found.index,
        "step": events.step_of(found.index),
        "rate_ratio": found.rate_ratio,
        "p_value": found.p_value,
        "ci95": found.ci95,
        "rate_before": found.rate_before * fit.window,
        "rate_after": found.rate_after * fit.window,
        "likelihood_ratio": found.likelihood_ratio,
        "reason": found.reason or missing or endless,
    }


def _curve(fit: PoissonResult) -> dict[str, Any]:
    curve = fit.spline
    if curve.model.reason:
        empty = dict.fromkeys(("index", "rate", "low", "high", "largest_departure"))
        return empty | {"reason": curve.model.reason}
    at = slice(None, None, max(1, len(curve.u) // (CURVE_POINTS - 1)))
    return {
        "index": curve.u[at] * fit.events.n,
        "rate": curve.rate[at] * fit.window,
        "low": curve.low[at] * fit.window,
        "high": curve.high[at] * fit.window,
        "largest_departure": curve.largest_departure,
        "reason": None,
    }


def _comparison(fit: PoissonResult, compared: RateComparison) -> dict[str, Any]:
    window = fit.window
    defined = math.isfinite(compared.ratio) and math.isfinite(compared.ratio_ci95[1])
    found = {
        "rate_difference": compared.difference * window,
        "rate_difference_ci95": [end * window for end in compared.difference_ci95],
        "rate_ratio": compared.ratio,
        "rate_ratio_ci95": compared.ratio_ci95,
        "p_value": compared.p_value,
        "reason": None if defined else "no event in one part: no ratio",
    }
    return _rows(fit, found, "rate_difference_ci95", "rate_ratio_ci95")


def _last_steps(fit: PoissonResult) -> list[dict[str, Any]]:
    compared = fit.last_steps
    adjusted = adjust_p_values([one.p_value for one in compared.values()])
    return [
        {"steps": k, **_comparison(fit, one), "p_value_holm": float(holm)}
        for (k, one), holm in zip(compared.items(), adjusted, strict=True)
    ]


def _scales(checks: Checks) -> dict[str, Any]:
    fano = checks.fano
    few = None if np.isfinite(fano.fano).any() else "too few windows or no events"
    return {
        "window": fano.length,
        "windows": fano.windows,
        "fano": fano.fano,
        "fano_band95": [fano.low, fano.high],
        "allan": fano.allan,
        "expected": fano.expected,
        "ripley": [{**vars(pair), "ratio": pair.ratio} for pair in checks.ripley],
        "reason": few,
    }


def _checks(checks: Checks) -> dict[str, Any]:
    names = ("gaps", "lewis_robinson", "ljung_box", "runs", "overdispersion")
    documents: dict[str, Any] = {name: dict(vars(getattr(checks, name))) for name in names}
    rescaled = {k: v for k, v in vars(checks.rescaling).items() if k != "gaps"}
    mil = {"p_value": checks.mil_hdbk_p_value}
    mil_reason = "no events or nothing else" if math.isnan(checks.mil_hdbk_p_value) else None
    documents |= {"rescaled_gaps": rescaled, "mil_hdbk": mil | {"reason": mil_reason}}
    for entry in documents.values():
        numbers = [v for v in entry.values() if isinstance(v, float)]
        if not entry.get("reason") and not all(map(math.isfinite, numbers)):
            entry["reason"] = "too few events for some of it"
    return documents


def _coverage(events: EventSequence) -> dict[str, Any]:
    missing = events.missing
    return {
        "expected": events.n,
        "seen": events.exposure,
        "missing_ranges": missing[:MISSING_RANGES_LISTED].tolist(),
        "missing_range_count": len(missing),
    }
