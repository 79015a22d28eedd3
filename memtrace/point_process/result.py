"""What a fit finds, as frozen values, and the thresholds by which all renderers judge them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memtrace.point_process.diagnostics.checks import Checks
from memtrace.point_process.diagnostics.dispersion import Dispersion
from memtrace.point_process.diagnostics.uniformity import Uniformity
from memtrace.point_process.diagnostics.window_counts import Rootogram, rootogram
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, best_model
from memtrace.point_process.models.change_point import ChangePoint
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.models.spline import Spline
from memtrace.point_process.models.trend import Equivalence, Trend
from memtrace.point_process.order import Order
from memtrace.point_process.shares import RateComparison
from memtrace.point_process.texts.result import ByText
from memtrace.point_process.windows import Windows
from memtrace.texts.groups import EventTexts
from memtrace.types import Interval

SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class PoissonResult:
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
    row_interval: bool
    """Whether the share of sequences is shown with an interval where some are copies."""
    by_text: ByText | None
    """Statistics by text: rates, classes and effect of exposure; None where copies are unknown."""
    by_text_reason: str | None
    """Why there are none."""
    event_texts: EventTexts | None
    """How the events fall on texts, where the copies are unknown but hashes are there."""
    spline: Spline
    change_point: ChangePoint
    models: tuple[Model, ...]
    contrasts: dict[str, RateComparison]
    """Halves and ends of training against each other."""
    last_steps: dict[int, RateComparison]
    """The last so many steps against the rest of training."""
    order: Order
    """All of the order of the rows: its tests behind one gate, and the values above once more."""
    checks: Checks

    @property
    def unit(self) -> int:
        """Return the length of an optimizer step in sequences, of a window where there is none."""
        return self.events.sequences_per_step or self.window

    @property
    def rate_per_window(self) -> float:
        """Return the events per window of sequences that were scanned."""
        return self.events.fraction * self.window

    @property
    def has_copies(self) -> bool:
        """Return whether some of the exposed sequences are known to be copies of one text."""
        return self.by_text is not None and self.by_text.rates.texts < self.events.exposure

    @property
    def gate(self) -> Order:
        """Return the order whose tests the answer rests on: by text where texts are known."""
        return self.order if self.by_text is None else self.by_text.order.once

    @property
    def primary(self) -> Order | None:
        """Return the order whose drift is the primary end point: with copies, of once-only texts.

        None where there is no ratio to give, for want of events.
        """
        order = self.gate if self.has_copies else self.order
        return None if order.no_ratio else order

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
