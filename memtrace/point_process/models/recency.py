"""Is what was seen last memorized more? A rate that decays with the age of a sequence.

One checkpoint shows how memory depends on age; how it fades with time takes several.
"""

from functools import partial

import numpy as np
from scipy import optimize, special

from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.models.piecewise import parts
from memtrace.point_process.shares import RateComparison, compare_shares
from memtrace.point_process.simulate import window_counts
from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray, Int64Array, Interval

BINS, DECAYS, DRAWS = 80, 12, 499
LARGEST_SHARE = 0.999
CHI2_95 = 3.841458820694124
LAST_STEPS = (1, 10, 100, 1000)


def recency(events: EventSequence, unit: int, rng: np.random.Generator) -> Model:
    """Fit a rate l0 (1 + A exp(-age / tau)), A >= 0, age counted back from the checkpoint.

    For each tau of a geometric grid the density of events is a mixture of an even spread and one in
    proportion to exp(-age / tau), and the log-likelihood is concave in the share w of the second.
    tau means nothing where A = 0 (Davies 1977), so the p-value compares the largest likelihood
    ratio over the grid with that of random orders.

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
    decays = np.geomspace(unit, max(events.n / 2, unit), DECAYS)
    kernel = _kernels(bins, events.n, decays)
    mean = kernel @ bins.exposures / events.exposure
    relative = kernel / mean[:, None] - 1
    share, gain = _mixtures(bins.counts[None], relative)
    best = int(gain[0].argmax())
    drawn = window_counts(bins.exposures, n, rng, DRAWS)
    null = _mixtures(drawn, relative)[1].max(axis=1)
    w, tau, f = float(share[0, best]), float(decays[best]), float(mean[best])
    base = n * (1 - w) / events.exposure
    amplitude = w / ((1 - w) * f)
    width = CHI2_95 * (1 - events.fraction)
    low, high = _interval(bins.counts, relative, mean, share[0], float(gain[0, best]) - width)
    return Model(
        name,
        homogeneous(n, events.exposure).log_likelihood + float(gain[0, best]) / 2,
        {"base_rate_per_sequence": base, "amplitude": amplitude, "decay_sequences": tau},
        n,
        intervals={"amplitude": (low, high)},
        likelihood_ratio=float(gain[0, best]),
        p_value=float((1 + (null >= gain[0, best] - 1e-9).sum()) / (DRAWS + 1)),
        rate=partial(_decaying_rate, base=base, amplitude=amplitude, decay=tau / events.n),
    )


def _decaying_rate(u: FloatArray, base: float, amplitude: float, decay: float) -> FloatArray:
    rate: FloatArray = base * (1 + amplitude * np.exp(-(1 - u) / decay))
    return rate


def last_steps(events: EventSequence) -> dict[int, RateComparison]:
    """Compare the rate in the last 1, 10, 100, 1000 steps with the rest of training."""
    step = events.sequences_per_step
    if not step:
        return {}
    compared = {}
    for k in LAST_STEPS:
        if 0 < k * step < events.n:
            there = parts(events, [events.n - k * step])
            if len(there.counts) == 2:
                pairs = (tuple(map(int, x[::-1])) for x in (there.counts, there.exposures))
                compared[k] = compare_shares(*pairs)  # type: ignore[arg-type]
    return compared


def _bins(events: EventSequence, unit: int) -> Windows:
    """Cut the axis finely near the checkpoint and coarsely far from it."""
    ages = np.geomspace(max(unit / 8, 1), max(events.n, 2), BINS).astype(np.int64)
    cuts = events.n - np.unique(ages)[::-1]
    return parts(events, cuts[(cuts > 0) & (cuts < events.n)].tolist())


def _kernels(bins: Windows, n: int, decays: FloatArray) -> FloatArray:
    """Return the mean of exp(-age / tau) in each bin for each tau, shape (taus, bins)."""
    oldest, youngest = n - bins.start, n - np.append(bins.start[1:], n)
    z = (oldest - youngest) / decays[:, None]
    value: FloatArray = np.exp(-youngest / decays[:, None]) * -np.expm1(-z) / z
    return value


def _mixtures(counts: Int64Array, relative: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Maximise sum y log(1 + w c) over w in [0, LARGEST_SHARE], by bisection of its slope.

    Args:
        counts: Shape (draws, bins).
        relative: c, the relative density less 1, shape (taus, bins).

    Returns:
        w and twice the maximum, each of shape (draws, taus).
    """
    shape = (len(counts), len(relative))
    low, high = np.zeros(shape), np.full(shape, LARGEST_SHARE)
    for _ in range(30):
        w = (low + high) / 2
        slope = np.stack(
            [(counts * (c / (1 + w[:, [i]] * c))).sum(axis=1) for i, c in enumerate(relative)],
            axis=1,
        )
        rising = slope > 0
        low, high = np.where(rising, w, low), np.where(rising, high, w)
    low[low < 1e-8] = 0.0
    terms = [special.xlogy(counts, 1 + low[:, [i]] * c).sum(axis=1) for i, c in enumerate(relative)]
    gain: FloatArray = np.maximum(2 * np.stack(terms, axis=1), 0.0)
    return low, gain


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
