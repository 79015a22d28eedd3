"""Learning and forgetting: a two-state chain in continuous time, seen at unequal distances."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from memtrace.errors import FitError
from memtrace.point_process.models.constant import binomial_interval
from memtrace.types import UNDEFINED, FloatArray, Interval

DROP = float(stats.chi2.ppf(0.95, 1)) / 2
RANGE = (-14.0, 5.0)
"""Logs of the smallest and largest rate tried, in units of one over the typical distance."""


@dataclass(frozen=True)
class Panel:
    """Rates of learning (0 to 1) and forgetting (1 to 0), per unit of the distances."""

    learning: float
    learning_ci95: Interval
    """By profile likelihood."""
    forgetting: float
    forgetting_ci95: Interval
    log_likelihood: float
    """Sum of n log p over the transitions."""
    p01: float
    """Share of all pairs of evaluations that went from 0 to 1."""
    p01_ci95: Interval
    """Exact (Clopper and Pearson 1934)."""
    p10: float
    p10_ci95: Interval
    embeddable: bool | None
    """Whether p01 + p10 < 1 at each distance by itself: only then can a chain in continuous time
    have those transitions; None if no distance shows both."""
    reason: str | None = None
    """Why values are NaN."""

    @property
    def stationary(self) -> float:
        """Return the share memorized in the long run."""
        total = self.learning + self.forgetting
        return self.learning / total if total else math.nan

    @property
    def mean_retention(self) -> float:
        """Return the mean time for which a text is kept, infinite without forgetting."""
        if math.isnan(self.forgetting):
            return math.nan
        return 1 / self.forgetting if self.forgetting else math.inf


def two_state_panel(counts: npt.ArrayLike, distances: npt.ArrayLike) -> Panel:
    """Fit exp(Q distance) to transition counts (Kalbfleisch and Lawless 1985).

    P01 = q01 / s (1 - exp(-s distance)) and P10 = q10 / s (1 - exp(-s distance)), s = q01 + q10.
    With one distance this is the matrix logarithm of the shares.

    Args:
        counts: Transitions from state i to state j at each distance, shape (g, 2, 2).
        distances: Positive, shape (g,).

    Raises:
        FitError: Shapes differ, or a distance is not positive.
    """
    n, gaps = np.asarray(counts, float), np.asarray(distances, float)
    if n.shape != (len(gaps), 2, 2) or (gaps <= 0).any():
        raise FitError(f"counts of shape {n.shape} need as many positive distances, not {gaps}")
    total = n.sum(axis=0)
    if (total.sum(axis=1) == 0).any():
        nan, state = math.nan, "memorized" if total[0].sum() else "not memorized"
        reason = f"no text was {state} at a checkpoint with another after it"
        return Panel(*(nan, UNDEFINED) * 2, nan, *(nan, UNDEFINED) * 2, None, reason)
    typical = float(n.sum(axis=(1, 2)) @ gaps / n.sum())
    value = _likelihood(n, gaps / typical)
    best, top = _maximum(value, total)
    ends = [_profile(value, best, top, which) for which in (0, 1)]
    shares = [float(total[i, 1 - i] / total[i].sum()) for i in (0, 1)]
    exact = [tuple(map(float, binomial_interval(total[i, 1 - i], total[i].sum()))) for i in (0, 1)]
    return Panel(
        learning=best[0] / typical,
        learning_ci95=(ends[0][0] / typical, ends[0][1] / typical),
        forgetting=best[1] / typical,
        forgetting_ci95=(ends[1][0] / typical, ends[1][1] / typical),
        log_likelihood=top,
        p01=shares[0],
        p01_ci95=(exact[0][0], exact[0][1]),
        p10=shares[1],
        p10_ci95=(exact[1][0], exact[1][1]),
        embeddable=_embeddable(n),
    )


def _likelihood(n: FloatArray, gaps: FloatArray) -> Callable[[float, float], float]:
    def value(q01: float, q10: float) -> float:
        s = q01 + q10
        change = gaps if s == 0 else -np.expm1(-s * gaps) / s
        p01, p10 = q01 * change, q10 * change
        stay, move = ((0, 0, p01), (1, 1, p10)), ((0, 1, p01), (1, 0, p10))
        total = sum(special.xlog1py(n[:, i, j], -p).sum() for i, j, p in stay)
        return float(total + sum(special.xlogy(n[:, i, j], p).sum() for i, j, p in move))

    return value


def _maximum(
    value: Callable[[float, float], float], total: FloatArray
) -> tuple[tuple[float, float], float]:
    """Maximise over both rates; one without a single transition is 0."""
    moved = total[0, 1] > 0, total[1, 0] > 0
    shares = total[0, 1] / total[0].sum(), total[1, 0] / total[1].sum()
    # The logarithm of the pooled matrix: the answer itself where there is one distance.
    s = min(sum(shares), 0.99)
    scale = -math.log1p(-s) / s if s else 1.0
    start = [math.log(p * scale) for p, there in zip(shares, moved, strict=True) if there]

    def rates(x: FloatArray) -> tuple[float, float]:
        logs = iter(np.clip(x, *RANGE))
        found = [math.exp(next(logs)) if there else 0.0 for there in moved]
        return found[0], found[1]

    def cost(x: FloatArray) -> float:
        return -value(*rates(x))

    if not start:
        return (0.0, 0.0), value(0.0, 0.0)
    x = np.array(start)
    for _ in range(3):  # a simplex that has collapsed is begun anew
        x = np.asarray(optimize.fmin(cost, x, xtol=1e-12, ftol=1e-14, disp=False))
    return rates(x), value(*rates(x))


def _profile(
    value: Callable[[float, float], float], best: tuple[float, float], top: float, which: int
) -> Interval:
    """Return where the likelihood, the other rate at its best, has dropped by 1.92."""

    def excess(log_rate: float) -> float:
        def at(other: float) -> float:
            pair = (math.exp(log_rate), math.exp(other))
            return -value(*(pair if which == 0 else pair[::-1]))

        center = math.log(best[1 - which]) if best[1 - which] else RANGE[0]
        bounds = (max(RANGE[0], center - 4), min(RANGE[1], center + 4))
        found = optimize.minimize_scalar(at, bounds=bounds, method="bounded")
        return -float(found.fun) - top + DROP

    middle = math.log(best[which]) if best[which] else RANGE[0]
    low = RANGE[0] if excess(RANGE[0]) > 0 else optimize.brentq(excess, RANGE[0], middle)
    if excess(RANGE[1]) > 0:
        return math.exp(low), math.inf
    high = float(optimize.brentq(excess, middle, RANGE[1]))
    return (0.0 if low == RANGE[0] else math.exp(low)), math.exp(high)


def _embeddable(n: FloatArray) -> bool | None:
    rows = n.sum(axis=2)
    both = (rows > 0).all(axis=1)
    if not both.any():
        return None
    sums = n[both, 0, 1] / rows[both, 0] + n[both, 1, 0] / rows[both, 1]
    return bool((sums < 1).all())
