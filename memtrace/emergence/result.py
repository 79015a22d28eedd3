"""Memorization over checkpoints: everything that is estimated of one model, as one value."""

from dataclasses import dataclass

import polars as pl

from memtrace.emergence.checkpoints import Checkpoint
from memtrace.emergence.control import Control
from memtrace.emergence.copies_effect import CopiesEffect
from memtrace.emergence.exposure_effect import ExposureEffect
from memtrace.emergence.hazard import HazardModel, Rate
from memtrace.emergence.histories import Histories
from memtrace.emergence.moves import Moves
from memtrace.emergence.outcomes import EVALUATED_AFTER, Outcomes, Retention, sequence_table
from memtrace.emergence.overdispersion import LocalOverdispersion
from memtrace.emergence.panel import Panel
from memtrace.emergence.parametric import Parametric
from memtrace.emergence.timescales import TimeScale


@dataclass(frozen=True, eq=False)
class EmergenceResult:
    """Everything that `fit_emergence` finds out about one model."""

    histories: Histories
    seed: int
    checkpoints: tuple[Checkpoint, ...]
    outcomes: Outcomes
    time_scales: dict[str, TimeScale]
    """Non-parametric distributions of the time of emergence: `training`, `exposure`, `share`."""
    hazard: HazardModel
    """One hazard for all of training."""
    hazard_by_checkpoint: tuple[Rate, ...]
    hazard_since_exposure: tuple[Rate, ...]
    regression: HazardModel
    local_overdispersion: LocalOverdispersion
    """Whether many texts emerge together: intervals take them as independent."""
    copies: CopiesEffect
    """How the hazard grows with the copies seen so far."""
    effect: ExposureEffect
    control: Control
    forgetting: Moves
    """From one evaluation that found a text to the next, with the text as the unit."""
    learning: Moves
    panel: Panel
    """Rates of both, from each evaluation of a text to its next; its intervals take evaluations of
    one text as independent and the rates of all texts as equal."""
    steady: Panel
    """The same where only two positive evaluations in a row count as memorized, against flicker."""
    confirmed: int
    """First memories that the next checkpoint found too."""
    distributions: tuple[Parametric, ...]
    """Exponential and Weibull times since exposure, with both atoms; none if nothing emerged."""
    retention: Retention

    @property
    def texts(self) -> int:
        """Return how many texts were evaluated after a copy of them had been trained on."""
        seen = self.histories.memorized.filter("before_exposure", EVALUATED_AFTER)
        return int(self.histories.classes["count"].sum()) + len(seen)

    @property
    def shown(self) -> int:
        """Return how many texts are shown to have emerged: an earlier evaluation had missed them.

        Those that their first evaluation found may have been extractable all along.
        """
        return self.outcomes.emerged - self.outcomes.first_look

    def sequence_table(self) -> pl.DataFrame:
        """Return a row for each text that was ever memorized, with its interval.

        `emerged_after` and `emerged_by` are the ends of the half-open interval in steps,
        `normalized_low` and `normalized_high` in shares of the training that was left.
        """
        return sequence_table(self.histories)
