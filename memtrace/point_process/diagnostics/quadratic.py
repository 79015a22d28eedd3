"""Tails of Cramer-von Mises' and Anderson-Darling's statistics: weighted sums of chi-squares."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats
from scipy.integrate import simpson

from memtrace.types import FloatArray

TERMS = 200
FREQUENCIES = np.linspace(1e-9, 200.0, 10_001)
SMALLEST = 1e-6
"""Below this tail the inversion loses its digits and the leading term of the tail takes over."""


PLACES = np.linspace(0.05, 30.0, 600)
"""Statistics, in units of the largest weight, between which the log tail is interpolated."""


@dataclass(frozen=True)
class _Integrand:
    """What Imhof's integral has in common for all statistics, at `FREQUENCIES`."""

    angle: FloatArray
    damping: FloatArray
    largest: float
    """The largest weight."""
    rest: float
    """Sum of the weights beyond `TERMS`, in units of the largest."""
    factor: float
    """Factor of the leading term of the tail."""


@cache
def _integrand(power: str) -> _Integrand:
    """Prepare the integral of a statistic.

    Imhof (1961): P(Q > x) = 1/2 + 1/pi int sin(theta(u)) / (u rho(u)) du with theta = sum
    arctan(l_j u) / 2 - x u / 2 and rho = prod (1 + l_j^2 u^2)^(1/4). Weights beyond `TERMS` enter
    by their mean.
    """
    j = np.arange(1, TERMS + 1)
    if power == "cramer-von mises":
        weights, mean, factor = 1 / (j * math.pi) ** 2, 1 / 6, math.sqrt(2)
    else:
        weights, mean, factor = 1 / (j * (j + 1.0)), 1.0, math.sqrt(3)
    # In units of the largest weight both sums need the same frequencies.
    scaled = weights / weights[0]
    u = FREQUENCIES
    return _Integrand(
        angle=sum(np.arctan(w * u) for w in scaled) / 2,
        damping=np.exp(sum(np.log1p((w * u) ** 2) for w in scaled) / 4) * u,
        largest=float(weights[0]),
        rest=mean / weights[0] - scaled.sum(),
        factor=factor,
    )


@cache
def _log_tail(power: str, place: int) -> float:
    """Return the log tail at one of `PLACES`."""
    known, v = _integrand(power), PLACES[place]
    wave = np.sin(known.angle - (v - known.rest) * FREQUENCIES / 2) / known.damping
    tail = 0.5 + simpson(wave, x=FREQUENCIES) / math.pi
    return float(np.log(np.clip(tail, SMALLEST / 10, 1.0)))


def quadratic_sf(value: float, power: str) -> float:
    """Return the limiting probability of a larger statistic.

    Args:
        value: The statistic.
        power: `cramer-von mises` (weights 1 / (j pi)^2) or `anderson-darling` (1 / (j (j + 1))).
    """
    known = _integrand(power)
    z = value / known.largest
    # Only the two places around the statistic: an integral costs half a millisecond.
    right = min(max(int(np.searchsorted(PLACES, z)), 1), len(PLACES) - 1)
    around = [_log_tail(power, right - 1), _log_tail(power, right)]
    tail = math.exp(float(np.interp(z, PLACES[right - 1 : right + 1], around)))
    if z <= PLACES[-1] and tail > SMALLEST:
        return tail
    return known.factor * 2 * float(stats.norm.sf(math.sqrt(z)))
