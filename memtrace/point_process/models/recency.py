"""Is what was seen last memorized more? A rate that decays with the age of a sequence.

One checkpoint shows how memory depends on age; how it fades with time takes several.
"""

import math
from functools import partial

import numpy as np
from scipy import optimize, special

from memtrace.manifests.schedule import rows_before, steps_of
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.models.piecewise import parts
from memtrace.point_process.shares import RateComparison, compare_shares
from memtrace.point_process.simulate import window_counts
from memtrace.point_process.windows import Windows
from memtrace.report.numbers import number
from memtrace.types import FloatArray, Int64Array, Interval

BINS, DECAYS, DRAWS = 80, 16, 499
LONGEST = 4
"""Longest tau in lengths of training: a longer one is a straight line all the same."""
GOLDEN, SECTIONS, NEWTON_STEPS = (math.sqrt(5) - 1) / 2, 12, 40
CONVERGED = 1e-9
"""A Newton step of a share so small leaves the next one below rounding."""
NEAR_BOUND = 1.02
LARGEST_SHARE = 0.999
CHI2_95 = 3.841458820694124
LAST_STEPS = (1, 10, 100, 1000)


def recency(events: EventSequence, unit: int, rng: np.random.Generator) -> Model:
    """Fit a rate l0 (1 + A exp(-age / tau)), A >= 0, age counted back from the checkpoint.

    For each tau the density of events is a mixture of an even spread and one in proportion to
    exp(-age / tau), and the log-likelihood is concave in the share w of the second. The best tau of
    a geometric grid is refined between its neighbours. tau means nothing where A = 0 (Davies 1977),
    so the p-value compares the largest likelihood ratio with those of random orders, found alike.

    Args:
        events: Events and exposure.
        unit: Shortest tau in sequences, such as one optimizer step.
        rng: Draws the random orders.
    """
    name, n = "recency", events.n_events
    bins = _bins(events, unit)
    if n == 0 or n == events.exposure or len(bins.counts) < 2:
        text = "no events" if n == 0 else "every observed sequence is an event"
        short = "the axis is too short" if 0 < n < events.exposure else text
        return undefined_model(name, n, short)
    longest = LONGEST * max(events.n, unit)
    decays = np.geomspace(unit, longest, DECAYS)
    # What was seen is searched as the random orders are, beside them.
    counts = np.vstack((bins.counts, window_counts(bins.exposures, n, rng, DRAWS)))
    taus, gains = _largest(counts, bins, events.n, decays)
    tau, gain = float(taus[0]), float(gains[0])
    grid = np.append(decays, tau)
    relative, mean = _relative(bins, events.n, grid)
    share = _shares(bins.counts, relative)
    w, f = float(share[-1]), float(mean[-1])
    base = n * (1 - w) / events.exposure
    amplitude = w / ((1 - w) * f)
    width = CHI2_95 * (1 - events.fraction)
    low, high = _interval(bins.counts, relative, mean, share, gain - width)
    return Model(
        name,
        homogeneous(n, events.exposure).log_likelihood + gain / 2,
        {"base_rate_per_sequence": base, "amplitude": amplitude, "decay_sequences": tau},
        n,
        intervals={"amplitude": (low, high)},
        likelihood_ratio=gain,
        p_value=float((gains >= gain - 1e-9).sum() / (DRAWS + 1)),
        note=_at_bound(tau, gain, unit, longest),
        rate=partial(_decaying_rate, base=base, amplitude=amplitude, decay=tau / events.n),
    )


def _decaying_rate(u: FloatArray, base: float, amplitude: float, decay: float) -> FloatArray:
    rate: FloatArray = base * (1 + amplitude * np.exp(-(1 - u) / decay))
    return rate


def last_steps(events: EventSequence) -> dict[int, RateComparison]:
    """Compare the rate in the last 1, 10, 100, 1000 steps with the rest of training."""
    compared = {}
    for k in LAST_STEPS:
        begin = _begin_of_last(events, k)
        if 0 < begin < events.n:
            there = parts(events, [begin])
            if len(there.counts) == 2:
                pairs = (tuple(map(int, x[::-1])) for x in (there.counts, there.exposures))
                compared[k] = compare_shares(*pairs)  # type: ignore[arg-type]
    return compared


def _begin_of_last(events: EventSequence, steps: int) -> int:
    """Return the sequence with which the last steps begin; 0 where there are not so many."""
    if events.sequences_per_step:
        return max(events.n - steps * events.sequences_per_step, 0)
    if events.ramp is None or not events.n:
        return 0
    done = int(steps_of(events.ramp, np.array([events.n - 1]))[0]) + 1
    return rows_before(events.ramp, max(done - steps, 0))


def _bins(events: EventSequence, unit: int) -> Windows:
    """Cut the axis finely near the checkpoint and coarsely far from it."""
    ages = np.geomspace(max(unit / 8, 1), max(events.n, 2), BINS).astype(np.int64)
    cuts = events.n - np.unique(ages)[::-1]
    return parts(events, cuts[(cuts > 0) & (cuts < events.n)].tolist())


def _at_bound(tau: float, gain: float, shortest: float, longest: float) -> str | None:
    """Say where the likelihood still grows at an end of the range of tau."""
    if gain <= 0:
        return "the rate does not rise towards the checkpoint, so tau means nothing"
    if tau < shortest * NEAR_BOUND:
        bound = "1 sequence" if shortest == 1 else f"{number(shortest)} sequences"
        return f"tau is at its lower bound, {bound}: it may be shorter"
    if tau > longest / NEAR_BOUND:
        return f"tau is at its upper bound, {LONGEST} times training: the rise is a slow drift"
    return None


def _relative(bins: Windows, n: int, decays: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return c, the relative density less 1 of each bin, shape (taus, bins), and its mean factor.

    The density is the mean of exp(-age / tau) in each bin over that of all that was observed.
    """
    oldest, youngest = n - bins.start, n - np.append(bins.start[1:], n)
    z = (oldest - youngest) / decays[:, None]
    kernel = np.exp(-youngest / decays[:, None]) * -np.expm1(-z) / z
    mean = kernel @ bins.exposures / bins.exposures.sum()
    return kernel / mean[:, None] - 1, mean


def _largest(
    counts: Int64Array, bins: Windows, n: int, decays: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the best tau of each row of counts, and twice its gain over a constant rate.

    Golden sections of log tau between the neighbours of the best point of the grid.
    """
    on_grid, _ = _relative(bins, n, decays)
    at = np.stack([_gains(counts, c) for c in on_grid], axis=1)
    best = at.argmax(axis=1)
    logs = np.log(decays)
    low, high = logs[np.maximum(best - 1, 0)], logs[np.minimum(best + 1, len(logs) - 1)]
    for _ in range(SECTIONS):
        inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
        left, right = (_gains(counts, _relative(bins, n, np.exp(x))[0]) for x in inner)
        higher = left < right
        low, high = np.where(higher, inner[0], low), np.where(higher, high, inner[1])
    tau = np.exp((low + high) / 2)
    gains = _gains(counts, _relative(bins, n, tau)[0])
    grid = at[np.arange(len(counts)), best]
    return np.where(gains >= grid, tau, decays[best]), np.maximum(gains, grid)


def _gains(counts: Int64Array, relative: FloatArray) -> FloatArray:
    """Return twice the maximum over w of sum y log(1 + w c) for each row of counts."""
    w = _shares(counts, relative)
    gain: FloatArray = 2 * special.xlogy(counts, 1 + w[:, None] * relative).sum(axis=1)
    return np.maximum(gain, 0.0)


def _shares(counts: Int64Array, relative: FloatArray) -> FloatArray:
    """Return the best w in [0, LARGEST_SHARE] of each row: Newton's method between bounds.

    The slope falls with w, so a step that leaves the bounds is replaced by their middle.

    Args:
        counts: Shape (draws, bins), or (bins,) for all rows of `relative`.
        relative: Shape (draws, bins), or (bins,) for all rows of counts.
    """
    rows = np.broadcast_shapes(counts.shape, relative.shape)[0]
    low, high, w = np.zeros(rows), np.full(rows, LARGEST_SHARE), np.full(rows, 0.1)
    # Where the slope never changes its sign the best share is an end.
    high[(counts * relative).sum(axis=1) <= 0] = 0.0
    low[(counts * relative / (1 + LARGEST_SHARE * relative)).sum(axis=1) >= 0] = LARGEST_SHARE
    w = np.clip(w, low, high)
    for _ in range(NEWTON_STEPS):
        ratio = relative / (1 + w[:, None] * relative)
        slope, curvature = (counts * ratio).sum(axis=1), (counts * ratio**2).sum(axis=1)
        low, high = np.where(slope > 0, w, low), np.where(slope > 0, high, w)
        step = w + slope / np.maximum(curvature, 1e-300)
        w, before = np.where((step >= low) & (step <= high), step, (low + high) / 2), w
        if np.abs(w - before).max() < CONVERGED:
            break
    return np.where(w < 1e-7, 0.0, w)


def _interval(
    counts: Int64Array, relative: FloatArray, mean: FloatArray, share: FloatArray, level: float
) -> Interval:
    """Return the amplitudes of which the gain, at the best tau for each, is at least `level`."""
    ends: list[float] = []
    for c, f, w in zip(relative, mean, share, strict=True):

        def excess(v: float, c: FloatArray = c) -> float:
            return 2 * float(special.xlogy(counts, 1 + v * c).sum()) - level

        if excess(w) < 0:
            continue
        low = optimize.brentq(excess, 0.0, w) if excess(0.0) < 0 else 0.0
        top = LARGEST_SHARE
        high = optimize.brentq(excess, w, top) if excess(top) < 0 else top
        ends += [float(v / ((1 - v) * f)) for v in (low, high)]
    return min(ends), max(ends)
