"""Local overdispersion: do neighbouring intervals differ by more than chance and a smooth rate?"""

import math
from dataclasses import dataclass

import numpy as np

from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray

DRAWS = 999
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
    """Compare the rate of each interval with the straight line through its neighbours' rates.

    A rate that changes smoothly leaves mean squares of about 1 in units of the Poisson variance,
    whatever its course; texts that emerge together leave more. The p-value is that of Poisson
    counts of the means of three neighbours.

    Args:
        windows: Counts and exposures, W of them.
        u: Place of each, ascending, shape (W,).
        rng: For the simulation.
    """
    counts, exposures = windows.counts, windows.exposures.astype(float)
    if len(counts) < 3 or not counts.sum():
        return LocalOverdispersion(
            math.nan, math.nan, "too few intervals" if len(counts) < 3 else "no events"
        )
    three = np.array([1.0, 1.0, 1.0])
    smooth = np.convolve(counts, three, "same") / np.convolve(exposures, three, "same")
    part = (u[1:-1] - u[:-2]) / (u[2:] - u[:-2])

    def roughness(y: FloatArray) -> FloatArray:
        rate = y / exposures
        bend = rate[..., 1:-1] - (1 - part) * rate[..., :-2] - part * rate[..., 2:]
        scale = 1 / exposures[1:-1] + (1 - part) ** 2 / exposures[:-2] + part**2 / exposures[2:]
        variance = smooth[1:-1] * scale
        found = np.divide(bend**2, variance, out=np.zeros_like(bend), where=variance > 0)
        return np.asarray(found.mean(axis=-1))

    observed = float(roughness(counts.astype(float)))
    drawn = roughness(rng.poisson(smooth * exposures, (DRAWS, len(counts))).astype(float))
    return LocalOverdispersion(observed, float((1 + (drawn >= observed).sum()) / (DRAWS + 1)))
