"""A Poisson process of emergence along training: everything that is estimated, as one value."""

import math
from dataclasses import dataclass
from typing import Any

from scipy import stats

from memtrace.emergence.dispersion import EmergenceDispersion
from memtrace.emergence.histories import Histories
from memtrace.emergence.logs import exp
from memtrace.emergence.overdispersion import LocalOverdispersion
from memtrace.point_process.model import Model
from memtrace.point_process.models.change_point import ChangePoint
from memtrace.point_process.models.trend import Equivalence, check_margin
from memtrace.point_process.windows import Windows
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

EXACT = "it needs exact positions; emergence is known only between checkpoints"


@dataclass(frozen=True, eq=False)
class Drift:
    """A rate a exp(theta u) along u = step / total steps, from counts between checkpoints."""

    theta: float
    standard_error: float
    """With the dispersion about the drift, if that is above 1."""
    reason: str | None = None
    """Why values are NaN."""
    degrees_of_freedom: float = math.inf
    """Of that dispersion where it was taken: Student's t stands for the normal distribution."""

    @property
    def _law(self) -> Any:
        return stats.t(self.degrees_of_freedom)

    @property
    def rate_ratio(self) -> float:
        """Return the rate at the end of training over the rate at its start."""
        return exp(self.theta)

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of no drift (Wald)."""
        if self.reason or not self.standard_error:
            return math.nan
        return 2 * float(self._law.sf(abs(self.theta) / self.standard_error))

    def interval(self, confidence: float) -> Interval:
        """Return the interval of the rate ratio (Wald, on the log scale)."""
        low, high = self.log_interval(confidence)
        return exp(low), exp(high)

    def log_interval(self, confidence: float) -> Interval:
        """Return the interval of `theta` (Wald)."""
        if self.reason:
            return UNDEFINED
        width = float(self._law.isf((1 - confidence) / 2)) * self.standard_error
        return self.theta - width, self.theta + width

    def equivalence(self, margin: float) -> Equivalence:
        """Test whether a drift of `margin` or more, either way, can be ruled out.

        Raises:
            FitError: The margin is not above 1.
        """
        check_margin(margin)
        if self.reason:
            return Equivalence(margin, None, math.nan)
        slack = math.log(margin) - abs(self.theta)
        p_value = float(self._law.sf(slack / self.standard_error))
        return Equivalence(margin, p_value < 0.05, p_value)


@dataclass(frozen=True, eq=False)
class EmergenceProcessResult:
    """Everything that `fit_emergence_process` finds out about one model."""

    histories: Histories
    windows: Windows
    """One window for each interval between checkpoints; `start` in steps, `exposures` in texts at
    risk times steps."""
    stop: Int64Array
    """Checkpoint that ends each window, shape (W,)."""
    u: FloatArray
    """Mean of step / total steps over the exposure of each window, shape (W,)."""
    left_out: int
    """Emergences between checkpoints that are no neighbours: one between was not evaluated."""
    rate_ci95: Interval
    """Exact interval of the mean rate, per text and step."""
    """NaN where no text was at risk."""
    dispersion: EmergenceDispersion
    """Of the texts that emerged, about one rate."""
    local_overdispersion: LocalOverdispersion
    trend: Drift
    equivalence: Equivalence
    change_point: ChangePoint
    """`index` is a step here."""
    models: tuple[Model, ...]
    seed: int

    @property
    def label(self) -> str:
        """Return a short name for titles."""
        return f"{self.histories.label}, emergence"

    @property
    def n_events(self) -> int:
        """Return the number of emergences."""
        return int(self.windows.counts.sum())

    @property
    def exposure(self) -> int:
        """Return the texts at risk times steps."""
        return int(self.windows.exposures.sum())

    @property
    def rate(self) -> float:
        """Return emergences per text not yet memorized and step."""
        return self.n_events / self.exposure if self.exposure else math.nan

    @property
    def best(self) -> Model:
        """Return the model with the smallest Bayesian criterion."""
        fitted = [model for model in self.models if not math.isnan(model.bic)]
        return min(fitted, key=lambda model: model.bic, default=self.models[0])
