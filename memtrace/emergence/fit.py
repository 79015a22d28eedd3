"""Memorization over checkpoints as one value: runs in, every estimate, the JSON and the page out.

It computes no statistic itself beyond counting rows of the histories.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from memtrace.emergence.hazard import (
    HazardModel,
    Rate,
    cells_of,
    exposure_effect,
    one_hazard,
    rates_by,
    regression_on_history,
)
from memtrace.emergence.histories import Histories, normalized, read_histories
from memtrace.emergence.panel import Panel, two_state_panel
from memtrace.emergence.parametric import Parametric, fit_parametric
from memtrace.emergence.process.fit import Bursts, bursts, emergence_windows
from memtrace.emergence.product_limit import cumulative_incidence
from memtrace.emergence.tallies import AGAIN, HELD
from memtrace.emergence.timescales import CLOCKS, Clock, fit_clock, observations
from memtrace.point_process.models.constant import binomial_interval
from memtrace.runs.run import Run
from memtrace.types import Int64Array, Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

HALVINGS = 7
"""Parts of the time since exposure, each half as long as the next."""
SPELL_LOOKS = (1, 2, 4, 8)
LOOKED_AFTER = pl.col("last_look") > pl.col("exposure_step")


@dataclass(frozen=True)
class Checkpoint:
    """What was memorized at one checkpoint, and what changed since the look before."""

    step: int
    exposed: int
    """Sequences looked at that it had been trained on."""
    memorized: int
    before: int
    """Of those, the ones known to have been extractable before they were trained on."""
    share_ci95: Interval
    """Exact, of `memorized` among `exposed`."""
    unexposed: int
    """Sequences looked at that it had not been trained on: the control group."""
    extractable: int
    """Of those, the ones that it returns all the same."""
    unexposed_ci95: Interval
    learned: int
    """Memorized for the first time, not counting those extractable before."""
    learned_again: int
    lost: int


@dataclass(frozen=True)
class Outcomes:
    """What became of the sequences that were memorized at some checkpoint."""

    ever: int
    """Memorized at some look after exposure, or extractable before."""
    before_exposure: int
    """Extractable before they were trained on: generic continuations, not memories."""
    emerged: int
    """All others."""
    looked_before: int
    """Of those that emerged, how many had been looked at before exposure."""
    always_held: int
    lost: int
    """Lost, and not learned again."""
    learned_again: int
    """Lost and learned again at least once."""
    held_at_last_look: int


@dataclass(frozen=True)
class Spells:
    """What became of first memories after so many more looks (Aalen and Johansen 1978)."""

    looks: tuple[int, ...]
    held: tuple[float, ...]
    lost: tuple[float, ...]
    """Lost by then, and not learned again until the last look."""
    lost_for_a_time: tuple[float, ...]
    """Lost by then, and learned again later."""


@dataclass(frozen=True, eq=False)
class EmergenceFit:
    """Everything that `fit_emergence` finds out about one model."""

    histories: Histories
    seed: int
    checkpoints: tuple[Checkpoint, ...]
    outcomes: Outcomes
    clocks: dict[str, Clock]
    """Non-parametric distributions of the time of emergence: `training`, `exposure`, `share`."""
    hazard: HazardModel
    """One hazard for all of training."""
    hazard_by_checkpoint: tuple[Rate, ...]
    hazard_since_exposure: tuple[Rate, ...]
    regression: HazardModel
    bursts: Bursts
    """Whether many sequences emerge together: intervals take them as independent."""
    effect: HazardModel
    """Of exposure: `exposed`, the log ratio of the hazards of sequences trained on and not yet."""
    panel: Panel
    """Learning and forgetting from each look to the next."""
    steady: Panel
    """The same where only two positive looks in a row count as memorized, against flicker."""
    confirmed: int
    """First memories that the next look found too."""
    laws: tuple[Parametric, ...]
    """Exponential and Weibull times since exposure, with both atoms; none if nothing emerged."""
    spells: Spells

    @property
    def sequences(self) -> int:
        """Return how many sequences were looked at after they had been trained on."""
        seen = self.histories.memorized.filter("before_exposure", LOOKED_AFTER)
        return int(self.histories.classes["count"].sum()) + len(seen)

    @property
    def verdict(self) -> str:
        """Return the answer in plain sentences."""
        from memtrace.emergence.text import verdict

        return verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `emergence --json`: undefined values are None, with a reason."""
        from memtrace.emergence.document import document

        return document(self)

    def sequence_table(self) -> pl.DataFrame:
        """Return a row for each sequence that was ever memorized, with its interval.

        `emerged_after` and `emerged_by` are the ends of the half-open interval in steps,
        `normalized_low` and `normalized_high` in shares of the training that was left.
        """
        return _sequence_table(self.histories)

    def summary(self) -> str:
        """Return the printed page as plain text."""
        from memtrace.report.text import rendered

        return rendered(self.page())

    def page(self) -> "RenderableType":
        """Return the page as rich prints it."""
        from memtrace.emergence.text import page

        return page(self)

    def plot(self) -> "Figure":
        """Return the page of figures."""
        from memtrace.emergence.figures import emergence_page

        return emergence_page(self)


def fit_emergence(
    runs: Sequence[Run],
    *,
    multiplicity: Path | None = None,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> EmergenceFit:
    """Say when, in training, the sequences of one model were memorized, and which were lost.

    Args:
        runs: Runs of one model at two checkpoints or more, as `find_runs` returns them.
        multiplicity: Folder of the table of multiplicities, a covariate of the hazard.
        seed: Seed of the subsamples behind intervals.
        on_progress: Called with the number of scores read since the last call.

    Raises:
        FitError: The runs do not belong together, or no exposed sequence was looked at.
    """
    found = read_histories(runs, multiplicity=multiplicity, on_progress=on_progress)
    cells = cells_of(found)
    parts = found.total_steps / 2.0 ** np.arange(HALVINGS, -1, -1)
    return EmergenceFit(
        histories=found,
        seed=seed,
        checkpoints=_checkpoints(found),
        outcomes=_outcomes(found),
        clocks={name: fit_clock(found, name, seed) for name in CLOCKS},
        hazard=one_hazard(cells),
        hazard_by_checkpoint=tuple(rates_by(cells, cells.stop, np.union1d(0, found.checkpoints))),
        hazard_since_exposure=tuple(
            rates_by(cells, np.maximum(cells.since, 1e-9), np.append(0.0, parts))
        ),
        regression=regression_on_history(found),
        effect=exposure_effect(found),
        bursts=_bursts(found, seed),
        panel=_panel(found, found.tables.transitions.sum(axis=2)),
        steady=_steady(found),
        confirmed=int(found.risk["confirmed"].sum()),
        laws=_laws(found),
        spells=_spells(found.own),
    )


def _checkpoints(found: Histories) -> tuple[Checkpoint, ...]:
    events = dict(found.risk.group_by("look").agg(pl.col("events").sum()).iter_rows())
    moves = found.tables.transitions.sum(axis=0)
    rows = []
    for k, step in enumerate(found.checkpoints.tolist()):
        exposed, memorized, before, unexposed, extractable = found.tables.shares[k].tolist()
        rows.append(
            Checkpoint(
                step=step,
                exposed=exposed,
                memorized=memorized,
                before=before,
                share_ci95=_interval(memorized, exposed),
                unexposed=unexposed,
                extractable=extractable,
                unexposed_ci95=_interval(extractable, unexposed),
                learned=events.get(step, 0),
                learned_again=int(moves[k, 1, 0, 1]),
                lost=int(moves[k, :, 1, 0].sum()),
            )
        )
    return tuple(rows)


def _interval(events: int, trials: int) -> Interval:
    if not trials:
        return float("nan"), float("nan")
    low, high = binomial_interval(events, trials)
    return float(low), float(high)


def _outcomes(found: Histories) -> Outcomes:
    own, end = found.own, found.own["spell_end"]
    return Outcomes(
        ever=len(found.memorized),
        before_exposure=len(found.memorized) - len(own),
        emerged=len(own),
        looked_before=int(own["looked_before"].sum()),
        always_held=int((end == HELD).sum()),
        lost=len(own) - int((end == HELD).sum()) - int((end == AGAIN).sum()),
        learned_again=int((end == AGAIN).sum()),
        held_at_last_look=int(own["held"].sum()),
    )


def _bursts(found: Histories, seed: int) -> Bursts:
    windows, _, u, _ = emergence_windows(found)
    return bursts(windows, u, np.random.default_rng(seed))


def _panel(found: Histories, moves: Int64Array) -> Panel:
    """Pool transitions by the distance between the looks; `moves` is (K, K, 2, 2)."""
    start, stop = np.nonzero(moves.sum(axis=(2, 3)))
    distance = found.checkpoints[stop] - found.checkpoints[start]
    gaps, which = np.unique(distance, return_inverse=True)
    pooled = np.zeros((len(gaps), 2, 2), np.int64)
    np.add.at(pooled, which, moves[start, stop])
    return two_state_panel(pooled, gaps)


def _steady(found: Histories) -> Panel:
    """Take the state of a pair of looks as that of its first: the next pair begins at its second.

    Both are in the table as (first look, second look of the earlier pair).
    """
    return _panel(found, found.tables.steady)


def _laws(found: Histories) -> tuple[Parametric, ...]:
    """Fit laws of the time since exposure; times are those of `observations`."""
    seen = observations(found, "exposure")
    if not np.isfinite(seen.right).any():
        return ()
    known = len(found.memorized.filter("before_exposure", LOOKED_AFTER))
    # Never seen without: these too may have been extractable before.
    unknown = found.classes["last_without"].is_null() & found.classes["first_with"].is_not_null()
    left, right, weights = seen.left, seen.right, seen.weights
    before = known > 0 and not unknown.any()
    if before:
        left, right = np.append(left, -np.inf), np.append(right, 0.0)
        weights = np.append(weights, known)
    return tuple(
        fit_parametric(left, right, weights=weights, law=law, never=True, before=before)
        for law in ("exponential", "weibull")
    )


def _spells(own: pl.DataFrame) -> Spells:
    if own.is_empty():
        return Spells((), (), (), ())
    times, share = cumulative_incidence(own["spell_looks"], own["spell_end"], 2)
    most = int(own["spell_looks"].to_numpy().max())
    looks = tuple(n for n in SPELL_LOOKS if n <= most)
    place = np.searchsorted(times, looks, side="right")
    lost, again = (np.append(0.0, row)[place].tolist() for row in share)
    held = tuple(1 - a - b for a, b in zip(lost, again, strict=True))
    return Spells(looks, held, tuple(lost), tuple(again))


def _sequence_table(found: Histories) -> pl.DataFrame:
    table = found.memorized
    exposure = table["exposure_step"].to_numpy().astype(float)
    without = table["last_without"].cast(pl.Float64).fill_null(-np.inf).to_numpy()
    left, right = np.maximum(without, exposure), table["first_with"].to_numpy().astype(float)
    low, high = normalized(left, right, exposure, found.total_steps)
    memory = ~table["before_exposure"].to_numpy()
    columns = {
        "emerged_after": left,
        "emerged_by": right,
        "normalized_low": low,
        "normalized_high": high,
    }
    hidden = {name: np.where(memory, values, np.nan) for name, values in columns.items()}
    lost, again = pl.col("spell_end") > 0, pl.col("spell_end") == AGAIN
    return (
        table.with_columns(
            *(pl.Series(name, values).fill_nan(None) for name, values in hidden.items()),
            lost=lost,
            learned_again=again,
            stratum=pl.Series([found.strata[i] for i in table["stratum"]], dtype=pl.String),
        )
        .drop("bin", "confirmed", "spell_looks", "spell_end")
        .sort("sequence_index")
    )
