"""The intervals of emergence on three time scales, and their distribution on each.

`training`: steps of training; a text comes under observation when its first copy is seen.
`exposure`: steps since then. `share`: those steps over the steps that were left to it.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from memtrace.emergence.histories import Histories
from memtrace.emergence.turnbull import Turnbull, share_band, turnbull
from memtrace.errors import FitError
from memtrace.types import UNDEFINED, FloatArray, Interval

TIME_SCALES = ("training", "exposure", "share")
GRID = 64
"""Points of a scale to which intervals are widened: they still hold the time, and many coincide."""
FOLLOWED = 0.05
"""Share of the texts that must have been followed for so long."""
ENOUGH = 10
"""Texts that emerged below which there are no quantiles of their times."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Grouped intervals on one time scale; arrays of shape (g,)."""

    left: FloatArray
    right: FloatArray
    weights: FloatArray
    entry: FloatArray
    """When a text came under observation; minus infinity where it always was."""


@dataclass(frozen=True, eq=False)
class TimeScale:
    """The distribution of the time of emergence on one scale.

    It is undefined inside a Turnbull interval.
    """

    name: str
    left: FloatArray
    """Left ends of the Turnbull intervals (left, right], ascending, shape (J,)."""
    right: FloatArray
    share: FloatArray
    """Share of the texts that emerge up to each right end, shape (J,)."""
    low: FloatArray
    """95% interval of `share`, pointwise, shape (J,)."""
    high: FloatArray
    found: Turnbull
    """The estimate behind it."""
    texts: int
    """Texts that emerged."""

    @property
    def emerged(self) -> float:
        """Return the share that emerges within the time for which enough were followed.

        NaN where texts emerge, and too few were followed for any time.
        """
        if len(self.share):
            return float(self.share[-1])
        return math.nan if np.isfinite(self.found.right).any() else 0.0

    @property
    def emerged_ci95(self) -> Interval:
        """Return its interval."""
        return (float(self.low[-1]), float(self.high[-1])) if len(self.share) else UNDEFINED

    def among_emerged(self, part: float) -> Interval:
        """Return the Turnbull interval in which this part of those that emerge have.

        NaN where nothing is known of it, or fewer than `ENOUGH` texts emerged.
        """
        if self.texts < ENOUGH or not self.emerged > 0:
            return UNDEFINED
        place = int(np.searchsorted(self.share, part * self.emerged * (1 - 1e-12)))
        return float(self.left[place]), float(self.right[place])


def fit_time_scale(histories: Histories, name: str, seed: int) -> TimeScale:
    """Estimate the distribution of the time of emergence on one time scale, with its intervals.

    On the scale of training it is shown between checkpoints only: within such an interval, which
    ends for all at the same checkpoint, a later exposure tells little of when.

    Raises:
        FitError: It is none of `TIME_SCALES`, or no text was evaluated after exposure.
    """
    seen = observations(histories, name)
    found = turnbull(seen.left, seen.right, weights=seen.weights, entry=seen.entry)
    given = (seen.left, seen.right, seen.weights, seen.entry)
    low, high = share_band(found, given, seed)
    within = found.right[found.right <= horizon(histories, name)]
    ends = np.concatenate(([0.0], within))
    if name == "training":
        ends = np.union1d([0.0], histories.checkpoints)
    begun = np.searchsorted(found.right, ends[1:], side="right")
    share, low, high = (np.append(0.0, values)[begun] for values in (found.cumulative, low, high))
    left = ends[:-1] if name == "training" else found.left[begun - 1]
    texts = int(seen.weights[np.isfinite(seen.right)].sum())
    return TimeScale(name, left, ends[1:], share, low, high, found, texts)


def observations(histories: Histories, name: str) -> Observations:
    """Return the intervals (left, right] of emergence of all exposed texts on one scale.

    Without generic ones. The left end is the last checkpoint without, or
    exposure if that is later; the right end is infinite where it never was memorized. On the
    scale of training exposures are gathered in bins that count as their middle; on the others
    intervals are widened to hold whichever of the bin it was.
    """
    if name not in TIME_SCALES:
        raise FitError(f"no time scale {name!r}; choose one of {', '.join(TIME_SCALES)}")
    table = histories.classes
    if table.is_empty():
        raise FitError(f"{histories.label}: {_nothing_to_time(histories)}")
    without, with_ = (
        table[column].cast(pl.Float64).fill_null(fill).to_numpy()
        for column, fill in (("last_without", -np.inf), ("first_with", np.inf))
    )
    early, late = (table[f"exposed_{end}"].to_numpy().astype(float) for end in ("low", "high"))
    weights, total = table["count"].to_numpy().astype(float), float(histories.total_steps)
    if name == "training":
        cuts = np.union1d(np.linspace(0, total, GRID + 1), histories.checkpoints)
        place = np.searchsorted(cuts, early, side="right")
        entry = (cuts[place - 1] + np.append(cuts, total)[place] - 1) / 2
        return _grouped(np.maximum(without, entry), with_, weights, entry)
    left, right = np.maximum(without - late, 0.0), with_ - early
    if name == "share":
        # The steps since exposure over those left, at whichever end of the bin is further out.
        left, right = np.maximum((without - late) / (total - late), 0.0), right / (total - early)
    grid = _grid(histories, name)
    left = grid[np.searchsorted(grid, left, side="right") - 1]
    above = np.minimum(np.searchsorted(grid, right, side="left"), len(grid) - 1)
    right = np.where(np.isinf(right), np.inf, grid[above])
    return _grouped(left, right, weights, np.full(len(left), -np.inf))


def _nothing_to_time(histories: Histories) -> str:
    if histories.tables.shares[:, 0].any():
        return "every text evaluated after it was trained on had been extractable before"
    return "no text was evaluated after it was trained on"


def _grid(histories: Histories, name: str) -> FloatArray:
    if name == "share":
        return np.linspace(0, 1, GRID + 1)
    total = float(histories.total_steps)
    return np.union1d(np.linspace(0, total, GRID + 1), np.geomspace(1, total, GRID // 2))


def horizon(histories: Histories, name: str) -> float:
    """Return up to when enough texts were followed for their share to mean something.

    One event among the last few texts that are followed seems to be the fate of all of them.
    """
    table, last = histories.classes, float(histories.checkpoints[-1])
    if name == "training":
        return last
    late, weights = (table[column].to_numpy() for column in ("exposed_high", "count"))
    followed = np.maximum(last - late, 0.0)
    if name == "share":
        followed = followed / (histories.total_steps - late)
    order = np.argsort(-followed)
    enough = np.searchsorted(np.cumsum(weights[order]), FOLLOWED * weights.sum())
    grid = _grid(histories, name)
    return float(grid[np.searchsorted(grid, followed[order][enough], side="right") - 1])


def _grouped(
    left: FloatArray, right: FloatArray, weights: FloatArray, entry: FloatArray
) -> Observations:
    rows, which = np.unique(np.column_stack((left, right, entry)), axis=0, return_inverse=True)
    total = np.asarray(np.bincount(which.ravel(), weights), float)
    return Observations(rows[:, 0], rows[:, 1], total, rows[:, 2])
