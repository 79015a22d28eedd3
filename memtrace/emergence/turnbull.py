"""The distribution of a time that is known only to lie in half-open intervals.

Non-parametric maximum likelihood (Peto 1973; Turnbull 1976) with delayed entry.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.emergence.product_limit import log_log_interval
from memtrace.errors import ApproximationWarning, FitError
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

TOLERANCE = 1e-9
NEAR = 1e-6
"""From here Newton's method goes on: alone, EM needs millions of steps for a mass that vanishes."""
ROUGH = 1e-3
"""Of the subsamples: far below their own error."""
STEPS = 20_000
NEWTON_STEPS, NEWTON_CELLS = 100, 1500
NOTHING = 1e-6
LEAST = 1e-200
"""Stands for a probability of 0: its inverse, times any weight, is a float."""
UNREACHED = 1e-9
"""Share of the times at which what comes later has no mass: all that waited before had ended."""
DRAWS = 100
WHOLE, END, OPEN = range(3)
"""What stands at a time, in order: an exact time [x, x], an end R], a beginning (L."""


@dataclass(frozen=True, eq=False)
class Turnbull:
    """Masses on the innermost intervals; inside one of them the distribution is undefined."""

    left: FloatArray
    """Left ends of the innermost intervals (left, right], ascending, shape (J,)."""
    right: FloatArray
    """Right ends; infinite for the mass of times that nobody waited for."""
    mass: FloatArray
    """Probability of each, shape (J,); sums to 1."""
    log_likelihood: float
    n: float
    """Total weight of the observations."""
    kkt: float
    """Largest relative gain of likelihood by moving mass, at most 1 + 1e-9 at the maximum."""
    shared_grid: bool
    """Whether each interval with an end holds one innermost interval: then the masses are those of
    a multinomial distribution, or a product limit, and have intervals of the usual kind."""
    at_risk: FloatArray
    """Expected number entered and still waiting at each innermost interval, shape (J,)."""

    @property
    def exact(self) -> npt.NDArray[np.bool_]:
        """Return which of them are single times [x, x]."""
        found: npt.NDArray[np.bool_] = self.left == self.right
        return found

    @property
    def cumulative(self) -> FloatArray:
        """Return the probability of a time up to each right end, shape (J,)."""
        total: FloatArray = np.minimum(np.cumsum(self.mass), 1.0)
        return total

    def share_by(self, time: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the least and the largest probability of a time up to `time`, elementwise.

        They differ inside an innermost interval.
        """
        t = np.asarray(time, float)
        share = np.concatenate(([0.0], self.cumulative))
        least = share[np.searchsorted(self.right, t, side="right")]
        begun = np.searchsorted(self.left, t, side="left")
        return least, np.maximum(share[begun], least)

    def quantile(self, share: float) -> Interval:
        """Return the innermost interval in which the distribution passes `share`; NaN if never.

        (inf, inf) stands for a share that is not reached at any finite time.
        """
        place = np.searchsorted(self.cumulative, share * (1 - 1e-12))
        if math.isnan(share) or place == len(self.mass):
            return UNDEFINED
        right = float(self.right[place])
        return (math.inf, math.inf) if math.isinf(right) else (float(self.left[place]), right)


def turnbull(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    entry: npt.ArrayLike | None = None,
    tolerance: float = TOLERANCE,
) -> Turnbull:
    """Maximise the likelihood of times in (left, right], or equal to them where left == right.

    With delayed entry an observation is there only because its time is after `entry`: it
    contributes P(left < T <= right) / P(T > entry) (Turnbull 1976; Alioum and Commenges 1996 for
    the innermost intervals). EM on the hazards, whose M step is the product limit, accelerated by
    SQUAREM (Varadhan and Roland 2008), then Newton's method on the cells that keep mass, which may
    lose and win cells (Wang 2008); it stops on the Karush-Kuhn-Tucker conditions.

    Args:
        left: Left ends, minus infinity where nothing is known, shape (n,).
        right: Right ends, infinite where the time was not waited for, shape (n,).
        weights: How many observations each stands for, shape (n,); 1 if left out.
        entry: Times at which each came under observation, shape (n,); none if left out.
        tolerance: Relative gain of likelihood that is left where it stops.

    Raises:
        FitError: There is no observation, or an interval ends before it begins or before entry.
    """
    low, high = np.asarray(left, float), np.asarray(right, float)
    w = np.ones(len(low)) if weights is None else np.asarray(weights, float)
    since = np.full(len(low), -np.inf) if entry is None else np.asarray(entry, float)
    wrong = np.flatnonzero((low > high) | (since > low) | np.isnan(low + since) | (w < 0))
    if w.sum() <= 0 or len(wrong):
        which = f"; number {wrong[0]} is ({low[wrong[0]]}, {high[wrong[0]]}]" if len(wrong) else ""
        raise FitError(f"{len(low)} intervals must ascend, after their entry, and weigh{which}")
    q, p, likelihood = _innermost(low, high, w, since)
    hazard, kkt = _maximise(likelihood, max(tolerance, NEAR))
    if kkt > 1 + tolerance or tolerance <= NEAR:
        hazard, kkt = _polish(likelihood, hazard, kkt, tolerance)
    if kkt > 1 + max(tolerance, NEAR):
        message = f"{len(hazard)} intervals did not converge (KKT {kkt:.8g})"
        warnings.warn(f"{message}; use a coarser grid of times", ApproximationWarning, stacklevel=2)
    mass, before = masses(hazard)
    spans = likelihood.stop - likelihood.start
    waited = np.isfinite(high) & (w > 0)
    # What is left of a mass that vanishes: less than a millionth of an observation.
    kept = mass * w.sum() > NOTHING
    return Turnbull(
        left=q[kept],
        right=p[kept],
        mass=mass[kept],
        log_likelihood=likelihood.value(hazard),
        n=float(w.sum()),
        kkt=kkt,
        shared_grid=bool((spans[waited] == 1).all()),
        at_risk=likelihood.expected(mass, before)[1][kept],
    )


def share_band(
    found: Turnbull,
    observations: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    seed: int,
    draws: int = DRAWS,
) -> tuple[FloatArray, FloatArray]:
    """Return pointwise 95% intervals of `cumulative`, two arrays of shape (J,).

    On a shared grid by the product limit's variance (log-log Greenwood). Otherwise the estimate
    converges only as n^(1/3) (Groeneboom and Wellner 1992) and the bootstrap is inconsistent (Sen
    and Xu 2015), so subsamples of m of the n observations are drawn without replacement and their
    deviations shrunk by (m / n)^(1/3) (Politis, Romano and Wolf 1999). Where many observations
    share their intervals the true rate is faster and these intervals are too wide, never too short.

    Args:
        found: The estimate.
        observations: The `left`, `right`, `weights` (whole numbers) and `entry` it came from.
        seed: Of the subsamples.
        draws: Number of subsamples.
    """
    if found.shared_grid:
        events = found.mass / np.maximum(1 - found.cumulative + found.mass, 1e-300) * found.at_risk
        survival = 1 - found.cumulative
        low, high = log_log_interval(survival, found.at_risk, events)
        return 1 - high, 1 - low
    left, right, weights, entry = observations
    counts = weights.astype(np.int64)
    # What carries information is the times that were seen, not the many that never came.
    seen = counts[np.isfinite(right)].sum()
    m = max(1, int(counts.sum() * max(float(seen), 1.0) ** -0.25))
    rng, deviations = np.random.default_rng(seed), []
    for _ in range(draws):
        drawn = rng.multivariate_hypergeometric(counts, m, method="marginals")
        kept = drawn > 0
        sub = (left[kept], right[kept])
        one = turnbull(*sub, weights=drawn[kept], entry=entry[kept], tolerance=ROUGH)
        # Inside an interval where nothing is known, the middle of what is possible.
        share = np.mean(one.share_by(np.minimum(found.right, right[np.isfinite(right)].max())), 0)
        deviations.append(share - found.cumulative)
    scale = (m / counts.sum()) ** (1 / 3)
    high, low = np.quantile(deviations, (0.025, 0.975), axis=0) * scale
    return np.clip(found.cumulative - low, 0, 1), np.clip(found.cumulative - high, 0, 1)


def masses(hazard: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the probability of each cell, and of reaching it, from hazards; shapes (J,)."""
    before = np.concatenate(([1.0], np.cumprod(1 - hazard)[:-1]))
    return hazard * before, before


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """Observations as ranges [start, stop) of cells, entered at cell `entry`, with weights."""

    start: Int64Array
    stop: Int64Array
    entry: Int64Array
    weight: FloatArray
    entered: FloatArray
    """Weight entered by each cell, shape (J,)."""

    def _inside(self, mass: FloatArray, before: FloatArray) -> FloatArray:
        share = np.concatenate(([0.0], np.cumsum(mass)))
        # The tail is what is left, which a difference of sums near 1 would lose.
        tail = np.concatenate((before, [0.0]))[self.start]
        found = np.where(self.stop == len(mass), tail, share[self.stop] - share[self.start])
        return np.maximum(found, LEAST)

    def value(self, hazard: FloatArray) -> float:
        mass, before = masses(hazard)
        entering = np.maximum(before[self.entry], LEAST)
        return float(self.weight @ (np.log(self._inside(mass, before)) - np.log(entering)))

    def expected(self, mass: FloatArray, before: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how many times are expected in each cell, and how many wait at it."""
        events = mass * self._gradient(self._inside(mass, before), len(mass))
        risk = self.entered - np.concatenate(([0.0], np.cumsum(events)[:-1]))
        return events, np.maximum(risk, events)

    def kkt(self, hazard: FloatArray) -> float:
        """Return 1 + the largest derivative by a mass that can be reached, over n."""
        reached = masses(hazard)[1] > UNREACHED
        return 1 + float(self.derivative(hazard)[reached].max())

    def derivative(self, hazard: FloatArray) -> FloatArray:
        """Return the derivative by each mass, over n; 0 where there is mass at the maximum."""
        mass, before = masses(hazard)
        gain = self._gradient(self._inside(mass, before), len(mass))
        entering = self.weight / np.maximum(before[self.entry], LEAST)
        cost = np.cumsum(np.bincount(self.entry, entering, len(mass)))
        return np.asarray((gain - cost) / self.weight.sum())

    def quadratic(self, mass: FloatArray, there: Int64Array) -> tuple[FloatArray, FloatArray]:
        """Return the gradient, shape (k,), and Hessian, (k, k), by the masses of k cells."""
        k = len(there)
        start, stop, entry = (
            np.searchsorted(there, x) for x in (self.start, self.stop, self.entry)
        )
        share = np.concatenate(([0.0], np.cumsum(mass[there])))
        inside = np.maximum(share[stop] - share[start], LEAST)
        after = np.maximum(share[-1] - share[entry], LEAST)
        slope = np.zeros(k + 1)
        curvature = np.zeros((k + 1, k + 1))
        ends = np.full_like(stop, k)
        for first, last, value, sign in ((start, stop, inside, 1), (entry, ends, after, -1)):
            np.add.at(slope, first, sign * self.weight / value)
            np.add.at(slope, last, -sign * self.weight / value)
            # Of each range, by its first and last cell: summed over all that hold a pair of cells.
            np.add.at(curvature, (first, last), -sign * self.weight / value**2)
        held = np.cumsum(np.cumsum(curvature, axis=0)[:, ::-1], axis=1)[:, ::-1][:k, 1:]
        upper = np.triu(held)
        return np.cumsum(slope)[:k], upper + np.triu(upper, 1).T

    def step(self, hazard: FloatArray) -> FloatArray:
        events, risk = self.expected(*masses(hazard))
        return np.divide(events, risk, out=np.zeros_like(events), where=risk > 0)

    def _gradient(self, inside: FloatArray, cells: int) -> FloatArray:
        each = self.weight / inside
        change = np.bincount(self.start, each, cells + 1) - np.bincount(self.stop, each, cells + 1)
        total: FloatArray = np.cumsum(change)[:-1]
        return np.maximum(total, 0.0)


def _innermost(
    left: FloatArray, right: FloatArray, weights: FloatArray, entry: FloatArray
) -> tuple[FloatArray, FloatArray, _Likelihood]:
    """Return the ends of the innermost intervals and the observations in terms of them."""
    values = np.unique(np.concatenate((left, right, entry)))
    exact = left == right
    begins = 3 * np.searchsorted(values, left) + np.where(exact, WHOLE, OPEN)
    ends = 3 * np.searchsorted(values, right) + END
    enters = 3 * np.searchsorted(values, entry) + OPEN
    # The end of what an entry rules out counts as a right end.
    closing = np.union1d(ends, enters - OPEN + END)
    opening = np.unique(begins)
    every = np.union1d(opening, closing)
    is_end = every % 3 == END
    place = np.flatnonzero(~is_end[:-1] & is_end[1:])
    q, p = every[place], every[place + 1]
    start, stop = np.searchsorted(q, begins), np.searchsorted(p, ends, side="right")
    first = np.minimum(np.searchsorted(q, enters), len(q) - 1)
    entered = np.cumsum(np.bincount(first, weights, len(q)), dtype=float)
    likelihood = _Likelihood(start, stop, first, weights, entered)
    return values[q // 3], values[p // 3], likelihood


def _maximise(likelihood: _Likelihood, tolerance: float) -> tuple[FloatArray, float]:
    cells = len(likelihood.entered)
    hazard = 1 / np.arange(cells, 0, -1.0)
    kkt = math.inf
    for number in range(STEPS):
        one = likelihood.step(hazard)
        two = likelihood.step(one)
        if number % 8 == 0 and (kkt := likelihood.kkt(two)) <= 1 + tolerance:
            return two, kkt
        hazard = _leap(likelihood, hazard, one, two)
    return hazard, kkt


def _polish(
    likelihood: _Likelihood, hazard: FloatArray, kkt: float, tolerance: float
) -> tuple[FloatArray, float]:
    """Go on by Newton's method from hazards near the maximum; return them if it gains nothing."""
    mass, before = masses(hazard)
    n = float(likelihood.weight.sum())
    if (before[likelihood.entry] < UNREACHED).any() or (mass * n > NOTHING).sum() > NEWTON_CELLS:
        return hazard, kkt
    mass = np.where(mass * n > NOTHING, mass, 0.0)
    for _ in range(NEWTON_STEPS):
        mass = _newton_step(likelihood, mass / mass.sum())
        found = _hazards(mass)
        gain = likelihood.derivative(found)
        if np.abs(gain[mass > 0]).max() > tolerance:
            continue
        best = int(gain.argmax())
        if gain[best] <= tolerance:
            return found, 1 + float(gain[best])
        mass[best] = 1e-3 / n
    found = _hazards(mass)
    better = likelihood.value(found) > likelihood.value(hazard)
    return (found, likelihood.kkt(found)) if better else (hazard, kkt)


def _newton_step(likelihood: _Likelihood, mass: FloatArray) -> FloatArray:
    """Move the masses that are not 0 as far as the likelihood grows; one that meets 0 stays so."""
    there = np.flatnonzero(mass)
    slope, curvature = likelihood.quadratic(mass, there)
    # With the sum of all masses held at 1.
    border = np.ones((len(there), 1))
    system = np.block([[curvature, border], [border.T, np.zeros((1, 1))]])
    step = np.linalg.lstsq(system, np.append(-slope, 0.0), rcond=1e-14)[0][:-1]
    with np.errstate(divide="ignore"):
        reach = np.where(step < 0, -mass[there] / np.minimum(step, -LEAST), np.inf)
    length, value = min(1.0, float(reach.min())), likelihood.value(_hazards(mass))
    blocked = length < 1 or reach.min() <= 1
    for _ in range(30):
        moved = mass.copy()
        moved[there] = np.maximum(mass[there] + length * step, 0.0)
        if blocked:
            moved[there[reach.argmin()]] = 0.0
        if likelihood.value(_hazards(moved)) >= value - 1e-12 * abs(value):
            return moved
        length, blocked = length / 2, False
    return mass


def _hazards(mass: FloatArray) -> FloatArray:
    tail = np.cumsum(mass[::-1])[::-1]
    return np.divide(mass, tail, out=np.ones_like(mass), where=tail > 0)


def _leap(
    likelihood: _Likelihood, zero: FloatArray, one: FloatArray, two: FloatArray
) -> FloatArray:
    """Extrapolate two EM steps as far as the likelihood grows."""
    first, second = one - zero, two - 2 * one + zero
    curvature = float(np.linalg.norm(second))
    if curvature == 0:
        return two
    length = max(1.0, float(np.linalg.norm(first)) / curvature)
    far = zero + 2 * length * first + length**2 * second
    # A hazard that once is 0 stays so: come close, no closer.
    far = likelihood.step(np.clip(far, two / 100, 1 - (1 - two) / 100))
    return far if likelihood.value(far) >= likelihood.value(two) else two
