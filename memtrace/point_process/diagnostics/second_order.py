"""At what distance do events attract or avoid each other? Fano and Allan curves, Ripley's K.

It measures pairs and variances over scales; one rate for all of training is the reference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memtrace.point_process.diagnostics.dispersion import reference
from memtrace.point_process.events import EventSequence
from memtrace.types import FloatArray, Int64Array

HALVINGS, DOUBLINGS = 2, 6
"""Window lengths from a quarter of the unit to 64 times it."""
MOST_LAGS = 200
"""Ripley's K counts pairs by their distance in order; beyond so many the radius is left out."""
BLOCK = 1 << 15
"""Events whose pairs are counted at a time."""


@dataclass(frozen=True, eq=False)
class FanoCurve:
    """Variance over mean of window counts, against the length of the window."""

    length: Int64Array
    """Sequences in a window, shape (k,)."""
    windows: Int64Array
    """Complete windows, shape (k,)."""
    fano: FloatArray
    """Variance over mean; 1 - p in random order. NaN where fewer than two windows are complete."""
    allan: FloatArray
    """Mean square difference of neighbours over twice the mean."""
    low: FloatArray
    """Envelope that holds the whole Fano curve in 95% of random orders, shape (k,)."""
    high: FloatArray
    expected: float
    """1 - p."""


@dataclass(frozen=True)
class RipleyK:
    """Pairs of events within a distance of each other."""

    radius: int
    pairs: int
    """Ordered pairs within the radius."""
    uncorrected: float
    """T pairs / (n (n - 1))."""
    k: float
    """The same with each pair weighted by T / (T - distance), for what the ends cut off."""
    expected: float
    """2 r T / (T - 1): exact for events in random order."""

    @property
    def ratio(self) -> float:
        """Return the pairs relative to random order."""
        return self.k / self.expected


def fano_and_allan(counts: Int64Array) -> tuple[float, float]:
    """Return the Fano factor (variance with W - 1) and the Allan factor of consecutive counts."""
    if len(counts) < 2 or not counts.sum():
        return math.nan, math.nan
    mean = float(counts.mean())
    allan = float((np.diff(counts) ** 2).mean()) / (2 * mean)
    return float(counts.var(ddof=1)) / mean, allan


def fano_curve(events: EventSequence, unit: int) -> FanoCurve:
    """Return Fano and Allan factors over windows of unit / 4, unit / 2, ..., 64 units.

    Only windows that were observed as a whole count. The envelope takes quantiles of the statistic
    with its moments in random order (see `reference`) at a level divided by the number of lengths.
    """
    scaled = unit * 2.0 ** np.arange(-HALVINGS, DOUBLINGS + 1)
    lengths = np.unique(np.maximum(scaled, 1).astype(np.int64))
    lengths = lengths[lengths <= max(events.n // 4, 1)]
    level = 0.025 / max(len(lengths), 1)
    found = [_fano_at(events, int(length), level) for length in lengths]
    table = np.array(found or np.empty((0, 5)), float)
    number, fano, allan, low, high = table.T
    free = 1 - events.fraction
    return FanoCurve(lengths, number.astype(np.int64), fano, allan, low, high, free)


def _fano_at(
    events: EventSequence, length: int, level: float
) -> tuple[int, float, float, float, float]:
    """Return windows, Fano and Allan factor and the ends of the envelope at one length.

    Given how many events fell into complete windows, only those windows count.
    """
    windows = events.windows(length)
    complete = windows.counts[windows.exposures == length]
    number, n_events = len(complete), int(complete.sum())
    fano, allan = fano_and_allan(complete)
    total = number * length
    if math.isnan(fano) or n_events == total:
        return number, fano, allan, 0.0, 0.0  # nothing can vary
    share = n_events / total
    law = reference(np.full(number, length * share), share).law
    scale = (1 - share) / (number - 1) * total / (total - 1)
    # In windows of one sequence there is one value only, and rounding.
    low, high = scale * law.isf(1 - level) - 1e-9, scale * law.isf(level) + 1e-9
    return number, fano, allan, float(low), float(high)


def ripley_k(positions: Int64Array, total: int, radii: Sequence[int]) -> tuple[RipleyK, ...]:
    """Count pairs of events within each radius, but for radii with too many of them.

    Nothing is counted of fewer than two events.

    Args:
        positions: Ascending positions or ranks.
        total: Length of the axis.
        radii: Largest distances, each below `total`.
    """
    n = len(positions)
    most = max(MOST_LAGS, 10_000_000 // max(n, 1))
    # Of `most` + 2 events in a row the first and the last must be further apart.
    apart = positions[most + 1 :] - positions[: -most - 1]
    counted = [radius for radius in radii if n > 1 and (apart > radius).all()]
    scale = total / max(n * (n - 1), 1)
    return tuple(
        RipleyK(r, pairs, scale * pairs, scale * weighted, 2 * r * total / (total - 1))
        for r, (pairs, weighted) in zip(counted, _pairs(positions, total, counted), strict=True)
    )


def _pairs(positions: Int64Array, total: int, radii: list[int]) -> list[tuple[int, float]]:
    """Return the ordered pairs within each radius, and the sum of their weights.

    Pairs are visited by their distance in order until none is within a radius, for a block of
    events at a time that stays in the processor's cache.
    """
    n, descending = len(positions), sorted(radii, reverse=True)
    pairs, weighted = dict.fromkeys(radii, 0), dict.fromkeys(radii, 0.0)
    for start in range(0, n if radii else 0, BLOCK):
        block = positions[start : start + BLOCK]
        for lag in range(1, n - start):
            later = positions[start + lag : start + lag + len(block)]
            near = later - block[: len(later)]
            if near.min() > descending[0]:
                break
            for radius in descending:
                near = near[near <= radius]
                pairs[radius] += 2 * len(near)
                weighted[radius] += 2 * float((total / (total - near)).sum())
    return [(pairs[radius], weighted[radius]) for radius in radii]
