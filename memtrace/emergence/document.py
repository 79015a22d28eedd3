"""The document of `emergence --json` for memorization: every number of a fit under its key.

It computes nothing; undefined values are null, with a reason beside them.
"""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from memtrace.emergence.hazard import HazardModel, Rate
from memtrace.emergence.panel import Panel
from memtrace.emergence.parametric import Parametric
from memtrace.emergence.timescales import Clock
from memtrace.report.json import json_safe

if TYPE_CHECKING:
    from memtrace.emergence.fit import EmergenceFit

NOTHING = "nothing emerged"


def document(fit: "EmergenceFit") -> dict[str, Any]:
    """Return the document; times are steps, rates are per sequence and step."""
    found = fit.histories
    safe: dict[str, Any] = json_safe(
        {
            "kind": "memorization",
            "suite": found.suite,
            "model": found.model,
            "sources": list(found.sources),
            "total_steps": found.total_steps,
            "sequences": fit.sequences,
            "seed": fit.seed,
            "outcomes": asdict(fit.outcomes),
            "checkpoints": [_with_reason(asdict(one)) for one in fit.checkpoints],
            "clocks": {name: _clock(clock) for name, clock in fit.clocks.items()},
            "hazard": _model(fit.hazard),
            "hazard_by_checkpoint": [_rate(rate) for rate in fit.hazard_by_checkpoint],
            "hazard_since_exposure": [_rate(rate) for rate in fit.hazard_since_exposure],
            "regression": _model(fit.regression),
            "exposure_effect": _effect(fit.effect),
            "bursts": asdict(fit.bursts),
            "panel": _panel(fit.panel),
            "panel_two_in_a_row": _panel(fit.steady) | {"confirmed": fit.confirmed},
            "laws": [_law(law) for law in fit.laws],
            "spells": asdict(fit.spells),
            "verdict": fit.verdict,
        }
    )
    return safe


def _with_reason(row: dict[str, Any]) -> dict[str, Any]:
    missing = [name for name in ("exposed", "unexposed") if not row[name]]
    reason = f"no {' and no '.join(missing)} sequence was looked at" if missing else None
    return row | {"reason": reason}


def _clock(clock: Clock) -> dict[str, Any]:
    quartiles = {f"{part:g}": clock.among_emerged(part) for part in (0.25, 0.5, 0.75)}
    return {
        "emerged": clock.emerged,
        "emerged_ci95": clock.emerged_ci95,
        "emerged_by_quartile": quartiles,
        "left": clock.left,
        "right": clock.right,
        "share": clock.share,
        "ci95": [clock.low, clock.high],
        "log_likelihood": clock.found.log_likelihood,
        "kkt": clock.found.kkt,
        "reason": None if clock.emerged else NOTHING,
    }


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
        "reason": model.reason,
    }


def _effect(model: HazardModel) -> dict[str, Any]:
    """The intervals' own hazards are of no interest here."""
    if model.reason:
        return {"hazard_ratio": None, "ci95": None, "p_value": None, "reason": model.reason}
    low, high = model.ci95("exposed")
    return {
        "hazard_ratio": math.exp(model.coefficients["exposed"]),
        "ci95": (math.exp(low), math.exp(high)),
        "p_value": model.p_value("exposed"),
        "dispersion": model.dispersion,
        "reason": None,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    endless = None if math.isfinite(panel.mean_spell) else "nothing was forgotten"
    return asdict(panel) | {
        "stationary": panel.stationary,
        "mean_spell": panel.mean_spell,
        "reason": panel.reason or endless,
    }


def _law(law: Parametric) -> dict[str, Any]:
    return asdict(law) | {"shape": law.shape}
