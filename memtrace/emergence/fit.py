"""Memorization over checkpoints: runs in, everything that is estimated out, and how it is shown."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from memtrace.emergence.checkpoints import checkpoints_of
from memtrace.emergence.control import control_of
from memtrace.emergence.copies_effect import CopiesEffect, copies_effect
from memtrace.emergence.document import document
from memtrace.emergence.exposure_effect import exposure_effect
from memtrace.emergence.figures import overview
from memtrace.emergence.first_seen import first_seen_by_scale
from memtrace.emergence.hazard import (
    Cells,
    cells_of,
    chosen,
    of_neighbours,
    one_hazard,
    rates_by,
    regression_on_history,
)
from memtrace.emergence.histories import Histories, read_histories
from memtrace.emergence.moves import Moves, moves_by_text
from memtrace.emergence.outcomes import EVALUATED_AFTER, outcomes_of, retention_of
from memtrace.emergence.overdispersion import LocalOverdispersion, local_overdispersion
from memtrace.emergence.page import brief, head
from memtrace.emergence.panel import Panel, two_state_panel
from memtrace.emergence.parametric import Parametric, fit_parametric
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.text import text
from memtrace.emergence.timescales import TIME_SCALES, TimeScale, fit_time_scale, observations
from memtrace.emergence.verdict import verdict
from memtrace.emergence.windows import emergence_windows
from memtrace.report.base import Renderers, Report
from memtrace.runs.run import Run
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

HALVINGS = 7
"""Parts of the time since exposure, each half as long as the next."""


class EmergenceFit(Report, EmergenceResult):
    """Everything that `fit_emergence` finds out about one model."""

    renderers = Renderers(verdict, document, text, overview, head, brief)


def fit_emergence(
    runs: Sequence[Run],
    *,
    duplicates: str | Path | None = None,
    texts: Texts | None = None,
    min_probability: float | None = None,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EmergenceFit:
    """Say when, in training, the texts of one model were memorized, and which were lost.

    Args:
        runs: Runs of one model at two checkpoints or more, as `find_runs` returns them.
        duplicates: Folder that `corpus duplicates` wrote; small corpora need none. Where copies
            are not known every sequence counts as a text of its own, and the page says so.
        texts: Which sequences are copies, where this is at hand.
        min_probability: Take a sequence as memorized if its continuation has at least this
            probability, in place of if greedy decoding returns it; the runs need likelihoods.
        seed: Seed of the subsamples behind intervals.
        on_progress: Called with the number of scores read since the last call.

    Raises:
        FitError: The runs do not belong together, or no exposed text was evaluated.
        CorpusError: The table of duplicates cannot be read, or is that of another corpus.
    """
    found = read_histories(
        runs,
        duplicates=duplicates,
        texts=texts,
        min_probability=min_probability,
        on_progress=on_progress,
    )
    cells = cells_of(found)
    local = _overdispersion(found, seed)
    parts = found.total_steps / 2.0 ** np.arange(HALVINGS, -1, -1)
    return EmergenceFit(
        histories=found,
        seed=seed,
        checkpoints=checkpoints_of(found),
        outcomes=outcomes_of(found),
        time_scales=_time_scales(found, cells, seed, local.widening),
        hazard=one_hazard(cells),
        hazard_by_checkpoint=tuple(rates_by(cells, cells.stop, np.union1d(0, found.checkpoints))),
        hazard_since_exposure=tuple(
            rates_by(cells, np.maximum(cells.since, 1e-9), np.append(0.0, parts))
        ),
        regression=regression_on_history(found),
        copies=_copies(found, cells),
        effect=exposure_effect(found),
        control=control_of(found),
        forgetting=_forgetting(found),
        learning=_learning(found),
        local_overdispersion=local,
        panel=_panel(found, found.tables.transitions.sum(axis=2)),
        steady=_steady(found),
        confirmed=int(found.risk["confirmed"].sum()),
        distributions=_distributions(found),
        retention=retention_of(found),
    )


def _time_scales(
    found: Histories, cells: Cells, seed: int, widening: float
) -> dict[str, TimeScale]:
    """Fit all time scales; where training went on, the share of it that was left is cut short."""
    seen = first_seen_by_scale(cells, found.total_steps, widening)
    if found.checkpoints[-1] < found.total_steps:
        seen["share"] = seen["exposure"]
    return {
        name: fit_time_scale(found, name, seed, widening=widening, first_seen=seen.get(name))
        for name in TIME_SCALES
    }


def _overdispersion(found: Histories, seed: int) -> LocalOverdispersion:
    windows, _, u, _ = emergence_windows(found)
    return local_overdispersion(windows, u, np.random.default_rng(seed))


def _copies(found: Histories, cells: Cells) -> CopiesEffect:
    """Add the texts that occur once to the times at risk: those have one copy."""
    once = of_neighbours(chosen(cells, ~cells.repeated), found.checkpoints)
    one = {"checkpoint": once.stop, "copies": np.ones(len(once.stop), np.int64)}
    seen = pl.DataFrame({**one, "steps": (once.at_risk - once.events) * once.length})
    born = pl.DataFrame({**one, "steps": once.length, "count": once.events}).with_row_index("text")
    born = born.filter(pl.col("count") > 0).cast({"text": pl.Int64})
    # Names of texts count from 0: those without a name come below.
    born = born.with_columns(text=-1 - pl.col("text"))
    repeated = found.emerged.with_columns(count=pl.lit(1, pl.Int64))
    waiting, emerged = (
        pl.concat([ours.select(theirs.columns).cast(theirs.schema), theirs])
        for ours, theirs in (
            (seen, found.waiting.cast({"steps": pl.Float64})),
            (born, repeated.cast({"steps": pl.Float64})),
        )
    )
    return copies_effect(waiting, emerged)


def _forgetting(found: Histories) -> Moves:
    own = found.own
    return moves_by_text(own["memorized_before"], own["losses"], np.ones(len(own)))


def _learning(found: Histories) -> Moves:
    """Those that were never memorized were in the state at every evaluation but the last."""
    own, idle = found.own, found.tables.idle
    without = own["evaluations"] - 1 - own["memorized_before"]
    return moves_by_text(
        np.append(without, np.maximum(np.arange(len(idle)) - 1, 0)),
        np.append(own["gains"], np.zeros(len(idle))),
        np.append(np.ones(len(own)), idle),
    )


def _panel(found: Histories, moves: Int64Array) -> Panel:
    """Pool transitions by the distance between the checkpoints; `moves` is (K, K, 2, 2)."""
    start, stop = np.nonzero(moves.sum(axis=(2, 3)))
    distance = found.checkpoints[stop] - found.checkpoints[start]
    gaps, which = np.unique(distance, return_inverse=True)
    pooled = np.zeros((len(gaps), 2, 2), np.int64)
    np.add.at(pooled, which, moves[start, stop])
    return two_state_panel(pooled, gaps)


def _steady(found: Histories) -> Panel:
    """Take the state of a pair of checkpoints as that of its first: the next begins at its second.

    Both are in the table as (first, second checkpoint of the earlier pair).
    """
    return _panel(found, found.tables.steady)


def _distributions(found: Histories) -> tuple[Parametric, ...]:
    """Fit distributions of the time since exposure; times are those of `observations`."""
    seen = observations(found, "exposure")
    if not np.isfinite(seen.right).any():
        return ()
    known = len(found.memorized.filter("before_exposure", EVALUATED_AFTER))
    # Never seen without: these too may have been extractable before.
    unknown = found.classes["last_without"].is_null() & found.classes["first_with"].is_not_null()
    left, right, weights = seen.left, seen.right, seen.weights
    before = known > 0 and not unknown.any()
    if before:
        left, right = np.append(left, -np.inf), np.append(right, 0.0)
        weights = np.append(weights, known)
    return tuple(
        fit_parametric(left, right, weights=weights, distribution=name, never=True, before=before)
        for name in ("exponential", "weibull")
    )
