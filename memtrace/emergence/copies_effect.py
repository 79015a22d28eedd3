"""How the hazard of emergence grows with the copies of a text that were seen so far.

The hazard is rate_j copies^exponent in the time between two checkpoints j. The number of copies
in the whole corpus would be information from the future.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import optimize, stats

from memtrace.report.numbers import count
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

SEARCHED = (-1.5, 3.0)
"""Exponents among which the best one is looked for."""
FARTHEST = 12.0
"""Exponent beyond which the end of an interval counts as infinite."""
FLAT = 1e-9
"""Differences of log-likelihood that are rounding."""
LEAST = 5
"""Texts that emerged after several copies below which there is no estimate."""
ALIKE = "at no checkpoint with emergences texts with fewer and with more copies were at risk"
DROP = float(stats.chi2.ppf(0.95, 1)) / 2
Profile = Callable[[float], float]


@dataclass(frozen=True)
class CopiesEffect:
    """The exponent of the number of copies seen."""

    exponent: float
    """0 if further copies change nothing, 1 if each adds as much; NaN where it is refused."""
    ci95: Interval
    """By profile likelihood; where the exponent is refused, an end that is known all the same."""
    p_value: float
    """Of an exponent of 0, by the likelihood ratio."""
    log_likelihood: float
    log_likelihood_alike: float
    """With an exponent of 0."""
    rates: tuple[float, ...]
    """Hazard with one copy seen, per step, by checkpoint of emergence; those without are left out.
    At the exponent, or at 0 where it is refused."""
    emerged: int
    """Texts that emerged after more than one copy had been seen."""
    reason: str | None = None
    """Why there is no exponent."""


def copies_effect(waiting: pl.DataFrame, emerged: pl.DataFrame) -> CopiesEffect:
    """Fit the exponent; each checkpoint has a rate of its own, at its best for each exponent.

    A text emerges in (c', c] with the chance 1 - exp(-rate_c sum copies^exponent steps), the sum
    over the times at risk in between. Interval-censored proportional hazards with a covariate that
    changes in time (Prentice and Gloeckler 1978; Finkelstein 1986).

    Args:
        waiting: `checkpoint`, `copies`, `steps`: time at risk of texts that had not emerged at the
            checkpoint, added up over texts.
        emerged: `text`, `checkpoint`, `copies`, `steps`, `count`: that of those that had; rows of
            one `text` stand for `count` texts with the same times at risk.
    """
    several = emerged.filter(pl.col("copies") > 1)
    n = int(several.group_by("text").agg(pl.col("count").first())["count"].sum())
    if emerged.is_empty():
        return _undefined(n, "nothing emerged")
    likelihood = _Likelihood.of(waiting.filter(pl.col("steps") > 0), emerged)
    if likelihood.is_flat():
        return _undefined(n, ALIKE)
    best, top = _best(likelihood.value)
    alike = likelihood.value(0.0)
    ends = tuple(_end(likelihood.value, best, top, side) for side in (-1, 1))
    reason = _refused(n, best)
    return CopiesEffect(
        exponent=math.nan if reason else best,
        ci95=(ends[0], ends[1]),
        p_value=float(stats.chi2.sf(max(0.0, 2 * (top - alike)), 1)),
        log_likelihood=top,
        log_likelihood_alike=alike,
        rates=tuple(likelihood.rates(0.0 if reason else best).tolist()),
        emerged=n,
        reason=reason,
    )


def _undefined(emerged: int, reason: str) -> CopiesEffect:
    nan = math.nan
    return CopiesEffect(nan, UNDEFINED, nan, nan, nan, (), emerged, reason)


def _refused(emerged: int, best: float) -> str | None:
    if emerged < LEAST:
        return (
            f"{count(emerged, 'text')} emerged after more than one copy: at least {LEAST} are "
            "needed for an exponent"
        )
    if min(abs(best - end) for end in SEARCHED) < 1e-4:
        return f"the best exponent is not between {SEARCHED[0]:g} and {SEARCHED[1]:g}"
    return None


def _best(value: Profile) -> tuple[float, float]:
    """Maximise: on a grid, then between the neighbours of its best point."""
    grid = np.linspace(*SEARCHED, 19)
    place = int(np.argmax([value(exponent) for exponent in grid]))
    bounds = float(grid[max(place - 1, 0)]), float(grid[min(place + 1, len(grid) - 1)])
    found = optimize.minimize_scalar(
        lambda exponent: -value(exponent), bounds=bounds, method="bounded", options={"xatol": 1e-9}
    )
    return float(found.x), -float(found.fun)


def _end(value: Profile, best: float, top: float, side: int) -> float:
    """Return where the likelihood has dropped by 1.92, infinite where it does not."""

    def excess(exponent: float) -> float:
        return value(exponent) - top + DROP

    near = best
    for far in best + side * np.array([0.5, 1, 2, 4, 8, FARTHEST + abs(best)]):
        if excess(float(far)) < 0:
            return float(optimize.brentq(excess, near, far, xtol=1e-10))
        near = float(far)
    return side * math.inf


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """Times at risk as arrays; checkpoints and emerged texts are numbered from 0."""

    waiting: tuple[Int64Array, FloatArray, FloatArray]
    """Checkpoint, log of the copies, steps."""
    emerged: tuple[Int64Array, FloatArray, FloatArray]
    """Text, log of the copies, steps."""
    checkpoint: Int64Array
    """Of each emerged text."""
    count: FloatArray
    checkpoints: int

    @classmethod
    def of(cls, waiting: pl.DataFrame, emerged: pl.DataFrame) -> "_Likelihood":
        """Leave out checkpoints at which nothing emerged, or all: they say nothing of copies."""
        both = np.intersect1d(waiting["checkpoint"].to_numpy(), emerged["checkpoint"].to_numpy())
        waiting, emerged = (
            table.filter(pl.col("checkpoint").is_in(both.tolist())) for table in (waiting, emerged)
        )
        _, first, text = np.unique(
            emerged["text"].to_numpy(), return_index=True, return_inverse=True
        )
        place = np.searchsorted(both, emerged["checkpoint"].to_numpy())
        ours, theirs = (
            (np.log(copies.astype(float)), steps.astype(float))
            for copies, steps in (
                (table["copies"].to_numpy(), table["steps"].to_numpy())
                for table in (waiting, emerged)
            )
        )
        return cls(
            waiting=(np.searchsorted(both, waiting["checkpoint"].to_numpy()), *ours),
            emerged=(text, *theirs),
            checkpoint=place[first],
            count=emerged["count"].to_numpy().astype(float)[first],
            checkpoints=len(both),
        )

    def is_flat(self) -> bool:
        """Return whether no exponent is better than another."""
        values = [self.value(exponent) for exponent in (*SEARCHED, 0.0)]
        return max(values) - min(values) < FLAT

    def rates(self, exponent: float) -> FloatArray:
        """Return the best rate of each checkpoint."""
        return np.asarray(np.exp(self._log_rates(*self._exposures(exponent))))

    def value(self, exponent: float) -> float:
        """Return the log-likelihood with the best rate of each checkpoint."""
        waited, needed = self._exposures(exponent)
        rate = np.exp(self._log_rates(waited, needed))
        gained = np.log(-np.expm1(-rate[self.checkpoint] * needed))
        return float(self.count @ gained - rate @ waited)

    def _exposures(self, exponent: float) -> tuple[FloatArray, FloatArray]:
        """Return the sums of copies^exponent steps, by checkpoint and by emerged text."""
        (place, log, steps), (text, log_then, steps_then) = self.waiting, self.emerged
        waited = np.bincount(place, np.exp(exponent * log) * steps, self.checkpoints)
        needed = np.bincount(text, np.exp(exponent * log_then) * steps_then, len(self.count))
        return np.asarray(waited, float), np.asarray(needed, float)

    def _log_rates(self, waited: FloatArray, needed: FloatArray) -> FloatArray:
        """Maximise in each log rate by Newton's method: the likelihood is concave in it."""
        events = np.bincount(self.checkpoint, self.count, self.checkpoints)
        half = np.bincount(self.checkpoint, self.count * needed / 2, self.checkpoints)
        log_rate: FloatArray = np.log(events / (waited + half))
        for _ in range(100):
            x = np.exp(log_rate)[self.checkpoint] * needed
            with np.errstate(over="ignore"):
                part = np.where(x < 700, x / np.expm1(np.minimum(x, 700)), 0.0)
                bend = part * (1 - x - part)
            sums = (np.bincount(self.checkpoint, self.count * y, self.checkpoints)
                    for y in (part, bend))  # fmt: skip
            slope, curve = (y - np.exp(log_rate) * waited for y in sums)
            step = np.clip(-slope / curve, -2.0, 2.0)
            log_rate = log_rate + step
            if np.abs(step).max(initial=0.0) < 1e-12:
                break
        return log_rate
