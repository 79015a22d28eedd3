"""The document of `emergence --json` for memorization: every number of a fit under its key.

Undefined values are null, with a reason beside them.
"""

import math
from dataclasses import asdict
from typing import Any

from memtrace.emergence.control import Control
from memtrace.emergence.copies_effect import CopiesEffect
from memtrace.emergence.exposure_effect import NOT_FOLLOWED, ExposureEffect
from memtrace.emergence.hazard import HazardModel, Rate
from memtrace.emergence.panel import Panel
from memtrace.emergence.parametric import Parametric
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.timescales import QUARTILES, TimeScale
from memtrace.emergence.verdict import estimand, no_earlier_look, too_few, verdict
from memtrace.report.json import json_safe

NOTHING = "nothing emerged"
NOT_BOUNDED = "no text became extractable before exposure: the ratio has no upper bound"
NO_WIDTH = "none or all of those that were followed emerged: the share has no interval"
NOT_CUT = "all texts are followed to the end of training"
NOT_COMPARED = "at no time are there events among texts first seen early and late"
TOO_LARGE = "too large to represent"


def document(fit: EmergenceResult) -> dict[str, Any]:
    """Return the document; times are steps, rates are per text and step."""
    found = fit.histories
    safe: dict[str, Any] = json_safe(
        {
            "kind": "memorization",
            "suite": found.suite,
            "model": found.model,
            "min_probability": found.min_probability,
            "sources": list(found.sources),
            "total_steps": found.total_steps,
            "copies_known": found.copies_known,
            "near_copies": dict(zip(("texts", "passages"), found.near_copies, strict=True)),
            "copies_reason": f"{found.caveat}: {found.copies_reason}" if found.caveat else None,
            "texts": fit.texts,
            "seed": fit.seed,
            "outcomes": asdict(fit.outcomes),
            "checkpoints": [_with_reason(asdict(one)) for one in fit.checkpoints],
            "time_scales": {
                name: _time_scale(scale, fit) for name, scale in fit.time_scales.items()
            },
            "hazard": _model(fit.hazard),
            "hazard_by_checkpoint": [_rate(rate) for rate in fit.hazard_by_checkpoint],
            "hazard_since_exposure": [_rate(rate) for rate in fit.hazard_since_exposure],
            "regression": _model(fit.regression),
            "copies": asdict(fit.copies) | {"reason": _copies_reason(fit.copies)},
            "exposure_effect": _effect(fit.effect),
            "control": _control(fit.control),
            "local_overdispersion": asdict(fit.local_overdispersion),
            "forgetting": asdict(fit.forgetting),
            "learning": asdict(fit.learning),
            "panel": _panel(fit.panel),
            "panel_two_in_a_row": _panel(fit.steady) | {"confirmed": fit.confirmed},
            "distributions": [_distribution(one) for one in fit.distributions],
            "retention": asdict(fit.retention),
            "verdict": verdict(fit),
        }
    )
    return safe


def _with_reason(row: dict[str, Any]) -> dict[str, Any]:
    missing = [name for name in ("exposed", "unexposed") if not row[name]]
    reason = f"no {' and no '.join(missing)} text was evaluated" if missing else None
    return row | {"reason": reason}


def _copies_reason(found: CopiesEffect) -> str | None:
    unbounded = any(map(math.isinf, found.ci95))
    return found.reason or ("the data bound the exponent on one side only" if unbounded else None)


def _time_scale(scale: TimeScale, fit: EmergenceResult) -> dict[str, Any]:
    quartiles = {f"{part:g}": scale.among_emerged(part) for part in QUARTILES}
    return {
        "emerged": scale.emerged,
        "emerged_ci95": scale.emerged_ci95,
        "of": estimand(fit, scale.name),
        "since": scale.since,
        "at_risk": scale.at_risk,
        "first_seen": asdict(scale.first_seen) | {"reason": _not_compared(scale)},
        "emerged_by_quartile": {part: one.bounds for part, one in quartiles.items()},
        "emerged_by_quartile_ci95": {part: one.ci95 for part, one in quartiles.items()},
        "left": scale.left,
        "right": scale.right,
        "share": scale.share,
        "ci95": [scale.low, scale.high],
        "log_likelihood": scale.found.log_likelihood,
        "kkt": scale.found.kkt,
        "reason": _no_times(scale, fit),
    }


def _not_compared(scale: TimeScale) -> str | None:
    if not math.isnan(scale.first_seen.p_value):
        return None
    return NOT_CUT if scale.name == "share" else NOT_COMPARED


def _no_times(scale: TimeScale, fit: EmergenceResult) -> str | None:
    if not fit.outcomes.emerged:
        return NOTHING
    if reason := no_earlier_look(fit) or too_few(fit):
        return reason
    if not scale.given:
        return estimand(fit, scale.name)
    return NO_WIDTH if not 0 < scale.emerged < 1 else None


def _rate(rate: Rate) -> dict[str, Any]:
    missing = "all were memorized at once" if math.isnan(rate.rate) else None
    return asdict(rate) | {"reason": missing}


def _model(model: HazardModel) -> dict[str, Any]:
    names = model.coefficients
    fitted = model.reason is None
    return {
        "coefficients": names,
        "ci95": {name: model.ci95(name) if fitted else None for name in names},
        "p_value": {name: model.p_value(name) if fitted else None for name in names},
        "deviance": model.deviance,
        "degrees_of_freedom": model.degrees_of_freedom,
        "dispersion": model.dispersion,
        "reason": model.reason or _no_dispersion(model),
    }


def _effect(found: ExposureEffect) -> dict[str, Any]:
    unbounded = math.isinf(found.hazard_ratio + found.ci95[1])
    return asdict(found) | {"reason": found.reason or (NOT_BOUNDED if unbounded else None)}


def _no_dispersion(model: HazardModel) -> str | None:
    few = "no degrees of freedom are left for a dispersion"
    return few if math.isnan(model.dispersion) else None


def _control(control: Control) -> dict[str, Any]:
    return asdict(control) | {"reason": None if control.followed else NOT_FOLLOWED}


def _panel(panel: Panel) -> dict[str, Any]:
    endless = None if panel.forgetting else "nothing was forgotten"
    ends = (*panel.learning_ci95, *panel.forgetting_ci95)
    unbounded = "the data bound no rate from above" if math.inf in ends else None
    return asdict(panel) | {
        "stationary": panel.stationary,
        "mean_retention": panel.mean_retention,
        "reason": panel.reason or endless or unbounded,
    }


def _distribution(one: Parametric) -> dict[str, Any]:
    ends = [end for interval in one.intervals.values() for end in interval]
    too_large = None if all(map(math.isfinite, (one.shape, *ends))) else TOO_LARGE
    return asdict(one) | {"shape": one.shape, "reason": one.reason or too_large}
