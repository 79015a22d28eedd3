"""The fit of a Poisson process: events in, every statistic out, and how it is shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memtrace.errors import FitError
from memtrace.manifests.schedule import SequencesPerStep
from memtrace.point_process.contrasts import halves_and_ends
from memtrace.point_process.diagnostics.checks import check
from memtrace.point_process.document import document
from memtrace.point_process.events import EventSequence
from memtrace.point_process.figures import overview
from memtrace.point_process.model import best_model
from memtrace.point_process.models.change_point import change_points_model
from memtrace.point_process.models.constant import binomial_interval, garwood_interval, homogeneous
from memtrace.point_process.models.counts import count_models
from memtrace.point_process.models.piecewise import Cut, piecewise_constant, tenths
from memtrace.point_process.models.power_law import power_law_model
from memtrace.point_process.models.recency import last_steps
from memtrace.point_process.models.trend import log_linear_model
from memtrace.point_process.order import examine_order
from memtrace.point_process.page import brief, head
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.text import printed
from memtrace.point_process.texts.result import NOT_KNOWN, ByText, by_text
from memtrace.point_process.verdict import verdict
from memtrace.report.base import Renderers, Report
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.texts.groups import EventTexts, Texts
from memtrace.types import Interval

LONGEST_WINDOW = 10**12
"""Beyond every corpus; a number of sequences stays exact in all that is computed of it."""


class PoissonFit(Report, PoissonResult):
    """A result that shows itself: see `PoissonResult` for the values."""

    renderers = Renderers(verdict, document, printed, overview, head, brief)


def fit_poisson(
    events: EventSequence | npt.ArrayLike,
    *,
    n: int | None = None,
    sequences_per_step: SequencesPerStep | None = None,
    texts: Texts | npt.ArrayLike | None = None,
    window: int = 512,
    margin: float = 1.05,
    seed: int = 0,
    cuts: Sequence[Cut] = (),
    row_interval: bool = False,
) -> PoissonFit:
    """Fit a Poisson process to the events and ask whether training order matters.

    `fit_run` does so for a run, and finds its texts.

    Args:
        events: Memorized sequences and what was scanned; or the index of each memorized sequence,
            as an array, a list, or a series of Polars or pandas, with `n`.
        n: Of indices: the sequences that were examined, 0 to n - 1.
        sequences_per_step: Of indices: sequences that one optimizer step consumes.
        texts: Which sequences are copies of one text: an integer of each, such as a hash, equal for
            equal texts, shape (n,); None if it is not known.
        window: Length of a window in sequences.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Seed of the simulations.
        cuts: Points of training at which the rate may change, chosen before the data were seen.
        row_interval: Also show an interval of the share of sequences where some are copies; it
            takes the copies as they are (Fay and Feuer 1997: at least 95%).

    Raises:
        FitError: Nothing was scanned, `events` are no indices of sequences, `texts` are not one
            integer a sequence, or `window`, `margin` or `cuts` have no meaning.
    """
    events = _as_events(events, n, sequences_per_step)
    asked = Asked(window, margin, seed, tuple(cuts), row_interval)
    asked.check()
    known = None
    if texts is not None:
        found = Events(events.positions, events.observed)
        known = by_text(
            _as_texts(texts, events.n), found, events.n, window=window, margin=margin, seed=seed
        )
    return fit_events(events, asked, known)


@dataclass(frozen=True)
class Asked:
    """What is asked of events: the arguments that `fit_poisson` and `fit_run` share."""

    window: int = 512
    margin: float = 1.05
    seed: int = 0
    cuts: tuple[Cut, ...] = ()
    row_interval: bool = False

    def check(self) -> None:
        """Refuse a window that has no meaning.

        Raises:
            FitError: It holds no sequence, or more than any corpus.
        """
        if not 1 <= self.window <= LONGEST_WINDOW:
            raise FitError(
                f"window {self.window:,} must hold 1 to {LONGEST_WINDOW:,} sequences, such as 512"
            )


def fit_events(
    events: EventSequence,
    asked: Asked,
    known: ByText | None = None,
    *,
    unknown: str = NOT_KNOWN,
    event_texts: EventTexts | None = None,
) -> PoissonFit:
    """Fit a Poisson process to events, with what is known of their texts.

    Args:
        events: Memorized sequences and what was scanned.
        asked: What is asked of them.
        known: Statistics by text.
        unknown: Why there are none.
        event_texts: How the events fall on texts, where only that is known.

    Raises:
        FitError: As `fit_poisson`.
    """
    asked.check()
    window, margin, seed, cuts = asked.window, asked.margin, asked.seed, asked.cuts
    if events.exposure == 0 and not events.not_exposed_exposure:
        raise FitError("no sequence was scanned, so there is nothing to fit; run `memtrace scan`")
    windows, unit = events.windows(window), events.sequences_per_step or window
    # A stream for each simulation, so that none depends on what others drew.
    seeds = np.random.SeedSequence(seed).spawn(4)
    streams = [np.random.default_rng(one) for one in seeds[1:]]
    order = examine_order(events, window=window, margin=margin, seed=seeds[0])
    trend = order.trend
    steady = homogeneous(events.n_events, events.exposure)
    models = [steady, log_linear_model(events, trend)]
    models.append(piecewise_constant(events, tenths(events), "tenths", streams[0]))
    if cuts:
        places = [cut.index for cut in cuts]
        models.append(piecewise_constant(events, places, "known cuts", streams[1]))
    models += [order.step, change_points_model(events), order.spline.model]
    models += [power_law_model(events), order.recency, *count_models(windows)]
    return PoissonFit(
        events=events,
        window=window,
        seed=seed,
        cuts=cuts,
        windows=windows,
        rate_ci95=_per_window(binomial_interval, events, window),
        rate_ci95_poisson=_per_window(garwood_interval, events, window),
        dispersion=order.dispersion,
        trend=trend,
        equivalence=order.equivalence,
        uniformity=order.uniformity,
        row_interval=asked.row_interval,
        by_text=known,
        by_text_reason=None if known else unknown,
        event_texts=event_texts,
        spline=order.spline,
        change_point=order.change_point,
        models=tuple(models),
        contrasts=halves_and_ends(events),
        last_steps=last_steps(events),
        order=order,
        checks=check(events, windows, best_model(tuple(models)), unit, streams[2]),
    )


def _as_events(
    given: "EventSequence | npt.ArrayLike",
    n: int | None,
    sequences_per_step: SequencesPerStep | None,
) -> EventSequence:
    """Return events as they are, or made of the index of each.

    Raises:
        FitError: They are neither.
    """
    if isinstance(given, EventSequence):
        if n is not None or sequences_per_step is not None:
            raise FitError("an EventSequence has its own n and sequences_per_step: leave them out")
        return given
    if isinstance(given, Run):
        raise FitError("a run is fitted with its texts: call memtrace.fit_run(run)")
    try:
        indices = np.asarray(given)
    except ValueError:  # lists of several lengths
        indices = np.asarray(None)
    if indices.ndim != 1:
        raise FitError(
            f"events are {type(given).__name__}: give an EventSequence, or the index of each "
            "memorized sequence as a one-dimensional array or series, with n="
        )
    if n is None:
        raise FitError(
            "give n, how many sequences were examined: fit_poisson(indices, n=1_000_000)"
        )
    return EventSequence.from_positions(indices, n=n, sequences_per_step=sequences_per_step)


def _as_texts(given: Texts | npt.ArrayLike, n: int) -> Texts:
    """Return texts as they are, or made of a label of each sequence.

    Raises:
        FitError: They are neither.
    """
    if isinstance(given, Texts):
        return given
    labels = np.asarray(given)
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise FitError(
            f"texts are {labels.dtype} of shape {labels.shape}: give an integer of each of the "
            f"{n:,} sequences, equal for equal texts"
        )
    return Texts.from_labels(labels)


def _per_window(interval: Any, events: EventSequence, window: int) -> Interval:
    if events.exposure == 0:
        return math.nan, math.nan
    low, high = interval(events.n_events, events.exposure)
    return float(low) * window, float(high) * window
