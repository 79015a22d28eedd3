"""Draws of events: in random order (the null), and from any rate over training."""

import math

import numpy as np

from memtrace.errors import FitError
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, Rate
from memtrace.types import Int64Array

GRID = 4097
NUMPY_LIMIT = 1_000_000_000
"""NumPy's hypergeometric draws know no larger population."""


def random_order(n: int, n_events: int, rng: np.random.Generator) -> EventSequence:
    """Draw events as they fall if order does not matter: a simple random sample of [0, n).

    Raises:
        FitError: There are more events than sequences.
    """
    if n_events > n:
        raise FitError(f"{n_events:,} events are more than the {n:,} sequences; draw fewer")
    positions = rng.choice(n, n_events, replace=False, shuffle=False)
    return EventSequence.from_positions(positions, n=n)


def window_counts(
    exposures: Int64Array, n_events: int, rng: np.random.Generator, draws: int | None = None
) -> Int64Array:
    """Draw the window counts of events in random order: multivariate hypergeometric.

    Returns:
        Counts of shape (W,), or (draws, W) if a number of draws is given.
    """
    if exposures.sum() >= NUMPY_LIMIT:
        return _placed_counts(exposures, n_events, rng, draws)
    counts: Int64Array = rng.multivariate_hypergeometric(
        exposures, n_events, size=draws, method="marginals"
    )
    return counts


def _placed_counts(
    exposures: Int64Array, n_events: int, rng: np.random.Generator, draws: int | None
) -> Int64Array:
    """Draw window counts by placing the events one by one."""
    edges = np.concatenate(([0], np.cumsum(exposures)))
    counts = np.empty((1 if draws is None else draws, len(exposures)), np.int64)
    for row in counts:
        placed = np.sort(rng.choice(edges[-1], n_events, replace=False, shuffle=False))
        row[:] = np.diff(np.searchsorted(placed, edges))
    return counts[0] if draws is None else counts


def log_linear_drift(
    n: int, n_events: float, rate_ratio: float, rng: np.random.Generator
) -> EventSequence:
    """Draw independent events, at most one a sequence, at a rate that drifts log-linearly.

    Args:
        n: Length of the axis in sequences.
        n_events: Expected number of events.
        rate_ratio: Rate at the end over rate at the start.
        rng: Source of randomness.

    Raises:
        FitError: The highest rate would be above one event a sequence.
    """
    theta = math.log(rate_ratio)
    start = n_events / n * (theta / math.expm1(theta) if theta else 1.0)
    return from_rate(lambda u: start * np.exp(theta * u), n, rng)


def from_model(model: Model, like: EventSequence, rng: np.random.Generator) -> EventSequence:
    """Draw events from a fitted model of the positions, with the exposure of `like`.

    Raises:
        FitError: The model is one of counts or was not fitted, or its rate exceeds one somewhere.
    """
    if model.rate is None or model.reason:
        why = model.reason or "it describes window counts, not positions"
        raise FitError(f"no events can be drawn from {model.name!r}: {why}; choose another model")
    drawn = from_rate(model.rate, like.n, rng).positions
    if not len(like.observed):
        kept = drawn[:0]
    else:
        which = np.searchsorted(like.observed[:, 0], drawn, side="right") - 1
        kept = drawn[(which >= 0) & (drawn < like.observed[which, 1])]
    return EventSequence.from_positions(
        kept,
        n=like.n,
        observed=like.observed,
        sequences_per_step=like.schedule,
        label=f"drawn from {model.name}",
    )


def from_rate(rate: Rate, n: int, rng: np.random.Generator) -> EventSequence:
    """Draw independent events, at most one a sequence, at a rate of events per sequence.

    Candidates at the highest rate are thinned (Lewis and Shedler 1979), so that the work grows with
    the events and not with the axis.

    Args:
        rate: Events per sequence at u = (index + 1/2) / n.
        n: Length of the axis in sequences.
        rng: Source of randomness.

    Raises:
        FitError: The highest rate is above one event a sequence.
    """
    if n == 0:
        return EventSequence.from_positions([], n=0)
    # The ends belong to the grid, where a rate may have its only peak.
    grid = np.concatenate(([0.5 / n], np.arange(1, GRID) / GRID, [1 - 0.5 / n]))
    highest = float(rate(grid).max())
    if not highest <= 1:
        raise FitError(f"the highest rate, {highest:.3g} events a sequence, is above 1; lower it")
    # A smooth peak between two points of the grid is higher than both by less than this.
    ceiling = min(1.01 * highest, 1.0)
    candidates = rng.choice(n, rng.binomial(n, ceiling), replace=False, shuffle=False)
    chance = rate((candidates + 0.5) / n)
    kept = rng.random(len(candidates)) * ceiling < chance
    return EventSequence.from_positions(candidates[kept], n=n)
