"""Tails of Cramer-von Mises' and Anderson-Darling's statistics: weighted sums of chi-squares."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special, stats
from scipy.integrate import simpson

from memtrace.types import FloatArray

TERMS = 200
FREQUENCIES = np.linspace(1e-9, 200.0, 10_001)
SMALLEST = 1e-6
"""Below this tail the inversion loses its digits and the leading term of the tail takes over."""

FAR = 1e-5
"""Below this tail the corrections for few values are no longer right."""
NEAR = 1e-3
"""Above this tail the short formula of Anderson-Darling's limit has all digits that its correction
for few values has."""
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
    # Only the four places around the statistic: an integral costs half a millisecond.
    first = min(max(int(np.searchsorted(PLACES, z)) - 2, 0), len(PLACES) - 4)
    around = [_log_tail(power, first + i) for i in range(4)]
    t = (z - PLACES[first]) / (PLACES[1] - PLACES[0])
    lagrange = (-(t - 1) * (t - 2) * (t - 3) / 6, t * (t - 2) * (t - 3) / 2,
                -t * (t - 1) * (t - 3) / 2, t * (t - 1) * (t - 2) / 6)  # fmt: skip
    if z < PLACES[0]:
        return 1.0
    tail = min(math.exp(sum(w * at for w, at in zip(lagrange, around, strict=True))), 1.0)
    if z <= PLACES[-1] and tail > SMALLEST:
        return tail
    return known.factor * 2 * float(stats.norm.sf(math.sqrt(z)))


def finite_sf(value: float, power: str, n: float) -> float:
    """Return the probability of a larger statistic of n values, with the terms of order 1 / n.

    Cramer-von Mises: Csorgo and Faraway (1996), equations 1.8 and 1.10. Anderson-Darling:
    Marsaglia and Marsaglia (2004), their fit to simulated distributions, right to 5 digits.
    Beyond a tail of `FAR` the limit is the larger, and is returned.

    Args:
        value: The statistic.
        power: As for `quadratic_sf`.
        n: Number of values; need not be whole.
    """
    limit = quadratic_sf(value, power)
    if limit < FAR:
        return limit
    if power == "anderson-darling":
        below = _anderson_darling_limit(value) if limit > NEAR else 1 - limit
        return float(np.clip(1 - below - _anderson_darling_error(below, n), FAR / 10, 1.0))
    return float(np.clip(limit - _cramer_von_mises_term(value, 1 - limit) / n, FAR / 10, 1.0))


def _cramer_von_mises_term(x: float, limit: float) -> float:
    """Return psi_1(x), of which 1 / n is the first correction of the distribution function."""
    k = np.arange(12)
    root = 2 * math.sqrt(x)
    # Half-integer gamma functions over factorials.
    half = np.exp(special.gammaln(k + 0.5) - special.gammaln(k + 1.0))
    one, three, five = ((4 * k + c) / root for c in (1, 3, 5))
    terms = (2 * k + 1) * _ed2(three) / (9 * x**0.75)
    terms += _ed3(one) / (72 * x**1.25)
    terms += (2 * k + 3) * (k + 0.5) * _ed3(five) / (6 * x**1.25)
    terms += 7 * (2 * k + 1) * (_ed2(one) + _ed2(five)) / (144 * x**0.75)
    return limit / 12 - float((half * terms).sum()) / math.pi


def _ed2(y: FloatArray) -> FloatArray:
    z = y**2 / 4
    # Bessel functions times exp(z), so that nothing underflows early.
    bessel = special.kve(1 / 4, z) + special.kve(3 / 4, z)
    return np.asarray(np.exp(-2 * z) * (y / 2) ** 1.5 * bessel / math.sqrt(math.pi))


def _ed3(y: FloatArray) -> FloatArray:
    z = y**2 / 4
    bessel = 2 * special.kve(1 / 4, z) + 3 * special.kve(3 / 4, z) - special.kve(5 / 4, z)
    return np.asarray(np.exp(-2 * z) * (y / 2) ** 2.5 * bessel / math.sqrt(math.pi))


def _anderson_darling_limit(z: float) -> float:
    """Return the limiting distribution function by the short formula, right to 2e-6."""
    if z < 2:
        short = [0.00168691, -0.011672, 0.0347962, -0.0649821, 0.247105, 2.00012]
        return math.exp(-1.2337141 / z) / math.sqrt(z) * float(np.polyval(short, z))
    long = [-0.0003146, 0.008056, -0.082433, 0.43424, -2.30695, 1.0776]
    return math.exp(-math.exp(float(np.polyval(long, z))))


def _anderson_darling_error(x: float, n: float) -> float:
    """Return what n values add to the limiting distribution function where that is x."""
    cut = 0.01265 + 0.1757 / n
    if x > 0.8:
        upper = [255.7844, -1116.360, 1950.646, -1705.091, 745.2337, -130.2137]
        return float(np.polyval(upper, x)) / n
    if x < cut:
        v = x / cut
        v = math.sqrt(v) * (1 - v) * (49 * v - 102)
        return v * (0.0037 / n**2 + 0.00078 / n + 0.00006) / n
    v = (x - cut) / (0.8 - cut)
    v = float(np.polyval([1.91864, -8.259, 14.458, -14.6538, 6.54034, -0.00022633], v))
    return v * (0.04213 + 0.01365 / n) / n
