"""Survival from counts at risk: the product limit, its intervals, and competing ends.

For exact times or times on a shared grid; intervals that overlap are in `turnbull`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.types import FloatArray


@dataclass(frozen=True, eq=False)
class ProductLimit:
    """Kaplan's and Meier's estimate at the times of events, ascending, each of shape (k,)."""

    time: FloatArray
    at_risk: FloatArray
    events: FloatArray
    survival: FloatArray
    """Share that is left after each time."""
    standard_error: FloatArray
    """Greenwood's, of the survival."""
    low: FloatArray
    """95% interval of the survival, on the log(-log) scale."""
    high: FloatArray
    cumulative_hazard: FloatArray
    """Nelson's and Aalen's estimate."""


def product_limit(
    time: npt.ArrayLike, event: npt.ArrayLike, *, entry: npt.ArrayLike | None = None
) -> ProductLimit:
    """Estimate survival from times that end in an event or are censored (Kaplan and Meier 1958).

    Args:
        time: When each observation ended, shape (n,); censored at a tied time counts as at risk.
        event: Whether it ended in the event, shape (n,).
        entry: When each came under observation, exclusive, shape (n,); 0 risk before it.
    """
    end, hit = np.asarray(time, float), np.asarray(event, bool)
    since = np.full(len(end), -np.inf) if entry is None else np.asarray(entry, float)
    times, events = np.unique(end[hit], return_counts=True)
    risk = _at_risk(times, end, since)
    survival = np.asarray(np.cumprod(1 - events / risk), float)
    low, high = log_log_interval(survival, risk, events.astype(float))
    with np.errstate(invalid="ignore"):
        error = survival * np.sqrt(_greenwood(risk, events.astype(float)))
    hazard = np.asarray(np.cumsum(events / risk), float)
    return ProductLimit(times, risk, events.astype(float), survival, error, low, high, hazard)


def log_log_interval(
    survival: FloatArray, at_risk: FloatArray, events: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the 95% interval S^exp(+-z sqrt(V) / log S), V the sum of d / (n (n - d)).

    Kalbfleisch and Prentice (2002), section 1.4. Before the first event it is [1, 1] and after the
    last observation [0, 0]; all arrays have shape (k,).
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log = np.log(survival)
        width = float(stats.norm.isf(0.025)) * np.sqrt(_greenwood(at_risk, events)) / -log
        low, high = survival ** np.exp(width), survival ** np.exp(-width)
    inside = (survival > 0) & (survival < 1) & np.isfinite(width)
    return np.where(inside, low, survival), np.where(inside, high, survival)


def cumulative_incidence(
    time: npt.ArrayLike, cause: npt.ArrayLike, causes: int
) -> tuple[FloatArray, FloatArray]:
    """Return how likely each of several causes has ended an observation (Aalen and Johansen 1978).

    Args:
        time: When each observation ended, shape (n,).
        cause: 0 for censored, else 1 to `causes`, shape (n,).
        causes: Number of causes.

    Returns:
        Times of any event, shape (k,), and the incidence by cause, shape (causes, k).
    """
    end, why = np.asarray(time, float), np.asarray(cause)
    times = np.unique(end[why > 0])
    risk = _at_risk(times, end, np.full(len(end), -np.inf))
    events = np.array([[(end[why == c] == t).sum() for t in times] for c in range(1, causes + 1)])
    left = np.cumprod(1 - events.sum(axis=0) / risk)
    before = np.concatenate(([1.0], left[:-1]))
    return times, np.cumsum(before * events / risk, axis=1)


def _at_risk(times: FloatArray, end: FloatArray, since: FloatArray) -> FloatArray:
    """Return how many had entered before each time and had not ended before it."""
    entered = np.searchsorted(np.sort(since), times, side="left")
    gone = np.searchsorted(np.sort(end), times, side="left")
    return (entered - gone).astype(float)


def _greenwood(at_risk: FloatArray, events: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        total: FloatArray = np.cumsum(events / (at_risk * (at_risk - events)))
    return total
