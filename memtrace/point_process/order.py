"""Everything that is asked of the order of some events, as one value: of all rows, or of some."""

from dataclasses import dataclass

import numpy as np

from memtrace.point_process.departures import Departures, find_departures
from memtrace.point_process.diagnostics.dispersion import Dispersion, dispersion
from memtrace.point_process.diagnostics.uniformity import Uniformity, uniformity
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model
from memtrace.point_process.models.change_point import ChangePoint, change_point, change_point_model
from memtrace.point_process.models.recency import recency
from memtrace.point_process.models.spline import Spline, spline
from memtrace.point_process.models.trend import Trend, log_linear


@dataclass(frozen=True, eq=False)
class Order:
    """Tests and models of one order, and what the gate of all its tests found."""

    trend: Trend
    spline: Spline
    change_point: ChangePoint
    step: Model
    """Two constant rates, as `change_point` found them."""
    recency: Model
    uniformity: Uniformity
    dispersion: Dispersion
    """Of window counts."""
    departures: Departures


def examine_order(events: EventSequence, *, window: int, seed: np.random.SeedSequence) -> Order:
    """Test the order of the events, by every test of the gate.

    Args:
        events: Events and exposure.
        window: Length of a window in sequences.
        seed: Of the simulations, each of which has a stream of its own.
    """
    unit = events.sequences_per_step or window
    streams = [np.random.default_rng(child) for child in seed.spawn(5)]
    trend = log_linear(events, step=unit)
    curve = spline(events, streams[0], inflation=trend.inflation)
    change = change_point(events, streams[1])
    step, fading = change_point_model(events, change), recency(events, unit, streams[2])
    even, windows = uniformity(events), dispersion(events.windows(window), rng=streams[3])
    departures = find_departures(
        events,
        trend=trend,
        recency=fading,
        step=step,
        curve=curve,
        even=even,
        windows=windows,
        unit=unit,
        rng=streams[4],
    )
    return Order(trend, curve, change, step, fading, even, windows, departures)
