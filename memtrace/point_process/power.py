"""How often does each test say that order matters? By simulation, at any rate over training.

At a constant rate it is the tests' size, otherwise their power.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from memtrace.point_process.diagnostics.dispersion import dispersion, pearson_residuals
from memtrace.point_process.diagnostics.gaps import geometric_gaps, lewis_robinson
from memtrace.point_process.diagnostics.mil_hdbk import mil_hdbk_p
from memtrace.point_process.diagnostics.serial import ljung_box, runs
from memtrace.point_process.diagnostics.uniformity import uniformity
from memtrace.point_process.events import EventSequence
from memtrace.point_process.models.piecewise import piecewise_constant, tenths
from memtrace.point_process.models.trend import log_linear


@dataclass(frozen=True)
class Power:
    """Shares of draws in which a test rejected random order."""

    draws: int
    level: float
    rejected: dict[str, float]
    """By the name of the test."""
    equivalent: float
    """Share of draws in which a drift of the margin was ruled out."""
    mean_events: float


def order_p_values(
    events: EventSequence, window: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return the p-value of every quick test of random order, by its name.

    Args:
        events: Events and exposure.
        window: Length of a window in sequences.
        rng: For tests that simulate where events are sparse.
    """
    windows, even = events.windows(window), uniformity(events)
    serial, ranks = runs(events.ranks, events.exposure), events.ranks
    parts = piecewise_constant(events, tenths(events), "tenths", rng)
    u = (ranks + 0.5) / max(events.exposure, 1)
    return {
        "trend": log_linear(events).p_value,
        "Laplace": even.laplace_p_value,
        "Kolmogorov-Smirnov": even.p_value,
        "Kuiper": even.kuiper_p_value,
        "Cramer-von Mises": even.cramer_von_mises_p_value,
        "Anderson-Darling": even.anderson_darling_p_value,
        "Neyman": even.neyman_p_value,
        "MIL-HDBK-189": mil_hdbk_p(ranks, events.exposure),
        "Lewis-Robinson": lewis_robinson(u).p_value,
        "tenths": float("nan") if parts.p_value is None else parts.p_value,
        "dispersion": dispersion(windows, rng=rng).binomial.p_value,
        "Ljung-Box": ljung_box(pearson_residuals(windows), rng=rng).p_value,
        "runs": serial.p_value,
        "gaps": geometric_gaps(np.diff(ranks)).p_value,
    }


def simulate_power(
    draw: Callable[[np.random.Generator], EventSequence],
    draws: int,
    rng: np.random.Generator,
    *,
    window: int = 512,
    margin: float = 1.05,
    level: float = 0.05,
) -> Power:
    """Draw events again and again and count the tests that reject random order.

    Args:
        draw: Draws events, given a generator.
        draws: Number of draws.
        rng: Source of randomness.
        window: Length of a window in sequences.
        margin: Rate ratio that counts as a drift.
        level: Level of the tests.
    """
    found: list[dict[str, float]] = []
    equivalent, events = 0, 0
    for _ in range(draws):
        drawn = draw(rng)
        found.append(order_p_values(drawn, window, rng))
        equivalent += bool(log_linear(drawn).equivalence(margin).equivalent)
        events += drawn.n_events
    rejected = {
        name: float(np.mean([one[name] <= level for one in found])) for name in (found or [{}])[0]
    }
    return Power(draws, level, rejected, equivalent / max(draws, 1), events / max(draws, 1))
