"""Tails of Cramer-von Mises' and Anderson-Darling's statistics: weighted sums of chi-squares.

It knows weights only: what the statistic was computed from is the caller's affair.
"""

import math
from functools import cache

import numpy as np
from scipy import stats
from scipy.integrate import simpson

from memtrace.types import FloatArray

TERMS = 200
FREQUENCIES = np.linspace(1e-9, 200.0, 10_001)
SMALLEST = 1e-6
"""Below this tail the inversion loses its digits and the leading term of the tail takes over."""


@cache
def _tail_table(power: str) -> tuple[FloatArray, FloatArray, float, float]:
    """Return x, log tail at x, the largest weight and the factor of the leading term.

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
    rest = mean / weights[0] - scaled.sum()
    u = FREQUENCIES
    angle = sum(np.arctan(w * u) for w in scaled) / 2
    damping = np.exp(sum(np.log1p((w * u) ** 2) for w in scaled) / 4) * u
    x = np.linspace(0.05, 30.0, 600)
    tail = [0.5 + simpson(np.sin(angle - (v - rest) * u / 2) / damping, x=u) / math.pi for v in x]
    return x, np.log(np.clip(tail, SMALLEST / 10, 1.0)), float(weights[0]), factor


def quadratic_sf(value: float, power: str) -> float:
    """Return the limiting probability of a larger statistic.

    Args:
        value: The statistic.
        power: `cramer-von mises` (weights 1 / (j pi)^2) or `anderson-darling` (1 / (j (j + 1))).
    """
    x, log_tail, largest, factor = _tail_table(power)
    z = value / largest
    tail = math.exp(float(np.interp(z, x, log_tail)))
    if z <= x[-1] and tail > SMALLEST:
        return tail
    return factor * 2 * float(stats.norm.sf(math.sqrt(z)))
