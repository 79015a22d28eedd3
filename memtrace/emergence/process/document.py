"""The document of `fit-poisson --time-scale emergence --json`.

What times between checkpoints cannot tell is null, with the reason.
"""

import math
from typing import Any

from memtrace.emergence.process.result import EXACT, EmergenceProcessResult
from memtrace.emergence.process.verdict import verdict
from memtrace.report.json import json_safe

UNDEFINED = ("uniformity", "control", "contrasts", "last_steps", "scales", "checks")


def document(fit: EmergenceProcessResult) -> dict[str, Any]:
    """Return the document; rates are emergences per text not yet memorized and step."""
    found, d, change = fit.histories, fit.dispersion, fit.change_point
    infinite = "no emergence before the change" if math.isinf(change.rate_ratio) else None
    safe: dict[str, Any] = json_safe(
        {
            "time_scale": "emergence",
            "label": fit.label,
            "suite": found.suite,
            "model": found.model,
            "sources": list(found.sources),
            "copies_known": found.copies_known,
            "near_copies": dict(zip(("texts", "passages"), found.near_copies, strict=True)),
            "copies_reason": f"{found.caveat}: {found.copies_reason}" if found.caveat else None,
            "step": int(found.checkpoints[-1]),
            "events": fit.n_events,
            "events_left_out": fit.left_out,
            "exposure": fit.exposure,
            "window": None,
            "window_reason": "a window is an interval between neighbouring checkpoints",
            "windows": {
                "start": fit.windows.start,
                "stop": fit.stop,
                "events": fit.windows.counts,
                "exposure": fit.windows.exposures,
            },
            "seed": fit.seed,
            "rate_per_window": None,
            "rate_ci95": fit.rate_ci95,
            "rate_per_text_step": fit.rate,
            "rate_reason": None if fit.exposure else "no text was at risk",
            "dispersion": {
                "index_poisson": d.index_poisson,
                "index_binomial": d.index,
                "ci95": d.ci95,
                "p_value": d.p_value,
                "degrees_of_freedom": d.degrees_of_freedom,
                "reason": d.reason,
            },
            "local_overdispersion": dict(vars(fit.local_overdispersion)),
            "trend": {
                "rate_ratio": fit.trend.rate_ratio,
                "ci90": fit.trend.interval(0.90),
                "ci95": fit.trend.interval(0.95),
                "p_value": fit.trend.p_value,
                "reason": fit.trend.reason or _unbounded(fit),
            },
            "equivalence": vars(fit.equivalence) | {"reason": fit.trend.reason},
            "change_point": {
                "index": None,
                "step": change.index,
                "rate_ratio": change.rate_ratio,
                "p_value": change.p_value,
                "reason": change.reason or infinite,
            },
            "models": [model.document() for model in fit.models],
            "best_model": fit.best.name,
            **{name: {"reason": EXACT} for name in UNDEFINED},
            "coverage": {
                "expected": found.total_steps,
                "seen": int(found.checkpoints[-1]),
                "missing_ranges": [],
                "reason": "in steps of training",
            },
            "verdict": verdict(fit),
        }
    )
    return safe


def _unbounded(fit: EmergenceProcessResult) -> str | None:
    ends = (fit.trend.rate_ratio, *fit.trend.interval(0.95))
    return "too large to represent" if math.inf in ends else None
