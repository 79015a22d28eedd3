"""The hazard of emergence: how likely a text not yet memorized is memorized in the next step.

Grouped data, with the time during which a text could emerge as offset: so one that was seen late,
and had less time, counts for no more than it should.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import optimize, special, stats

from memtrace.emergence.histories import Histories
from memtrace.emergence.logs import exp
from memtrace.point_process.regression import fit_shares
from memtrace.types import FloatArray, Int64Array, Interval

Z95 = 1.959963984540054
GROUPS = 16
"""Groups of exposure in a regression: cells dense enough for Pearson's dispersion."""
WARM_UP, LAST_RATE = 0.01, 0.1
PYTHIA_SHAPE = ("pythia",)
"""Suites trained with a linear warm-up over 1% and half a cosine down to a tenth of the peak."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Texts not yet memorized, from one checkpoint to the next; arrays of shape (g,)."""

    events: Int64Array
    """Memorized at the later checkpoint."""
    at_risk: Int64Array
    length: FloatArray
    """Steps between the checkpoints; from exposure on where that is later."""
    start: FloatArray
    """Step at which that time begins."""
    stop: FloatArray
    """Step of the later checkpoint."""
    exposure: FloatArray
    """Mean step that trained on the first copies of the group's texts."""
    repeated: npt.NDArray[np.bool_]
    """Whether they are texts that occur more than once."""

    @property
    def since(self) -> FloatArray:
        """Return the steps from exposure to the middle of the time at risk, shape (g,)."""
        middle: FloatArray = (self.start + self.stop) / 2 - self.exposure
        return middle


@dataclass(frozen=True)
class Rate:
    """A constant hazard between two points of a time scale."""

    start: float
    stop: float
    events: int
    at_risk: int
    rate: float
    """Events per text and step."""
    ci95: Interval


@dataclass(frozen=True)
class HazardModel:
    """A complementary log-log regression: the log of the hazard is linear in the covariates."""

    coefficients: dict[str, float]
    standard_errors: dict[str, float]
    """With the dispersion, if that is above 1."""
    deviance: float
    degrees_of_freedom: int
    dispersion: float
    """Pearson's X2 over its degrees of freedom; NaN with none left."""
    reason: str | None = None
    """Why values are NaN."""

    def ci95(self, name: str) -> Interval:
        """Return the interval of a coefficient."""
        value, error = self.coefficients[name], Z95 * self.standard_errors[name]
        return value - error, value + error

    def p_value(self, name: str) -> float:
        """Return the two-sided p-value of a coefficient of 0."""
        error = self.standard_errors[name]
        return 2 * float(stats.norm.sf(abs(self.coefficients[name]) / error)) if error else math.nan

    def factor(self, name: str, unit: float = 1.0) -> tuple[float, float, float]:
        """Return by what the hazard is multiplied for a change of so much, and its 95% interval."""
        low, high = self.ci95(name)
        return exp(unit * self.coefficients[name]), exp(unit * low), exp(unit * high)


def cells_of(histories: Histories) -> Cells:
    """Return the cells of the histories."""
    table = histories.risk
    bins = table["bin"].to_numpy()
    exposure = (histories.edges[bins] + histories.edges[bins + 1] - 1) / 2
    start = table["start"].cast(pl.Float64).fill_null(math.nan).to_numpy()
    start = np.where(np.isnan(start), exposure, start)
    stop = table["checkpoint"].to_numpy().astype(float)
    hits, at_risk = (table[name].to_numpy() for name in ("events", "at_risk"))
    repeated = table["repeated"].to_numpy()
    return Cells(hits, at_risk, stop - start, start, stop, exposure, repeated)


def of_neighbours(cells: Cells, checkpoints: Int64Array) -> Cells:
    """Return the cells whose time begins at the checkpoint before, or later."""
    begins = np.append(0, checkpoints)[np.searchsorted(checkpoints, cells.stop)]
    return chosen(cells, cells.start >= begins)


def chosen(cells: Cells, kept: npt.NDArray[np.bool_]) -> Cells:
    """Return some of the cells."""
    return Cells(*(getattr(cells, name)[kept] for name in Cells.__dataclass_fields__))


def constant_hazard(events: Int64Array, at_risk: Int64Array, length: FloatArray) -> HazardModel:
    """Fit one hazard to all cells: events of at_risk sequences in `length` steps, shapes (g,).

    P(event) = 1 - exp(-hazard length) (Prentice and Gloeckler 1978), so the log of the length is
    the offset of a complementary log-log regression, with the log of the hazard as intercept.
    """
    return regress(events, at_risk, length, {})


def regress(
    events: Int64Array, at_risk: Int64Array, length: FloatArray, covariates: dict[str, FloatArray]
) -> HazardModel:
    """Fit log hazard = log_hazard + sum of coefficients times covariates, each of shape (g,)."""
    names = ["log_hazard", *covariates]
    design = np.column_stack((np.ones(len(events)), *covariates.values()))
    undefined = dict.fromkeys(names, math.nan)
    if (reason := _no_fit(events, at_risk, design)) is not None:
        return HazardModel(undefined, undefined, math.nan, 0, math.nan, reason)
    # Where covariates tell events from their absence, the likelihood rises without end.
    with np.errstate(all="ignore"):
        fitted = fit_shares(events, at_risk, design, link="cloglog", offset=np.log(length))
        left = int(fitted.df_resid)
        spread = float(fitted.pearson_chi2) / left if left else math.nan
        values, errors = np.asarray(fitted.params), np.asarray(fitted.bse)
    if not (np.isfinite(values).all() and np.isfinite(errors).all() and errors.all()):
        reason = "too few events to tell the covariates apart"
        return HazardModel(undefined, undefined, math.nan, 0, math.nan, reason)
    widen = math.sqrt(spread) if spread > 1 and covariates else 1.0
    return HazardModel(
        dict(zip(names, map(float, values), strict=True)),
        dict(zip(names, map(float, errors * widen), strict=True)),
        float(fitted.deviance),
        left,
        spread,
    )


def one_hazard(cells: Cells) -> HazardModel:
    """Fit one hazard to cells, after adding up those of equal length: they say the same of it."""
    lengths, which = np.unique(cells.length, return_inverse=True)
    sums = [np.bincount(which, counts).astype(np.int64) for counts in (cells.events, cells.at_risk)]
    return constant_hazard(sums[0], sums[1], lengths)


def closed_form(events: Int64Array, at_risk: Int64Array, length: FloatArray) -> FloatArray:
    """Return -log(1 - events / at_risk) / length, the hazard of each cell by itself."""
    share = np.divide(events, at_risk, out=np.full(len(events), np.nan), where=at_risk > 0)
    hazard: FloatArray = -np.log1p(-share) / length
    return hazard


def rates_by(cells: Cells, times: FloatArray, edges: npt.ArrayLike) -> list[Rate]:
    """Fit a constant hazard to the cells of each part of a time scale, where there are any.

    Args:
        cells: Groups at risk.
        times: Place of each cell on the scale, shape (g,).
        edges: Ends of the parts (low, high], ascending.
    """
    ends = np.asarray(edges, float)
    part = np.searchsorted(ends, times, side="left") - 1
    found = []
    for number in np.unique(part[(part >= 0) & (part < len(ends) - 1)]):
        there = part == number
        d, n, length = cells.events[there], cells.at_risk[there], cells.length[there]
        rate, low, high = _rate(d, n, length)
        bounds = (float(ends[number]), float(ends[number + 1]))
        found.append(Rate(*bounds, int(d.sum()), int(n.sum()), rate, (low, high)))
    return found


def regression_on_history(histories: Histories) -> HazardModel:
    """Explain the hazard by time since exposure, place of exposure and learning rate.

    `log_time_since_exposure`: 0 if a text is memorized as easily long after it was first seen.
    `position`: exposure as share of training, 0 to 1. `log_learning_rate`: of the rate relative to
    its peak, where the schedule is known. Where copies are known this is of texts that occur once:
    the others are seen again and again, see `copies_effect`.
    """
    every = cells_of(histories)
    cells = grouped(chosen(every, ~every.repeated), histories.total_steps, GROUPS)
    covariates = {
        "log_time_since_exposure": np.log(np.maximum(cells.since, 0.5)),
        "position": cells.exposure / histories.total_steps,
    }
    if histories.suite in PYTHIA_SHAPE:
        middle = (cells.start + cells.stop) / 2 / histories.total_steps
        covariates["log_learning_rate"] = np.log(learning_rate(middle))
    return regress(cells.events, cells.at_risk, cells.length, covariates)


def learning_rate(share: FloatArray) -> FloatArray:
    """Return Pythia's learning rate over its peak at shares of training in (0, 1]."""
    done = (share - WARM_UP) / (1 - WARM_UP)
    cosine = LAST_RATE + (1 - LAST_RATE) * (1 + np.cos(np.pi * done)) / 2
    return np.where(share < WARM_UP, share / WARM_UP, cosine)


def _no_fit(events: Int64Array, at_risk: Int64Array, design: FloatArray) -> str | None:
    if not events.sum():
        return "nothing emerged"
    if events.sum() == at_risk.sum():
        return "every text emerged at its first checkpoint"
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return "too few checkpoints to tell the covariates apart"
    return None


def grouped(cells: Cells, total: int, groups: int) -> Cells:
    """Merge cells of neighbouring exposures, weighing times by the number at risk."""
    keys = (
        np.minimum(cells.exposure * groups // total, groups - 1),
        cells.start == cells.exposure,
        np.where(cells.start == cells.exposure, -1.0, cells.start),
        cells.stop,
        cells.repeated,
    )
    _, which = np.unique(np.column_stack(keys), axis=0, return_inverse=True)
    which = which.ravel()

    def mean(values: FloatArray) -> FloatArray:
        total_weight = np.bincount(which, cells.at_risk)
        found: FloatArray = np.bincount(which, values * cells.at_risk) / total_weight
        return found

    events, at_risk = (
        np.bincount(which, c).astype(np.int64) for c in (cells.events, cells.at_risk)
    )
    length, start, stop, exposure = map(
        mean, (cells.length, cells.start, cells.stop, cells.exposure)
    )
    repeated = mean(cells.repeated.astype(float)) > 0
    return Cells(events, at_risk, length, start, stop, exposure, repeated)


def _rate(d: Int64Array, n: Int64Array, length: FloatArray) -> tuple[float, float, float]:
    """Return the hazard with its profile-likelihood interval; without events the exact bound."""
    exposure = float(n @ length)
    if not d.sum():
        return 0.0, 0.0, -math.log(0.025) / exposure
    if d.sum() == n.sum():
        return math.nan, math.nan, math.nan

    def value(log_rate: float) -> float:
        x = math.exp(log_rate) * length
        gained = special.xlogy(d, -np.expm1(-x))
        return float(gained.sum() - (n - d) @ x)

    start = math.log(d.sum() / exposure)
    best = optimize.minimize_scalar(lambda r: -value(r), bracket=(start - 0.1, start + 0.1)).x
    top, drop = value(best), float(stats.chi2.ppf(0.95, 1)) / 2
    width = 4 / math.sqrt(d.sum())
    ends = [_where(lambda r: value(r) - top + drop, float(best), side * width) for side in (-1, 1)]
    return math.exp(best), math.exp(ends[0]), math.exp(ends[1])


def _where(excess: Callable[[float], float], best: float, step: float) -> float:
    """Return where `excess`, positive at `best`, vanishes in the direction of `step`."""
    far = best + step
    while excess(far) > 0:
        far += step
    return float(optimize.brentq(excess, best, far))
