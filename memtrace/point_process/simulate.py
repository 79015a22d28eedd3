"""Draws of events: in random order (the null), and with a rate that drifts log-linearly.

It tests nothing; every draw takes an explicit generator.
"""

import math

import numpy as np

from memtrace.errors import FitError
from memtrace.point_process.events import EventSequence, Int64Array


def random_order(n: int, n_events: int, rng: np.random.Generator) -> EventSequence:
    """Draw events as they fall if order does not matter: a simple random sample of [0, n)."""
    positions = rng.choice(n, n_events, replace=False, shuffle=False)
    return EventSequence.from_positions(positions, n=n)


def window_counts(exposures: Int64Array, n_events: int, rng: np.random.Generator) -> Int64Array:
    """Draw the window counts of events in random order: multivariate hypergeometric, shape (W,)."""
    counts: Int64Array = rng.multivariate_hypergeometric(exposures, n_events, method="marginals")
    return counts


def log_linear_drift(
    n: int, n_events: float, rate_ratio: float, rng: np.random.Generator
) -> EventSequence:
    """Draw independent events, at most one a sequence, at a rate that drifts log-linearly.

    Candidates at the highest rate are thinned (Lewis and Shedler 1979), so that the work grows with
    the events and not with the axis.

    Args:
        n: Length of the axis in sequences.
        n_events: Expected number of events.
        rate_ratio: Rate at the end over rate at the start.
        rng: Source of randomness.

    Raises:
        FitError: The highest rate would be above one event a sequence.
    """
    theta = math.log(rate_ratio)
    mean_weight = math.expm1(theta) / theta if theta else 1.0
    highest = n_events / n * max(1.0, rate_ratio) / mean_weight
    if highest > 1:
        raise FitError(f"the highest rate, {highest:.3g} events a sequence, is above 1; lower it")
    candidates = rng.choice(n, rng.binomial(n, highest), replace=False, shuffle=False)
    weight = np.exp(theta * (candidates + 0.5) / n - max(0.0, theta))
    return EventSequence.from_positions(candidates[rng.random(len(candidates)) < weight], n=n)
