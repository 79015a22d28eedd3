"""The intervals of emergence on three time scales, and their distribution on each.

`training`: steps of training; a text comes under observation when its first copy is seen, or where
enough texts are under observation, if that is later. `exposure`: steps since its first copy.
`share`: those steps over the steps that were left to it.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from memtrace.emergence.first_seen import FirstSeen
from memtrace.emergence.histories import Histories
from memtrace.emergence.intervals import normalized
from memtrace.emergence.quantiles import Quantile, quantile_of
from memtrace.emergence.turnbull import Turnbull, share_band, turnbull
from memtrace.errors import FitError
from memtrace.types import UNDEFINED, FloatArray, Interval

TIME_SCALES = ("training", "exposure", "share")
GRID = 64
"""Points of a scale to which intervals are widened: they still hold the time, and many coincide."""
FOLLOWED = 0.05
"""Share of the texts that must have been followed for so long, or be at risk at the beginning."""
ENOUGH = 10
"""Texts that emerged below which there are no quantiles of their times."""
WIDE = 0.25
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Observations:
    """Grouped intervals on one time scale; arrays of shape (g,)."""

    left: FloatArray
    right: FloatArray
    weights: FloatArray
    entry: FloatArray
    """When a text came under observation; minus infinity where it always was."""

    def since(self, start: float) -> "Observations":
        """Return those known not to have emerged by a time, under observation from then on.

        Those that are not known to be still waiting then are left out; all stay where the time is
        infinite.
        """
        kept = (self.left >= start) | math.isinf(start)
        entry = np.maximum(self.entry, start if math.isfinite(start) else -math.inf)
        parts = (self.left, self.right, self.weights, entry)
        return Observations(*(values[kept] for values in parts))


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
    since: float
    """Where the scale begins; infinite where too few texts were at risk at any checkpoint."""
    at_risk: int
    """Texts at risk there."""
    until: float
    """Where it ends: for so long enough texts were followed."""
    quartiles: dict[float, Quantile]
    """When a part of the texts that emerged had done so; empty if fewer than `ENOUGH` emerged."""
    first_seen: FirstSeen
    """Whether texts seen early and late differ, which an estimate of all together takes as equal.
    On the scale `share` all are followed to the end of training, where there is a checkpoint."""

    @property
    def given(self) -> bool:
        """Return whether the curve is that of all texts: it begins, and none differ."""
        return len(self.share) > 0 and not self.first_seen.matters

    @property
    def drawn(self) -> bool:
        """Return whether there is a curve to show; between two checkpoints it has no course."""
        rises = len(self.share) > 1 and not self.coarse
        return self.given and self.emerged > 0 and (self.name == "training" or rises)

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
        """Return its interval; undefined where none or all emerge, which leaves it no width."""
        if not 0 < self.emerged < 1:
            return UNDEFINED
        return float(self.low[-1]), float(self.high[-1])

    def among_emerged(self, part: float) -> Quantile:
        """Return when this quartile of the texts that emerged had done so, undefined if unknown."""
        return self.quartiles.get(part, Quantile())

    @property
    def coarse(self) -> bool:
        """Return whether checkpoints are too far apart to say when.

        They do not tell the first quarter of those that emerged from the last, and where half had
        is open by more than `WIDE` of the scale.
        """
        (_, early), (low, high), (late, _) = (self.among_emerged(part).bounds for part in QUARTILES)
        return early > late and high - low > WIDE * self.until


def fit_time_scale(
    histories: Histories,
    name: str,
    seed: int,
    *,
    widening: float = 1.0,
    first_seen: FirstSeen | None = None,
) -> TimeScale:
    """Estimate the distribution of the time of emergence on one time scale, with its intervals.

    On the scale of training it is shown between checkpoints only: within such an interval, which
    ends for all at the same checkpoint, a later exposure tells little of when. It begins at the
    first checkpoint at which enough texts are at risk: the estimate with delayed entry is of those
    not memorized by then, and before it hangs on a few (Pan and Chappell 1999 show how far off).

    Args:
        histories: As `read_histories` returns them.
        name: One of `TIME_SCALES`.
        seed: Of the subsamples behind the intervals.
        widening: How many times as wide the intervals of quartiles should be.
        first_seen: Whether texts seen early and late differ on this scale.

    Raises:
        FitError: It is none of `TIME_SCALES`, or no text was evaluated after exposure.
    """
    seen, since = observations(histories, name), 0.0
    at_risk = int(seen.weights.sum())
    if name == "training":
        since, at_risk = _beginning(histories)
        seen = seen.since(since)
    found = turnbull(seen.left, seen.right, weights=seen.weights, entry=seen.entry)
    given = (seen.left, seen.right, seen.weights, seen.entry)
    low, high = share_band(found, given, seed)
    until = horizon(histories, name)
    within = found.right[found.right <= until]
    ends = np.concatenate(([0.0], within))
    if name == "training":
        ends = np.append(since, histories.checkpoints[histories.checkpoints > since])
    begun = np.searchsorted(found.right, ends[1:], side="right")
    share, low, high = (np.append(0.0, values)[begun] for values in (found.cumulative, low, high))
    left = ends[:-1] if name == "training" else found.left[begun - 1]
    quartiles = _quartiles(histories, name, widening)
    curve = (left, ends[1:], share, low, high)
    return TimeScale(
        name, *curve, found, since, at_risk, until, quartiles, first_seen or FirstSeen()
    )


def _beginning(histories: Histories) -> tuple[float, int]:
    """Return the first checkpoint but the last with enough texts at risk, and how many these are.

    Those are the texts exposed before it that it, or a later one, did not find memorized.
    """
    table = histories.classes
    without, exposed = (table[name].to_numpy() for name in ("last_without", "exposed_high"))
    counts = table["count"].to_numpy()
    for step in histories.checkpoints[:-1].tolist():
        at_risk = int(counts[(exposed < step) & (without >= step)].sum())
        if at_risk and at_risk >= FOLLOWED * counts.sum():
            return float(step), at_risk
    return math.inf, 0


def _quartiles(histories: Histories, name: str, widening: float) -> dict[float, Quantile]:
    own = histories.own
    if len(own) < ENOUGH:
        return {}
    exposure, right = (
        own[name].to_numpy().astype(float) for name in ("exposure_step", "first_with")
    )
    without = own["last_without"].cast(pl.Float64).fill_null(-np.inf).to_numpy()
    left, last = np.maximum(without, exposure), float(histories.checkpoints[-1])
    if name == "exposure":
        left, right = left - exposure, right - exposure
    if name == "share":
        left, right = normalized(left, right, exposure, histories.total_steps)
        last /= histories.total_steps
    return {
        part: quantile_of(left, right, part, most=last, widening=widening) for part in QUARTILES
    }


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
