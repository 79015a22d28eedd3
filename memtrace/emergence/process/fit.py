"""Is emergence a Poisson process along training? Counts between checkpoints and their exposure.

When in an interval between two checkpoints a sequence emerged nobody knows: what needs exact
positions is undefined here and says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from memtrace.emergence.hazard import Cells, cells_of
from memtrace.emergence.histories import Histories
from memtrace.point_process.diagnostics.dispersion import Dispersion, dispersion
from memtrace.point_process.models.change_point import ChangePoint, grid_gains
from memtrace.point_process.models.constant import garwood_interval
from memtrace.point_process.models.counts import negative_binomial, poisson_counts
from memtrace.point_process.models.model import Model, undefined_model
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.models.spline import DEGREE, KNOTS, basis
from memtrace.point_process.models.trend import Equivalence, check_margin
from memtrace.point_process.regression import fit_rates
from memtrace.point_process.windows import Windows
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

COUNTS = "window counts"
EXACT = "it needs exact positions; emergence is known only between checkpoints"
DRAWS = 999


@dataclass(frozen=True, eq=False)
class Drift:
    """A rate a exp(theta u) along u = step / total steps, from counts between checkpoints."""

    theta: float
    standard_error: float
    """With the dispersion about the drift, if that is above 1."""
    reason: str | None = None
    """Why values are NaN."""

    @property
    def rate_ratio(self) -> float:
        """Return the rate at the end of training over the rate at its start."""
        return math.exp(self.theta)

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of no drift (Wald)."""
        return 2 * float(stats.norm.sf(abs(self.theta) / self.standard_error))

    def interval(self, confidence: float) -> Interval:
        """Return the interval of the rate ratio (Wald, on the log scale)."""
        if self.reason:
            return UNDEFINED
        width = float(stats.norm.isf((1 - confidence) / 2)) * self.standard_error
        return math.exp(self.theta - width), math.exp(self.theta + width)

    def equivalence(self, margin: float) -> Equivalence:
        """Test whether a drift of `margin` or more, either way, can be ruled out.

        Raises:
            FitError: The margin is not above 1.
        """
        check_margin(margin)
        if self.reason:
            return Equivalence(margin, None, math.nan)
        slack = math.log(margin) - abs(self.theta)
        p_value = float(stats.norm.sf(slack / self.standard_error))
        return Equivalence(margin, p_value < 0.05, p_value)


@dataclass(frozen=True)
class Bursts:
    """How much more neighbouring intervals differ than smooth Poisson counts do."""

    index: float
    """1 for a Poisson process of whatever smooth rate."""
    p_value: float
    reason: str | None = None
    """Why values are NaN."""


@dataclass(frozen=True, eq=False)
class EmergenceProcess:
    """Everything that `fit_emergence_process` finds out about one model."""

    histories: Histories
    windows: Windows
    """One window for each interval between checkpoints; `start` in steps, `exposures` in sequences
    at risk times steps."""
    stop: Int64Array
    """Checkpoint that ends each window, shape (W,)."""
    u: FloatArray
    """Mean of step / total steps over the exposure of each window, shape (W,)."""
    left_out: int
    """Emergences between looks further apart than neighbouring checkpoints."""
    rate_ci95: Interval
    """Exact interval of the mean rate, per sequence and step."""
    dispersion: Dispersion
    bursts: "Bursts"
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
        """Return the sequences at risk times steps."""
        return int(self.windows.exposures.sum())

    @property
    def rate(self) -> float:
        """Return emergences per sequence not yet memorized and step."""
        return self.n_events / self.exposure if self.exposure else math.nan

    @property
    def best(self) -> Model:
        """Return the model with the smallest Bayesian criterion."""
        fitted = [model for model in self.models if not math.isnan(model.bic)]
        return min(fitted, key=lambda model: model.bic, default=self.models[0])

    @property
    def verdict(self) -> str:
        """Return the answer in one plain sentence."""
        from memtrace.emergence.process.text import verdict

        return verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `fit-poisson --time-scale emergence --json`."""
        from memtrace.emergence.process.text import document

        return document(self)

    def summary(self) -> str:
        """Return the printed page as plain text."""
        from memtrace.report.text import rendered

        return rendered(self.page())

    def page(self) -> "RenderableType":
        """Return the page as rich prints it."""
        from memtrace.emergence.process.text import page

        return page(self)

    def plot(self) -> "Figure":
        """Return the figure of the rate along training."""
        from memtrace.emergence.figures import process_figure

        return process_figure(self)


def fit_emergence_process(
    histories: Histories, *, margin: float = 1.05, seed: int = 0, cuts: Sequence[Cut] = ()
) -> EmergenceProcess:
    """Fit a Poisson process to the times of emergence along training.

    Events are first memorizations after exposure, exposure the sequences trained on and not yet
    memorized times the steps: so neither that more sequences have been seen later in training, nor
    that checkpoints are unequally far apart, looks like a drift. Within an interval between
    checkpoints the rate counts as constant.

    Args:
        histories: As `read_histories` returns them.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Seed of the simulations.
        cuts: Points of training at which the rate may change, chosen before looking; their index
            is a step, and rates are compared at the next checkpoint.

    Raises:
        FitError: The margin is not above 1.
    """
    windows, stop, u, left_out = emergence_windows(histories)
    trend, drifting = _drift(windows, u)
    models = [poisson_counts(windows), drifting, _parts(windows, stop, cuts)]
    models += [_smooth(windows, u), negative_binomial(windows)]
    total = max(int(windows.exposures.sum()), 1)
    low, high = garwood_interval(int(windows.counts.sum()), total)
    return EmergenceProcess(
        histories=histories,
        windows=windows,
        stop=stop,
        u=u,
        left_out=left_out,
        rate_ci95=(float(low), float(high)),
        dispersion=dispersion(windows, rng=None),
        bursts=bursts(windows, u, np.random.default_rng([seed, 1])),
        trend=trend,
        equivalence=trend.equivalence(margin),
        change_point=_change(windows, np.random.default_rng(seed)),
        models=tuple(models),
        seed=seed,
    )


def emergence_windows(histories: Histories) -> tuple[Windows, Int64Array, FloatArray, int]:
    """Count emergences between neighbouring checkpoints, with the exposure.

    A sequence that emerges is taken as at risk for half of its interval.

    Returns:
        Windows (`start` in steps), the checkpoint that ends each, the mean place of its exposure as
        share of training, and how many emergences are left out because their looks are further
        apart than that.
    """
    cells, steps = cells_of(histories), histories.checkpoints
    begins = np.append(0, steps)[np.searchsorted(steps, cells.stop)]
    near = cells.start >= begins
    kept = Cells(*(getattr(cells, name)[near] for name in Cells.__dataclass_fields__))
    time = (kept.at_risk - kept.events / 2) * kept.length
    stops, which = np.unique(kept.stop, return_inverse=True)
    exposures = np.bincount(which, time, len(stops))
    middle = np.bincount(which, time * (kept.start + kept.stop) / 2, len(stops))
    counts = np.bincount(which, kept.events, len(stops)).astype(np.int64)
    seen = exposures >= 1
    windows = Windows(
        start=np.append(0, steps)[np.searchsorted(steps, stops)][seen],
        counts=counts[seen],
        exposures=np.rint(exposures[seen]).astype(np.int64),
    )
    u = middle[seen] / exposures[seen] / histories.total_steps
    return windows, stops[seen].astype(np.int64), u, int(cells.events[~near].sum())


def bursts(windows: Windows, u: FloatArray, rng: np.random.Generator) -> Bursts:
    """Compare the rate of each interval with the straight line through its neighbours' rates.

    A rate that changes smoothly leaves mean squares of about 1 in units of the Poisson variance,
    whatever its course; sequences that emerge together leave more. The p-value is that of Poisson
    counts of the means of three neighbours.

    Args:
        windows: Counts and exposures, W of them.
        u: Place of each, ascending, shape (W,).
        rng: For the simulation.
    """
    counts, exposures = windows.counts, windows.exposures.astype(float)
    if len(counts) < 3 or not counts.sum():
        return Bursts(math.nan, math.nan, "too few intervals" if len(counts) < 3 else "no events")
    three = np.array([1.0, 1.0, 1.0])
    smooth = np.convolve(counts, three, "same") / np.convolve(exposures, three, "same")
    part = (u[1:-1] - u[:-2]) / (u[2:] - u[:-2])

    def roughness(y: FloatArray) -> FloatArray:
        rate = y / exposures
        bend = rate[..., 1:-1] - (1 - part) * rate[..., :-2] - part * rate[..., 2:]
        scale = 1 / exposures[1:-1] + (1 - part) ** 2 / exposures[:-2] + part**2 / exposures[2:]
        variance = smooth[1:-1] * scale
        found = np.divide(bend**2, variance, out=np.zeros_like(bend), where=variance > 0)
        return np.asarray(found.mean(axis=-1))

    observed = float(roughness(counts.astype(float)))
    drawn = roughness(rng.poisson(smooth * exposures, (DRAWS, len(counts))).astype(float))
    return Bursts(observed, float((1 + (drawn >= observed).sum()) / (DRAWS + 1)))


def _drift(windows: Windows, u: FloatArray) -> tuple[Drift, Model]:
    n, w = int(windows.counts.sum()), len(windows.counts)
    if n == 0 or w < 3:
        reason = "nothing emerged" if n == 0 else f"{w} intervals are too few for a drift"
        none = undefined_model("log-linear", w, reason, of=COUNTS)
        return Drift(math.nan, math.nan, reason), none
    fitted = fit_rates(windows.counts, windows.exposures, np.column_stack((np.ones(w), u)))
    spread = max(1.0, float(fitted.pearson_chi2) / (w - 2))
    level, theta = (float(value) for value in fitted.params)
    trend = Drift(theta, float(fitted.bse[1]) * math.sqrt(spread))
    low, high = trend.interval(0.95)
    model = _model(
        "log-linear",
        windows,
        fitted.fittedvalues,
        {"rate_per_sequence_step_start": math.exp(level), "log_rate_ratio": theta},
        {"log_rate_ratio": (math.log(low), math.log(high))},
    )
    return trend, replace(model, p_value=trend.p_value)


def _parts(windows: Windows, stop: Int64Array, cuts: Sequence[Cut]) -> Model:
    """Fit a rate to each part between known cuts, or without any to each interval."""
    name, w = ("known cuts" if cuts else "each interval"), len(windows.counts)
    part = np.searchsorted([cut.index for cut in cuts], stop) if cuts else np.arange(w)
    _, part = np.unique(part, return_inverse=True)
    counts = np.bincount(part, windows.counts).astype(np.int64)
    exposures = np.bincount(part, windows.exposures)
    if not counts.sum() or len(counts) < 2:
        few = "nothing emerged" if not counts.sum() else "fewer than two parts were seen"
        return undefined_model(name, w, few, of=COUNTS)
    rates = counts / exposures
    names = [f"rate_from_{windows.start[part == i].min()}" for i in range(len(counts))]
    low, high = garwood_interval(counts, exposures)
    ends = {key: (float(a), float(b)) for key, a, b in zip(names, low, high, strict=True)}
    values = dict(zip(names, map(float, rates), strict=True))
    return _model(name, windows, rates[part] * windows.exposures, values, ends)


def _smooth(windows: Windows, u: FloatArray) -> Model:
    """Fit the log of the rate by a cubic B-spline through the middles of the intervals."""
    w, columns = len(windows.counts), KNOTS + DEGREE + 1
    if w < 2 * columns or not windows.counts.sum():
        few = f"{w} intervals are too few for a curve; it takes {2 * columns}"
        return undefined_model("spline", w, few, of=COUNTS)
    share = np.cumsum(windows.exposures) / windows.exposures.sum()
    knots = np.interp(np.arange(1, KNOTS + 1) / (KNOTS + 1), share, u)
    design = basis(u, knots, (0.0, 1.0))
    if np.linalg.matrix_rank(design) < columns:
        return undefined_model("spline", w, "too little of training was seen", of=COUNTS)
    fitted = fit_rates(windows.counts, windows.exposures, design)
    names = [f"log_rate_coefficient_{i + 1}" for i in range(columns)]
    values = dict(zip(names, map(float, fitted.params), strict=True))
    return _model("spline", windows, fitted.fittedvalues, values, {})


def _model(
    name: str,
    windows: Windows,
    expected: FloatArray,
    parameters: dict[str, float],
    intervals: dict[str, Interval],
) -> Model:
    counts = windows.counts
    value = float(np.sum(stats.poisson.logpmf(counts, expected)))
    constant = windows.exposures * (counts.sum() / windows.exposures.sum())
    gain = 2 * (value - float(np.sum(stats.poisson.logpmf(counts, constant))))
    return Model(
        name,
        value,
        parameters,
        len(counts),
        COUNTS,
        intervals=intervals,
        likelihood_ratio=gain,
        p_value=float(stats.chi2.sf(gain, len(parameters) - 1)),
    )


def _change(windows: Windows, rng: np.random.Generator) -> ChangePoint:
    """Find the checkpoint at which the rate changes most; the search is paid for by simulation."""
    counts, exposures, n = windows.counts, windows.exposures, int(windows.counts.sum())
    if n == 0 or len(counts) < 3:
        reason = "nothing emerged" if n == 0 else "too few intervals"
        return ChangePoint(None, math.nan, math.nan, math.nan, math.nan, None, reason)
    gains = grid_gains(counts, exposures)
    drawn = rng.multinomial(n, exposures / exposures.sum(), DRAWS)
    null = grid_gains(drawn, exposures).max(axis=1)
    at, best = int(gains.argmax()) + 1, float(gains.max())
    rates = [
        float(counts[part].sum() / exposures[part].sum()) for part in (slice(at), slice(at, None))
    ]
    p_value = float((1 + (null >= best - 1e-9).sum()) / (DRAWS + 1))
    return ChangePoint(int(windows.start[at]), rates[0], rates[1], best, p_value, None)
