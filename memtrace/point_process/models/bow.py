"""Is the rate highest, or lowest, in the middle of training? A log rate that is quadratic.

It has one turn at most: a curve with several is a spline.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from memtrace.point_process.events import EventSequence
from memtrace.point_process.log_linear import fit_log_linear
from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.models.constant import homogeneous
from memtrace.types import FloatArray

BINS = 512
LARGEST = 50.0
"""Coefficients of the log rate beyond it have left for infinity."""


@dataclass(frozen=True, eq=False)
class Bow:
    """A fitted hump or trough."""

    model: Model
    turn: float
    """Where the rate is highest or lowest, as a share of the axis; NaN if that lies outside."""
    over_start: float
    """Rate at the turn over that at the start."""
    over_end: float
    """Rate at the turn over that at the end."""

    @property
    def is_hump(self) -> bool:
        """Return whether the turn is the highest place; otherwise it is the lowest."""
        return self.over_start > 1


def bow(events: EventSequence) -> Bow:
    """Fit log rate = a + b v + c v^2, v = u - 1/2, by Poisson regression on `BINS` bins."""
    name, n, nan = "quadratic", events.n_events, math.nan
    bins = events.windows(-(-events.n // BINS))
    stop = np.append(bins.start[1:], events.n)
    middle = np.minimum(stop + bins.start, 2 * bins.start - (-events.n // BINS)) / (2 * events.n)
    v = middle - 0.5
    design = np.column_stack((np.ones_like(v), v, v**2))
    few = len(v) <= design.shape[1]
    fitted = None if few else fit_log_linear(bins.counts, bins.exposures, design)
    if fitted is None or np.abs(fitted.coefficients).max() > LARGEST:
        return Bow(undefined_model(name, n, "the quadratic rate has no finite fit"), nan, nan, nan)
    level, slope, bend = map(float, fitted.coefficients)
    gain = fitted.gain(bins.counts, bins.exposures)
    turn = -slope / (2 * bend) if bend else nan
    inside = abs(turn) < 1 / 2
    model = Model(
        name,
        homogeneous(n, events.exposure).log_likelihood + gain / 2,
        {"log_rate_middle": level, "slope": slope, "bend": bend},
        n,
        likelihood_ratio=gain,
        rate=partial(_rate, level=level, slope=slope, bend=bend),
    )
    # From an end to the turn the log rate changes by bend times the square of the distance.
    to_start, to_end = (math.exp(-bend * (turn - end) ** 2) for end in (-0.5, 0.5))
    if not inside:
        return Bow(model, nan, nan, nan)
    return Bow(model, turn + 0.5, to_start, to_end)


def _rate(u: FloatArray, level: float, slope: float, bend: float) -> FloatArray:
    v = u - 0.5
    value: FloatArray = np.exp(level + slope * v + bend * v**2)
    return value
