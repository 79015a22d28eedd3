"""Do texts emerge more often after exposure than they become extractable without it?

Where copies are known this is asked of texts that occur once: which of them a checkpoint had seen
was drawn at random. Each interval between two checkpoints has a hazard of its own, so what moves
all texts of a checkpoint together cancels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from memtrace.emergence.hazard import cells_of, chosen, grouped, regress
from memtrace.emergence.histories import Histories
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

FEW = 5
"""Events of a group below which the comparison is exact."""
SPAN = 60.0
"""Largest logarithm of a ratio that is tried."""
NOT_FOLLOWED = "no text that occurs once was evaluated twice before it was trained on"
NO_EVENTS = (
    "no text that occurs once emerged or became extractable at a checkpoint at which both groups "
    "were at risk"
)
UNKNOWN_COPIES = (
    "without a table of duplicates a sequence not yet trained on may be a copy of one that was: "
    "make one with `memtrace corpus duplicates`"
)


@dataclass(frozen=True)
class ExposureEffect:
    """How much more often texts emerge after exposure than they become extractable before."""

    hazard_ratio: float
    """Infinite where nothing became extractable before exposure."""
    ci95: Interval
    p_value: float
    exposed_events: int
    """Texts that emerged, at checkpoints where both groups were at risk."""
    unexposed_events: int
    """Texts that became extractable before exposure, likewise."""
    reason: str | None = None
    """Why values are NaN."""


@dataclass(frozen=True, eq=False)
class _Groups:
    """Cells of texts trained on and not yet, of checkpoints with events that have both; (g,)."""

    events: Int64Array
    at_risk: Int64Array
    length: FloatArray
    checkpoint: Int64Array
    """Counted from 0."""
    exposed: FloatArray
    """1 or 0."""

    def sums(self, exposed: bool) -> tuple[FloatArray, FloatArray]:
        """Return events and text steps of one group by checkpoint, two arrays."""
        part = self.exposed == exposed
        time = (self.at_risk - self.events / 2) * self.length
        n = int(self.checkpoint.max()) + 1
        events, steps = (
            np.bincount(self.checkpoint[part], values[part], n) for values in (self.events, time)
        )
        return np.asarray(events, float), np.asarray(steps, float)


def exposure_effect(histories: Histories) -> ExposureEffect:
    """Compare the hazards of texts trained on and not yet.

    By complementary log-log regression; with fewer than `FEW` events in a group exactly, given the
    events of each interval.
    """
    if not histories.copies_known:
        return _undefined(UNKNOWN_COPIES)
    groups = _groups(histories)
    if not groups.events.any():
        followed = histories.tables.control[:, :, 0, 0].any()
        return _undefined(NO_EVENTS if followed else NOT_FOLLOWED)
    seen, unseen = groups.sums(True), groups.sums(False)
    counts = int(seen[0].sum()), int(unseen[0].sum())
    if min(counts) < FEW:
        return ExposureEffect(*stratified_ratio(*seen, *unseen), *counts)
    own = {f"interval {c}": (groups.checkpoint == c).astype(float) for c in range(1, len(seen[0]))}
    effect = {"exposed": groups.exposed}
    model = regress(groups.events, groups.at_risk, groups.length, effect | own)
    if model.reason:
        return _undefined(model.reason)
    ratio, low, high = model.factor("exposed")
    return ExposureEffect(ratio, (low, high), model.p_value("exposed"), *counts)


def stratified_ratio(
    events: FloatArray, time: FloatArray, events0: FloatArray, time0: FloatArray
) -> tuple[float, Interval, float]:
    """Estimate a common ratio of two Poisson rates in strata, given the events of each.

    The events of the first group are then a sum of binomial counts (Breslow and Day 1987, section
    3.6). The interval is central, as Clopper and Pearson's; the p-value is that of a ratio of 1,
    twice the smaller tail.

    Args:
        events: Of the first group in each stratum, shape (s,).
        time: Its exposure, above 0, shape (s,).
        events0: Of the second group, shape (s,).
        time0: Its exposure, above 0, shape (s,).

    Returns:
        The conditional maximum likelihood estimate, its interval and the p-value.
    """
    if events.sum() > events0.sum():  # the tails of the group with fewer events are short
        ratio, (low, high), p = stratified_ratio(events0, time0, events, time)
        return 1 / ratio if ratio else math.inf, (1 / high, 1 / low if low else math.inf), p
    total, odds, fewer = (
        (events + events0).astype(np.int64),
        np.log(time / time0),
        int(events.sum()),
    )

    def tails(log_ratio: float) -> tuple[float, float]:
        """Return P(S <= s) and P(S >= s) of the sum of binomial counts."""
        mass = np.ones(1)
        for n, p in zip(total, special.expit(log_ratio + odds), strict=True):
            one = stats.binom.pmf(np.arange(min(n, fewer) + 1), n, p)
            mass = np.convolve(mass, one)[: fewer + 1]
        below = float(mass[:fewer].sum())
        return below + float(mass[fewer:].sum()), 1 - below

    def excess(log_ratio: float) -> float:
        return float(total @ special.expit(log_ratio + odds)) - fewer

    high = _solve(lambda r: tails(r)[0] - 0.025)
    p_value = min(1.0, 2 * min(tails(0.0)))
    if not fewer:
        return 0.0, (0.0, high), p_value
    return _solve(excess), (_solve(lambda r: tails(r)[1] - 0.025), high), p_value


def _solve(excess: Callable[[float], float]) -> float:
    return math.exp(optimize.brentq(excess, -SPAN, SPAN))


def _groups(histories: Histories) -> _Groups:
    every = cells_of(histories)
    cells = grouped(chosen(every, ~every.repeated), histories.total_steps, 1)
    control, steps = histories.tables.control[:, :, 0], histories.checkpoints
    before, after = np.nonzero(control[..., 0])
    events = np.concatenate((cells.events, control[before, after, 1]))
    stop = np.concatenate((cells.stop, steps[after]))
    exposed = np.repeat((1.0, 0.0), (len(cells.stop), len(after)))
    both = [c for c in np.unique(stop) if events[stop == c].any() and np.ptp(exposed[stop == c])]
    kept = np.isin(stop, both)
    return _Groups(
        events[kept],
        np.concatenate((cells.at_risk, control[before, after, 0]))[kept],
        np.concatenate((cells.length, steps[after] - steps[before]))[kept],
        np.searchsorted(both, stop[kept]),
        exposed[kept],
    )


def _undefined(reason: str) -> ExposureEffect:
    return ExposureEffect(math.nan, UNDEFINED, math.nan, 0, 0, reason)
