"""Local overdispersion: do neighbouring intervals differ by more than chance and a smooth rate?"""

import math
from dataclasses import dataclass

import numpy as np

from memtrace.point_process.windows import Windows
from memtrace.report.numbers import count
from memtrace.types import FloatArray

DRAWS = 999
FEWEST = 6
"""Intervals between checkpoints below which a smooth rate looks like texts that emerge together."""
HALF = 0.5
"""Added to counts, whose logarithms are then defined and nearly without bias."""
LARGE, LEVEL = 2.0, 0.05
"""Index, and the p-value below which it counts: from here intervals in time are too narrow."""


@dataclass(frozen=True)
class LocalOverdispersion:
    """How much more neighbouring intervals differ than smooth Poisson counts do."""

    index: float
    """1 for a Poisson process of whatever smooth rate."""
    p_value: float
    reason: str | None = None
    """Why values are NaN."""

    @property
    def widening(self) -> float:
        """Return how many times as wide intervals in time should be; 1 where they are sound."""
        found = self.index > LARGE and self.p_value < LEVEL
        return math.sqrt(self.index) if found else 1.0


def local_overdispersion(
    windows: Windows, u: FloatArray, rng: np.random.Generator
) -> LocalOverdispersion:
    """Compare the log rate of each interval with the straight line through its neighbours'.

    In the log a rate that falls or rises manifold from one wide interval to the next is nearly
    straight: as rates, its bend would look like texts that emerge together. A smooth rate leaves
    mean squares of about 1 in units of the Poisson variance; the p-value is that of Poisson counts
    of rates that are smoothed over three neighbours. With fewer than `FEWEST` intervals a bend
    cannot be told from texts that emerge together.

    Args:
        windows: Counts and exposures, W of them.
        u: Place of each, ascending, shape (W,).
        rng: For the simulation.
    """
    counts, exposures = windows.counts, windows.exposures.astype(float)
    if reason := _undefined(len(counts), int(counts.sum())):
        return LocalOverdispersion(math.nan, math.nan, reason)
    left = (u[2:] - u[1:-1]) / (u[2:] - u[:-2])

    def log_rate(y: FloatArray) -> FloatArray:
        return np.asarray(np.log((y + HALF) / exposures))

    y, three = counts.astype(float), np.ones(3)
    weights, smooth = y + HALF, log_rate(y)
    smooth[1:-1] = np.convolve(smooth * weights, three, "valid")
    smooth[1:-1] /= np.convolve(weights, three, "valid")
    mean = np.exp(smooth) * exposures
    mean *= y.sum() / mean.sum()
    share = 1 / (mean + HALF)
    variance = share[1:-1] + left**2 * share[:-2] + (1 - left) ** 2 * share[2:]

    def roughness(y: FloatArray) -> FloatArray:
        log = log_rate(y)
        bend = log[..., 1:-1] - left * log[..., :-2] - (1 - left) * log[..., 2:]
        return np.asarray((bend**2 / variance).mean(axis=-1))

    observed = float(roughness(y))
    drawn = roughness(rng.poisson(mean, (DRAWS, len(counts))).astype(float))
    return LocalOverdispersion(observed, float((1 + (drawn >= observed).sum()) / (DRAWS + 1)))


def _undefined(intervals: int, events: int) -> str | None:
    if intervals < FEWEST:
        return f"{count(intervals, 'interval')}: at least {FEWEST} are needed"
    return None if events else "no events"
