"""Everything that is asked of the order of some events, as one value: of all rows, or of some."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.point_process.departures import Departures, find_departures
from memtrace.point_process.diagnostics.dispersion import Dispersion, dispersion
from memtrace.point_process.diagnostics.uniformity import Uniformity, uniformity
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model
from memtrace.point_process.models.change_point import ChangePoint, change_point, change_point_model
from memtrace.point_process.models.recency import recency
from memtrace.point_process.models.spline import Spline, spline
from memtrace.point_process.models.trend import Equivalence, Trend, log_linear
from memtrace.report.numbers import count

FEW_EVENTS = 10
"""Events below which no rate ratio is given: its size would be that of one event or two."""
UNDERPOWERED = 3.0
"""A fit whose minimum detectable ratio is larger has too few events to say anything of a drift."""


@dataclass(frozen=True, eq=False)
class Order:
    """Tests and models of one order, and what the gate of all its tests found."""

    events: EventSequence
    trend: Trend
    equivalence: Equivalence
    spline: Spline
    change_point: ChangePoint
    step: Model
    """Two constant rates, as `change_point` found them."""
    recency: Model
    uniformity: Uniformity
    dispersion: Dispersion
    """Of window counts."""
    departures: Departures

    @property
    def no_ratio(self) -> str | None:
        """Return why no rate ratio is given, None where one is."""
        few = f"{count(self.events.n_events, 'event')}: a rate ratio takes {FEW_EVENTS}"
        return self.trend.reason or (few if self.events.n_events < FEW_EVENTS else None)

    @property
    def powered(self) -> bool:
        """Return whether a drift of `UNDERPOWERED` would be found with 80% power."""
        return self.no_ratio is None and self.trend.detectable_ratio() <= UNDERPOWERED

    @property
    def underpowered(self) -> bool:
        """Return whether there are too few events to tell whether the rate drifts."""
        few = self.events.n_events < FEW_EVENTS
        return few or not (self.powered or self.departures.found)

    @property
    def detectable_in_full(self) -> float:
        """Return the minimum detectable ratio if all of the axis were scanned, at the same rate."""
        p, n = self.events.fraction, self.events.fraction * self.events.n
        if not n:
            return math.inf
        z = float(stats.norm.isf(0.025) + stats.norm.isf(0.2))
        return math.exp(min(z * math.sqrt(12 * (1 - p) / n), 700.0))


def examine_order(
    events: EventSequence,
    *,
    window: int,
    seed: np.random.SeedSequence,
    margin: float = 1.05,
    others: Mapping[str, float] | None = None,
) -> Order:
    """Test the order of the events, by every test of the gate.

    Args:
        events: Events and exposure.
        window: Length of a window in sequences.
        seed: Of the simulations, each of which has a stream of its own.
        margin: Rate ratio between the end and the start that counts as a drift.
        others: P-values of further tests by name, that pass through the same gate.
    """
    unit = events.sequences_per_step or window
    streams = [np.random.default_rng(child) for child in seed.spawn(5)]
    trend = log_linear(events, step=unit)
    curve = spline(events, streams[0], inflation=trend.overdispersion)
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
        others=others,
    )
    return Order(
        events,
        trend,
        trend.equivalence(margin),
        curve,
        change,
        step,
        fading,
        even,
        windows,
        departures,
    )
