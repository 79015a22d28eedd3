"""Answers of the public API to oracle cases about emergence: intervals, hazards, panels."""

import math
from typing import Any

import numpy as np

from memtrace.emergence.hazard import closed_form, constant_hazard
from memtrace.emergence.intervals import emergence_interval, normalized
from memtrace.emergence.panel import two_state_panel
from memtrace.emergence.parametric import fit_parametric
from memtrace.emergence.product_limit import cumulative_incidence, product_limit
from memtrace.emergence.turnbull import turnbull

Answers = dict[str, Any]


def numbers(values: list[Any]) -> np.ndarray:
    """Read a list with None for undefined and "Inf" for infinity."""
    return np.array([math.nan if value is None else float(value) for value in values])


def undefined(values: np.ndarray) -> list[float]:
    """Give what is infinite, a time that never came, as undefined."""
    return np.where(np.isinf(values), np.nan, values).tolist()


def survival_of(given: Answers) -> Answers:
    found = product_limit(given.get("exit", given.get("time")), given["event"],
                          entry=given.get("entry"))  # fmt: skip
    return {
        "time": found.time,
        "n_risk": found.at_risk,
        "n_event": found.events,
        "surv": found.survival,
        "std_err": found.standard_error,
        "lower95": found.low,
        "upper95": found.high,
        "nelson_aalen": found.cumulative_hazard,
    }


def competing(given: Answers) -> Answers:
    causes = max(given["status"])
    times, incidence = cumulative_incidence(given["time"], given["status"], causes)
    # cmprsk reports a grid of even times and the last one.
    last = max(given["time"])
    grid = sorted({*range(2, last + 1, 2), last})
    place = np.searchsorted(times, grid, side="right")
    answers = {f"cif_cause{i + 1}": np.append(0, row)[place] for i, row in enumerate(incidence)}
    return {"times": grid, **answers}


def grouped_hazard(given: Answers) -> Answers:
    names = ("events", "at_risk", "interval_length")
    events, at_risk, length = (np.array(given[name]) for name in names)
    constant = constant_hazard(events, at_risk, length)
    rates = closed_form(events, at_risk, length)
    return {
        "constant_rate": math.exp(constant.coefficients["log_hazard"]),
        "se_log": constant.standard_errors["log_hazard"],
        "deviance": constant.deviance,
        "df": constant.degrees_of_freedom,
        "piecewise_rate": [
            math.exp(constant_hazard(*one).coefficients["log_hazard"])
            for one in zip(*(np.split(a, len(a)) for a in (events, at_risk, length)), strict=True)
        ],
        "piecewise_closed_form": rates,
        "survival": np.exp(-np.cumsum(rates * length)),
    }


def bounds(given: Answers) -> Answers:
    exposure, total = np.array(given["exposure_step"]), given["total_steps"]
    first = numbers(given["first_memorized_checkpoint"])
    left, right = emergence_interval(exposure, first, given["checkpoints"])
    of_all, of_rest = (normalized(left, right, since, total) for since in (0 * exposure, exposure))
    return {
        "abs_low": of_all[0],
        "abs_high": undefined(of_all[1]),
        "rel_low": of_rest[0],
        "rel_high": undefined(of_rest[1]),
    }


def masses(given: Answers) -> Answers:
    left, right = numbers(given["left"]), numbers(given["right"])
    found = turnbull(left, right)
    ends = np.unique(np.concatenate((left, right[np.isfinite(right)])))
    shares = {f"cif_at_{end:g}": found.share_by(end)[0] for end in ends}
    return {
        "q": found.left,
        "p": found.right,
        "exact": found.exact,
        "mass": found.mass,
        "loglik": found.log_likelihood,
        "n": found.n,
        "kkt_max": found.kkt,
        **shares,
    }


def laws(given: Answers) -> Answers:
    left, right = numbers(given["left"]), numbers(given["right"])
    fits = {
        law: fit_parametric(left, right, distribution=law)
        for law in ("exponential", "weibull", "lognormal", "log-logistic")
    }
    second = (np.array(given["treat"]) == 2)[:, None].astype(float)
    treated = fit_parametric(left, right, distribution="weibull", covariates=second)
    weibull = fits["weibull"]
    both = {name.replace("-", ""): (fit.location, fit.scale) for name, fit in fits.items()}
    return {
        "exp_mu": fits["exponential"].location,
        "exp_loglik": fits["exponential"].log_likelihood,
        "weib_mu": weibull.location,
        "weib_scale": weibull.scale,
        "weib_loglik": weibull.log_likelihood,
        **both,
        "lognormal_loglik": fits["lognormal"].log_likelihood,
        "loglogistic_loglik": fits["log-logistic"].log_likelihood,
        "weib_treat2_coef": treated.coefficients[0],
        "weib_treat2_lr": 2 * (treated.log_likelihood - weibull.log_likelihood),
    }


def panel(given: Answers) -> Answers:
    found = two_state_panel([given["transition_counts"]], [float(given["delta"])])
    return {
        "p01": found.p01,
        "p10": found.p10,
        "stationary": found.stationary,
        "q01": found.learning,
        "q10": found.forgetting,
        "loglik": found.log_likelihood,
        "p01_ci95_cp": found.p01_ci95,
        "mean_memorised_spell_checkpoints": 1 / found.p10,
    }
