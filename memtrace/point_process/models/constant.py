"""The constant rate: exact intervals, its log-likelihood, and the control group."""

import math
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import special

from memtrace.point_process.model import Model
from memtrace.types import FloatArray


def garwood_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the exact two-sided interval of Poisson rates, elementwise (Garwood 1936)."""
    counts, time, tail = np.asarray(events), np.asarray(exposure, float), (1 - confidence) / 2
    low = np.where(counts > 0, special.gammaincinv(counts, tail), 0.0)
    return low / time, special.gammainccinv(counts + 1, tail) / time


def binomial_interval(
    events: npt.ArrayLike, exposure: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the exact interval of rates with at most one event a sequence, elementwise.

    Clopper and Pearson (1934). It is narrower than Garwood's by sqrt(1 - p), where p is the rate.
    """
    counts, others = np.asarray(events), np.asarray(exposure) - np.asarray(events)
    tail = (1 - confidence) / 2
    low = np.where(counts > 0, special.betaincinv(counts, others + 1, tail), 0.0)
    high = np.where(others > 0, special.betainccinv(counts + 1, others, tail), 1.0)
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
