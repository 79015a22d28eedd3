"""The constant rate: exact intervals, its log-likelihood, and the control group."""

import math
from functools import partial

import numpy as np
import numpy.typing as npt
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.rates import confint_poisson

from memtrace.point_process.model import Model
from memtrace.types import FloatArray


def garwood_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the exact two-sided interval of Poisson rates, elementwise (Garwood 1936)."""
    counts = np.asarray(events)
    low, high = confint_poisson(
        counts if counts.ndim else counts.item(),
        np.asarray(exposure) if np.ndim(exposure) else float(np.asarray(exposure)),
        method="exact-c",
        alpha=1 - confidence,
    )
    return low, high


def binomial_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the exact interval of rates with at most one event a sequence, elementwise.

    Clopper and Pearson (1934). It is narrower than Garwood's by sqrt(1 - p), where p is the rate.
    """
    low, high = proportion_confint(
        np.asarray(events), np.asarray(exposure), alpha=1 - confidence, method="beta"
    )
    return low, high


def homogeneous(n_events: int, exposure: float) -> Model:
    """Fit a constant rate: n log(n / T) - n, with 0 log 0 = 0."""
    rate = n_events / exposure if exposure else math.nan
    reason = None if n_events else "no events" if exposure else "no exposed sequence was scanned"
    log_likelihood = n_events * math.log(rate) - n_events if n_events else 0.0 * rate
    return Model(
        "homogeneous",
        log_likelihood,
        {"rate_per_sequence": rate},
        n_events,
        rate=partial(_constant_rate, rate=rate),
        reason=reason,
    )


def _constant_rate(u: FloatArray, rate: float) -> FloatArray:
    return np.full(np.shape(u), rate)
