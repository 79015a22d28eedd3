"""The whole fit as one value: events in, every statistic, the JSON document and the page out.

It computes no statistic itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.errors import FitError
from memtrace.point_process.contrasts import compare_shares, halves_and_ends
from memtrace.point_process.diagnostics.checks import Checks, check
from memtrace.point_process.diagnostics.dispersion import Dispersion, dispersion
from memtrace.point_process.diagnostics.uniformity import Uniformity, uniformity
from memtrace.point_process.diagnostics.window_counts import Rootogram, rootogram
from memtrace.point_process.events import EventSequence, Windows
from memtrace.point_process.models.change_point import (
    ChangePoint,
    change_point,
    change_point_model,
    change_points_model,
)
from memtrace.point_process.models.constant import (
    RateComparison,
    binomial_interval,
    garwood_interval,
    homogeneous,
)
from memtrace.point_process.models.counts import count_models
from memtrace.point_process.models.model import Model, best_model
from memtrace.point_process.models.piecewise import Cut, piecewise_constant, tenths
from memtrace.point_process.models.power_law import power_law_model
from memtrace.point_process.models.recency import last_steps, recency
from memtrace.point_process.models.spline import Spline, spline
from memtrace.point_process.models.trend import Equivalence, Trend, log_linear, log_linear_model
from memtrace.types import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class PoissonFit:
    """Everything that `fit_poisson` finds out about one model at one checkpoint."""

    events: EventSequence
    window: int
    """Length of a window in sequences."""
    seed: int
    """Seed of every simulation in the fit and its figures."""
    cuts: tuple[Cut, ...]
    """Points of training that were of interest beforehand."""
    windows: Windows
    rate_ci95: Interval
    """Exact interval of the rate per window, at most one event a sequence."""
    rate_ci95_poisson: Interval
    """Exact interval of the rate per window as a Poisson mean."""
    dispersion: Dispersion
    trend: Trend
    equivalence: Equivalence
    uniformity: Uniformity
    control: RateComparison | None
    """Exposed against unexposed sequences; None where either was not scanned."""
    spline: Spline
    change_point: ChangePoint
    models: tuple[Model, ...]
    contrasts: dict[str, RateComparison]
    """Halves and ends of training against each other."""
    last_steps: dict[int, RateComparison]
    """The last so many steps against the rest of training."""
    checks: Checks

    @property
    def unit(self) -> int:
        """Return the length of an optimizer step in sequences, of a window where there is none."""
        return self.events.sequences_per_step or self.window

    @property
    def rate_per_window(self) -> float:
        """Return the events per window of sequences that were looked at."""
        return self.events.fraction * self.window

    @property
    def best(self) -> Model:
        """Return the model of the positions with the smallest Bayesian criterion."""
        return best_model(self.models)

    @cached_property
    def rootogram(self) -> Rootogram | None:
        """Return the frequencies of window counts, None without events; drawn on first use."""
        if not self.events.n_events:
            return None
        return rootogram(self.windows, np.random.default_rng(self.seed))

    @property
    def verdict(self) -> str:
        """Return the answer in one plain sentence."""
        from memtrace.point_process.verdict import verdict

        return verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `fit-poisson --json`: undefined values are None, with a reason."""
        from memtrace.point_process.document import document

        return document(self)

    def summary(self) -> str:
        """Return the printed page as plain text."""
        from memtrace.point_process.text import summary

        return summary(self)

    def plot(self) -> "Figure":
        """Return the page of figures."""
        from memtrace.point_process.figures import page

        return page(self)


def fit_poisson(
    events: EventSequence,
    *,
    window: int = 512,
    margin: float = 1.05,
    seed: int = 0,
    cuts: Sequence[Cut] = (),
) -> PoissonFit:
    """Fit a Poisson process to the events and ask whether training order matters.

    Args:
        events: Memorized sequences and what was looked at.
        window: Length of a window in sequences.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Seed of the simulations.
        cuts: Points of training at which the rate may change, chosen before looking.

    Raises:
        FitError: Nothing was scanned, or `window`, `margin` or `cuts` have no meaning.
    """
    if window < 1:
        raise FitError(f"window {window} must hold at least 1 sequence")
    if events.exposure == 0 and not events.unexposed_exposure:
        raise FitError("no sequence was scanned, so there is nothing to fit; run `memtrace scan`")
    windows, unit = events.windows(window), events.sequences_per_step or window
    # A stream for each simulation, so that none depends on what others drew.
    streams = np.random.default_rng(seed).spawn(7)
    trend = log_linear(events, step=unit)
    curve = spline(events, streams[0], inflation=trend.inflation)
    change = change_point(events, streams[1])
    steady, drifting = (
        homogeneous(events.n_events, events.exposure),
        log_linear_model(events, trend),
    )
    models = [steady, drifting, piecewise_constant(events, tenths(events), "tenths", streams[2])]
    if cuts:
        known = [cut.index for cut in cuts]
        models.append(piecewise_constant(events, known, "known cuts", streams[3]))
    models += [change_point_model(events, change), change_points_model(events), curve.model]
    models += [power_law_model(events), recency(events, unit, streams[4]), *count_models(windows)]
    return PoissonFit(
        events=events,
        window=window,
        seed=seed,
        cuts=tuple(cuts),
        windows=windows,
        rate_ci95=_per_window(binomial_interval, events, window),
        rate_ci95_poisson=_per_window(garwood_interval, events, window),
        dispersion=dispersion(windows, rng=streams[5]),
        trend=trend,
        equivalence=trend.equivalence(margin),
        uniformity=uniformity(events),
        control=_control(events),
        spline=curve,
        change_point=change,
        models=tuple(models),
        contrasts=halves_and_ends(events),
        last_steps=last_steps(events),
        checks=check(events, windows, best_model(tuple(models)), unit, streams[6]),
    )


def _per_window(interval: Any, events: EventSequence, window: int) -> Interval:
    if events.exposure == 0:
        return math.nan, math.nan
    low, high = interval(events.n_events, events.exposure)
    return float(low) * window, float(high) * window


def _control(events: EventSequence) -> RateComparison | None:
    if not events.exposure or not events.unexposed_exposure:
        return None
    return compare_shares(
        (events.n_events, events.unexposed_events or 0),
        (events.exposure, events.unexposed_exposure),
    )
