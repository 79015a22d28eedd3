"""The whole fit as one value: events in, every statistic, the JSON document and the page out.

It computes no statistic itself.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.errors import FitError
from memtrace.point_process.counts import Rootogram, rootogram
from memtrace.point_process.dispersion import Dispersion, dispersion
from memtrace.point_process.events import EventSequence, Windows
from memtrace.point_process.poisson import (
    Interval,
    Model,
    RateComparison,
    binomial_interval,
    compare_rates,
    garwood_interval,
    homogeneous,
)
from memtrace.point_process.trend import Equivalence, Trend, log_linear, log_linear_model
from memtrace.point_process.uniformity import Uniformity, uniformity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSING_RANGES_LISTED = 1000
"""A scan of a random sample leaves millions of gaps; the document lists the first ones."""


@dataclass(frozen=True, eq=False)
class PoissonFit:
    """Everything that `fit_poisson` finds out about one model at one checkpoint."""

    events: EventSequence
    window: int
    """Length of a window in sequences."""
    seed: int
    """Seed of every simulation in the fit and its figures."""
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
    models: tuple[Model, ...]

    @property
    def rate_per_window(self) -> float:
        """Return the events per window of sequences that were looked at."""
        return self.events.fraction * self.window

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
        """Return the document of `fit-poisson --json`: undefined values are None, with a reason.

        Rates are events per window, and so are the ends of `rate_difference_ci95`.
        """
        document = {
            "label": self.events.label,
            "events": self.events.n_events,
            "exposure": self.events.exposure,
            "window": self.window,
            "window_count": len(self.windows.counts),
            "seed": self.seed,
            "rate_per_window": self.rate_per_window,
            "rate_ci95": self.rate_ci95,
            "rate_ci95_poisson": self.rate_ci95_poisson,
            "rate_per_million": self.events.fraction * 1e6,
            "reason": None if self.events.exposure else "no exposed sequence was scanned",
            "dispersion": _dispersion_document(self.dispersion),
            "trend": _trend_document(self.trend),
            "equivalence": vars(self.equivalence) | {"reason": self.trend.reason},
            "uniformity": dict(vars(self.uniformity)),
            "change_point": dict.fromkeys(("index", "step", "rate_ratio", "p_value"))
            | {"reason": "not computed yet"},
            "models": [
                {**vars(model), "aic": model.aic, "bic": model.bic} for model in self.models
            ],
            "coverage": _coverage_document(self.events),
            "control": self._control_document(),
            "verdict": self.verdict,
        }
        safe: dict[str, Any] = _json_safe(document)
        return safe

    def summary(self) -> str:
        """Return the printed page: plain text, aligned."""
        from memtrace.point_process.summary import summary

        return summary(self)

    def plot(self) -> "Figure":
        """Return the page of figures."""
        from memtrace.plots import page

        return page(self)

    def _control_document(self) -> dict[str, Any]:
        events, compared = self.events, self.control
        document: dict[str, Any] = {
            "unexposed_events": events.unexposed_events,
            "unexposed_exposure": events.unexposed_exposure,
            **dict.fromkeys(("rate_difference", "rate_difference_ci95", "rate_ratio")),
            **dict.fromkeys(("rate_ratio_ci95", "p_value")),
        }
        if compared is None:
            which = "exposed" if events.unexposed_exposure else "unexposed"
            return {**document, "reason": f"no {which} sequence was scanned"}
        return document | {
            "rate_difference": compared.difference * self.window,
            "rate_difference_ci95": [end * self.window for end in compared.difference_ci95],
            "rate_ratio": compared.ratio,
            "rate_ratio_ci95": compared.ratio_ci95,
            "p_value": compared.p_value,
            "reason": None if math.isfinite(compared.ratio) else "no unexposed event: no ratio",
        }


def fit_poisson(
    events: EventSequence, *, window: int = 512, margin: float = 1.05, seed: int = 0
) -> PoissonFit:
    """Fit a Poisson process to the events and ask whether training order matters.

    Args:
        events: Memorized sequences and what was looked at.
        window: Length of a window in sequences.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Seed of the simulations.

    Raises:
        FitError: Nothing was scanned, or `window` or `margin` has no meaning.
    """
    if window < 1:
        raise FitError(f"window {window} must hold at least 1 sequence")
    if events.exposure == 0 and not events.unexposed_exposure:
        raise FitError("no sequence was scanned, so there is nothing to fit; run `memtrace scan`")
    windows = events.windows(window)
    trend = log_linear(events, step=events.sequences_per_step or window)
    return PoissonFit(
        events=events,
        window=window,
        seed=seed,
        windows=windows,
        rate_ci95=_per_window(binomial_interval, events, window),
        rate_ci95_poisson=_per_window(garwood_interval, events, window),
        dispersion=dispersion(windows, rng=np.random.default_rng(seed)),
        trend=trend,
        equivalence=trend.equivalence(margin),
        uniformity=uniformity(events),
        control=_control(events),
        models=(homogeneous(events.n_events, events.exposure), log_linear_model(events, trend)),
    )


def _per_window(interval: Any, events: EventSequence, window: int) -> Interval:
    if events.exposure == 0:
        return math.nan, math.nan
    low, high = interval(events.n_events, events.exposure)
    return float(low) * window, float(high) * window


def _control(events: EventSequence) -> RateComparison | None:
    if not events.exposure or not events.unexposed_exposure:
        return None
    return compare_rates(
        (events.n_events, events.unexposed_events or 0),
        (events.exposure, events.unexposed_exposure),
    )


def _dispersion_document(d: Dispersion) -> dict[str, Any]:
    return {
        "index_poisson": d.poisson.value,
        "index_binomial": d.binomial.value,
        "ci95": d.binomial.ci95,
        "p_value": d.binomial.p_value,
        "p_over": d.binomial.p_over,
        "ci95_poisson": d.poisson.ci95,
        "p_value_poisson": d.poisson.p_value,
        "degrees_of_freedom": d.degrees_of_freedom,
        "method": d.method,
        "cv": d.cv,
        "cv_upper95": d.cv_upper95,
        "icc": d.icc,
        "reason": d.reason,
    }


def _trend_document(trend: Trend) -> dict[str, Any]:
    ratios = (trend.rate_ratio, trend.interval(0.95)[1], trend.detectable_ratio())
    return {
        "rate_ratio": trend.rate_ratio,
        "ci90": trend.interval(0.90),
        "ci95": trend.interval(0.95),
        "p_value": trend.p_value,
        "log_rate_ratio": trend.theta,
        "inflation": trend.inflation,
        "detectable_rate_ratio": trend.detectable_ratio(),
        "reason": trend.reason or ("too large to represent" if math.inf in ratios else None),
    }


def _coverage_document(events: EventSequence) -> dict[str, Any]:
    missing = events.missing
    return {
        "expected": events.n,
        "seen": events.exposure,
        "missing_ranges": missing[:MISSING_RANGES_LISTED].tolist(),
        "missing_range_count": len(missing),
    }


def _json_safe(value: Any) -> Any:
    """Turn NaN and infinities into None and NumPy's and Python's sequences into lists."""
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_json_safe(item) for item in value]
        # An interval without a finite end says nothing.
        return None if items and all(item is None for item in items) else items
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
