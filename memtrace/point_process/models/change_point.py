"""Did the rate change at one point of training, or several, and where? Searched, not given.

The search is paid for: the p-value compares with the best split of random orders, never with
chi-squared.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special

from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, rate_of_parts, undefined_model
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.models.piecewise import log_likelihood, parts
from memtrace.point_process.simulate import window_counts
from memtrace.types import FloatArray, Int64Array, Interval

DRAWS = 499
TRIM = (0.01, 0.99)
"""Shares of the observed sequences between which a change is sought: the likelihood ratio has
no bound near the ends."""
EXACT_EVENTS = 1024
"""Up to so many events random orders are drawn event by event, else as counts of `CELLS` cells."""
CELLS = 1024
BLOCK = 1 << 15
"""Splits whose gain is computed at a time."""
SMALL_JUMP_DROP = -2 * math.log1p(-math.sqrt(0.95))
"""7.35: the drop of the likelihood ratio that bounds a 95% interval of the place of a small jump
(Hansen 2000, Econometrica 68, table 1)."""
BINS = 200
MOST_SEGMENTS = 6


@dataclass(frozen=True)
class ChangePoint:
    """The best split of training into two constant rates."""

    index: int | None
    """First sequence of the second part; None if undefined."""
    rate_before: float
    rate_after: float
    likelihood_ratio: float
    """Twice the gain in binomial log-likelihood over one rate."""
    p_value: float
    """Share of random orders with as good a split."""
    ci95: tuple[int, int] | None
    """Where the change may lie if there is one: the splits whose likelihood ratio is close."""
    reason: str | None = None
    """Why values are undefined."""

    @property
    def rate_ratio(self) -> float:
        """Return the rate after the change over the rate before it."""
        if self.rate_before:
            return self.rate_after / self.rate_before
        return math.inf if self.rate_after else math.nan


@dataclass(frozen=True)
class Segmentation:
    """The best division into a number of segments of constant rate."""

    starts: tuple[int, ...]
    """First bin of each segment but the first."""
    cost: float
    """Negative log-likelihood, without the terms that no division changes."""
    bic: float
    """2 cost + (2 segments - 1) log bins."""


def split_gain(before: Int64Array, place: Int64Array, n: int, total: int) -> FloatArray:
    """Return the likelihood ratio of a split, elementwise.

    Args:
        before: Events before the split.
        place: Observed sequences before the split.
        n: All events.
        total: All observed sequences.
    """
    halves = log_likelihood(before, place) + log_likelihood(n - before, total - place)
    one = log_likelihood(np.asarray(n), np.asarray(total))
    return np.asarray(np.maximum(2 * (halves - one), 0.0), np.float64)


def best_splits(
    ranks: Int64Array, total: int, trim: Interval = TRIM
) -> tuple[Int64Array, Int64Array, FloatArray]:
    """Return place, events before and gain of every split next to an event.

    Between two events the likelihood is convex in the place of the split, so the best one lies just
    before or just after an event.

    Args:
        ranks: Ascending ranks of the events among `total` sequences, shape (..., n).
        total: Observed sequences.
        trim: Shares of `total` outside which a split has gain 0.

    Returns:
        Three arrays of shape (..., 2 n): just before each event, then just after each.
    """
    n = ranks.shape[-1]
    i = np.broadcast_to(np.arange(n), ranks.shape)
    place = np.concatenate((ranks, ranks + 1), axis=-1)
    before = np.concatenate((i, i + 1), axis=-1)
    low, high = max(trim[0] * total, 1), min(trim[1] * total, total - 1)
    gain = np.zeros(place.shape)
    gains, counts, places = gain.reshape(-1), before.reshape(-1), place.reshape(-1)
    # In blocks that stay in the processor's cache: a checkpoint has millions of events.
    for first in range(0, gain.size, BLOCK):
        block = slice(first, first + BLOCK)
        inside = (places[block] >= low) & (places[block] <= high)
        gains[block][inside] = split_gain(counts[block][inside], places[block][inside], n, total)
    return place, before, gain


def null_gains(
    n: int, total: int, rng: np.random.Generator, draws: int = DRAWS, trim: Interval = TRIM
) -> FloatArray:
    """Return the gain of the best split of each of `draws` random orders.

    Many events are drawn as counts of `CELLS` cells, and a split is sought between cells.
    """
    if n <= EXACT_EVENTS:
        gain = best_splits(_random_ranks(n, total, rng, draws), total, trim)[2]
        return np.asarray(gain.max(axis=-1))
    cells = np.diff(np.arange(CELLS + 1, dtype=np.int64) * total // CELLS)
    counts = window_counts(cells, n, rng, draws)
    return np.asarray(grid_gains(counts, cells, trim).max(axis=-1))


def grid_gains(counts: Int64Array, exposures: Int64Array, trim: Interval = TRIM) -> FloatArray:
    """Return the gain of a split after each window but the last, shape (..., W - 1)."""
    total, place = int(exposures.sum()), np.cumsum(exposures)[:-1]
    before = np.cumsum(counts, axis=-1)[..., :-1]
    gain = split_gain(before, place, int(np.max(counts.sum(axis=-1))), total)
    inside = (place >= trim[0] * total) & (place <= trim[1] * total)
    return np.where(inside, gain, 0.0)


def change_point(
    events: EventSequence, rng: np.random.Generator, *, trim: Interval = TRIM
) -> ChangePoint:
    """Find the split into two constant rates with the largest binomial likelihood.

    The place is exact: every split next to an event is tried. The p-value is the permutation one.
    With more than `EXACT_EVENTS` events it compares the best split between `CELLS` equal cells.

    Args:
        events: Events and exposure.
        rng: Draws the random orders.
        trim: Shares of the observed sequences outside which no change is sought.
    """
    n, total = events.n_events, events.exposure
    if reason := _undefined(n, total):
        return ChangePoint(None, *(math.nan,) * 4, None, reason)
    place, before, gain = best_splits(events.ranks, total, trim)
    best = int(gain.argmax())
    if not gain[best]:
        return ChangePoint(None, *(math.nan,) * 4, None, "no event away from the ends")
    tau, k = int(place[best]), int(before[best])
    statistic = float(gain[best])
    if n > EXACT_EVENTS:
        edges = np.arange(CELLS + 1, dtype=np.int64) * total // CELLS
        counts = np.diff(np.searchsorted(events.ranks, edges))
        statistic = float(grid_gains(counts, np.diff(edges), trim).max())
    drawn = null_gains(n, total, rng, trim=trim)
    drop = SMALL_JUMP_DROP if n > EXACT_EVENTS else _drop(tau, k, n, total, rng, trim)
    low, high = _close_places(events.ranks, place, gain, float(gain[best]) - drop, trim, total)
    return ChangePoint(
        index=_index_of_rank(events, tau),
        rate_before=k / tau,
        rate_after=(n - k) / (total - tau),
        likelihood_ratio=float(gain[best]),
        p_value=float((1 + (drawn >= statistic - 1e-9).sum()) / (len(drawn) + 1)),
        ci95=(_index_of_rank(events, low), _index_of_rank(events, high)),
    )


def change_point_model(events: EventSequence, found: ChangePoint) -> Model:
    """Return the two constant rates as a model beside the others; the place is a parameter too."""
    if found.index is None:
        return undefined_model("change point", events.n_events, found.reason or "undefined")
    cut = found.index
    there = parts(events, [cut])
    gain = 2 * float(special.xlogy(there.counts, there.counts / there.exposures).sum())
    constant = homogeneous(events.n_events, events.exposure).log_likelihood
    return Model(
        "change point",
        gain / 2 - events.n_events,
        {"index": cut, "rate_before": found.rate_before, "rate_after": found.rate_after},
        events.n_events,
        intervals={} if found.ci95 is None else {"index": found.ci95},
        likelihood_ratio=gain - 2 * events.n_events - 2 * constant,
        p_value=found.p_value,
        rate=partial(
            rate_of_parts,
            n=events.n,
            start=np.array([0, cut]),
            rates=np.array([found.rate_before, found.rate_after]),
        ),
    )


def segmentations(
    counts: Int64Array, exposures: Int64Array, most: int = MOST_SEGMENTS
) -> list[Segmentation]:
    """Return the best divisions into 1, 2, ..., `most` segments, by dynamic programming.

    The work grows with the square of the number of bins (Jackson et al. 2005, equation 5).

    Args:
        counts: Events in each bin, shape (W,).
        exposures: Sequences in each bin, shape (W,).
        most: Largest number of segments.
    """
    y, e = (np.concatenate(([0], np.cumsum(x))) for x in (counts, exposures))
    # cost[i, j] of a segment of the bins [i, j); impossible ones never win.
    i, j = np.triu_indices(len(y), k=1)
    cost = np.full((len(y), len(y)), np.inf)
    cost[i, j] = -log_likelihood(y[j] - y[i], e[j] - e[i])
    best, back = cost[0], []
    found = [Segmentation((), float(best[-1]), _bic(best[-1], 1, len(counts)))]
    for segments in range(2, min(most, len(counts)) + 1):
        through = best[:, None] + cost
        back.append(through.argmin(axis=0))
        best = through.min(axis=0)
        starts, end = [], len(counts)
        for before in reversed(back):
            end = int(before[end])
            starts.append(end)
        found.append(
            Segmentation(
                tuple(starts[::-1]), float(best[-1]), _bic(best[-1], segments, len(counts))
            )
        )
    return found


def change_points_model(events: EventSequence) -> Model:
    """Fit as many change points as the Bayesian criterion wants, between equal bins of the axis.

    There is no p-value: the number was chosen on the same data.
    """
    name, n = "change points", events.n_events
    if reason := _undefined(n, events.exposure):
        return undefined_model(name, n, reason)
    bins = events.windows(-(-events.n // BINS))
    chosen = min(segmentations(bins.counts, bins.exposures), key=lambda s: s.bic)
    cuts = bins.start[list(chosen.starts)]
    there = parts(events, cuts.tolist())
    rates = there.counts / there.exposures
    gain = 2 * float(special.xlogy(there.counts, rates / events.fraction).sum())
    edges = {f"index_{i + 1}": float(cut) for i, cut in enumerate(cuts)}
    return Model(
        name,
        homogeneous(n, events.exposure).log_likelihood + gain / 2,
        edges | {f"rate_{i + 1}": float(rate) for i, rate in enumerate(rates)},
        n,
        likelihood_ratio=gain,
        rate=partial(rate_of_parts, n=events.n, start=there.start, rates=rates),
    )


def _undefined(n: int, total: int) -> str | None:
    if total == 0:
        return "no exposed sequence was scanned"
    if n == 0:
        return "no events"
    return "every observed sequence is an event" if n == total else None


def _random_ranks(n: int, total: int, rng: np.random.Generator, draws: int) -> Int64Array:
    drawn = [rng.choice(total, n, replace=False, shuffle=False) for _ in range(draws)]
    return np.sort(np.array(drawn, dtype=np.int64), axis=-1)


def _drop(tau: int, k: int, n: int, total: int, rng: np.random.Generator, trim: Interval) -> float:
    """Return how far the true split falls behind the best in 95% of draws from the fitted rates.

    Where these are 0 and 1 all draws are alike, and say nothing: then that of a small jump.
    """
    if {k, n - k} == {0, n} and n in (tau, total - tau):
        return SMALL_JUMP_DROP
    draws = DRAWS // 5
    first = _random_ranks(k, tau, rng, draws)
    second = tau + _random_ranks(n - k, total - tau, rng, draws)
    gain = best_splits(np.concatenate((first, second), axis=-1), total, trim)[2].max(axis=-1)
    there = float(split_gain(np.asarray(k), np.asarray(tau), n, total))
    return float(np.quantile(gain - there, 0.95, method="higher"))


def _close_places(
    ranks: Int64Array, place: Int64Array, gain: FloatArray, least: float, trim: Interval, total: int
) -> tuple[int, int]:
    """Return the first and last split of at least this gain, beside events or far from any.

    The outermost of those beside an event reach into the gap beyond it, where the gain falls.
    """
    n, close = len(ranks), place[gain >= least]
    ends = math.ceil(max(trim[0] * total, 1)), math.floor(min(trim[1] * total, total - 1))
    reached = []
    for at, step in ((int(close.min()), -1), (int(close.max()), 1)):
        k = int(np.searchsorted(ranks, at))
        last = ends[0] if k == 0 else max(ends[0], int(ranks[k - 1]) + 1)
        if step > 0:
            last = ends[1] if k == n else min(ends[1], int(ranks[k]))
        inside, outside = 0, max(step * (last - at), 0) + 1
        while outside - inside > 1:
            middle = (inside + outside) // 2
            there = split_gain(np.asarray(k), np.asarray(at + step * middle), n, total)
            inside, outside = (middle, outside) if there >= least else (inside, middle)
        reached.append(at + step * inside)
    return reached[0], reached[1]


def _index_of_rank(events: EventSequence, rank: int) -> int:
    """Return the index of the observed sequence of this rank, one past the last for the total."""
    start, stop = events.observed.T
    after = np.cumsum(stop - start)
    which = min(int(np.searchsorted(after, rank, side="right")), len(start) - 1)
    return int(stop[which] - (after[which] - rank))


def _bic(cost: float, segments: int, bins: int) -> float:
    return float(2 * cost + (2 * segments - 1) * math.log(bins))
