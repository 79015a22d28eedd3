"""Does the rate follow a power of training time? Crow's process, and the MIL-HDBK-189 test.

A power is rarely apt here: it puts all its change at the start of training.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import optimize, stats

from memtrace.point_process.diagnostics.mil_hdbk import mil_hdbk_p
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.models.trend import observed_axis
from memtrace.types import UNDEFINED, FloatArray, Interval


@dataclass(frozen=True)
class PowerLaw:
    """Rate proportional to u^(beta - 1): falling if beta < 1, constant at 1."""

    beta: float
    beta_unbiased: float
    """(n - 1) / n beta."""
    ci95: Interval
    """Exact, of a Poisson process: beta chi2_q(2 n) / 2 n (Crow 1974)."""
    cramer_von_mises: float
    """Crow's C2_M with the unbiased beta; NaN for fewer than two events."""
    mil_hdbk: float
    """2 sum log(1 / u)."""
    degrees_of_freedom: int
    p_lower: float
    """Probability of a smaller value at a constant rate: small if the rate rises."""
    p_upper: float
    reason: str | None = None
    """Why values are NaN."""

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of a constant rate: twice the smaller tail."""
        return float(np.minimum(1.0, 2 * np.minimum(self.p_lower, self.p_upper)))


def power_law(u: FloatArray) -> PowerLaw:
    """Fit a power law to times as shares of the window, observation stopped at time 1.

    For a process stopped at its n-th event give the first n - 1 times as shares of the last one.

    Args:
        u: Times in (0, 1], shape (n,). An index is taken at its middle, so it is never 0.
    """
    n, nan = len(u), math.nan
    total = float(-np.log(u).sum())
    if n == 0 or total == 0:
        reason = "no events" if n == 0 else "every event lies at the very end"
        return PowerLaw(nan, nan, UNDEFINED, nan, nan, 2 * n, nan, nan, reason)
    beta = n / total
    low, high = (beta * float(stats.chi2.ppf(q, 2 * n)) / (2 * n) for q in (0.025, 0.975))
    unbiased = beta * (n - 1) / n
    plotting = (2 * np.arange(1, n + 1) - 1) / (2 * n)
    return PowerLaw(
        beta=beta,
        beta_unbiased=unbiased,
        ci95=(low, high),
        cramer_von_mises=1 / (12 * n) + float(((np.sort(u) ** unbiased - plotting) ** 2).sum())
        if n > 1
        else nan,
        mil_hdbk=2 * total,
        degrees_of_freedom=2 * n,
        p_lower=float(stats.chi2.cdf(2 * total, 2 * n)),
        p_upper=float(stats.chi2.sf(2 * total, 2 * n)),
    )


def power_law_model(events: EventSequence) -> Model:
    """Fit a power law to events on the observed part of the axis.

    beta solves n / beta + sum log u = n d log(integral u^(beta - 1) du) / d beta; on a full axis it
    is n / sum log(1 / u). The interval is that of beta, for the finite population.
    """
    name, n = "power law", events.n_events
    if n == 0 or n == events.exposure:
        text = "no events" if n == 0 else "every observed sequence is an event"
        return undefined_model(name, n, text)
    middle, half, mass = observed_axis(events)
    low = np.maximum(middle + 0.5 - half, 0.0)
    high, weight = np.minimum(middle + 0.5 + half, 1.0), mass / (2 * half)
    mean_log = float(np.log((events.positions + 0.5) / events.n).mean())

    def log_integral(beta: float) -> float:
        return math.log(float((weight * (high**beta - low**beta)).sum()) / beta)

    def loss(log_beta: float) -> float:
        beta = math.exp(log_beta)
        return log_integral(beta) - (beta - 1) * mean_log

    found = optimize.minimize_scalar(
        loss, bounds=(-7, 7), method="bounded", options={"xatol": 1e-10}
    )
    beta = math.exp(float(found.x))
    gain = 2 * n * (loss(0.0) - float(found.fun))
    # -log u is exponential under the fit, so log beta has variance 1 / n, times 1 - p.
    width = 1.96 * math.sqrt((1 - events.fraction) / n)
    scale = n / math.exp(log_integral(beta)) / events.n
    return Model(
        name,
        homogeneous(n, events.exposure).log_likelihood + gain / 2,
        {"rate_per_sequence_end": scale, "beta": beta},
        n,
        intervals={"beta": (beta * math.exp(-width), beta * math.exp(width))},
        likelihood_ratio=max(gain, 0.0),
        p_value=mil_hdbk_p(events.ranks, events.exposure),
        rate=partial(_power_rate, scale=scale, beta=beta),
    )


def _power_rate(u: FloatArray, scale: float, beta: float) -> FloatArray:
    return scale * u ** (beta - 1)
