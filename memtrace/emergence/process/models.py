"""Models of the rate of emergence, from counts between checkpoints."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from memtrace.emergence.logs import exp
from memtrace.emergence.process.result import Drift
from memtrace.emergence.timescales import ENOUGH
from memtrace.point_process.log_linear import fit_log_linear
from memtrace.point_process.model import Model, undefined_model
from memtrace.point_process.models.change_point import ChangePoint, grid_gains
from memtrace.point_process.models.constant import garwood_interval
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.models.spline import DEGREE, KNOTS, basis
from memtrace.point_process.windows import Windows
from memtrace.report.numbers import count
from memtrace.types import FloatArray, Int64Array, Interval

COUNTS = "window counts"
DRAWS = 999


def drift_of(windows: Windows, u: FloatArray) -> tuple[Drift, Model]:
    """Fit a log-linear rate; its errors are widened by the dispersion about it."""
    w = len(windows.counts)
    reason, fitted = _no_drift(windows), None
    if reason is None:
        design = np.column_stack((np.ones(w), u))
        fitted = fit_log_linear(windows.counts, windows.exposures, design)
    if fitted is None:
        reason = (
            reason or "too unequal intervals or counts: the fit of a drift has no finite numbers"
        )
        none = undefined_model("log-linear", w, reason, of=COUNTS)
        return Drift(math.nan, math.nan, reason), none
    spread = fitted.pearson / (w - 2)
    level, theta = (float(value) for value in fitted.coefficients)
    error = float(fitted.standard_errors[1]) * math.sqrt(max(1.0, spread))
    trend = Drift(theta, error, degrees_of_freedom=w - 2 if spread > 1 else math.inf)
    model = _model(
        "log-linear",
        windows,
        fitted.expected,
        {"rate_per_text_step_start": exp(level), "log_rate_ratio": theta},
        {"log_rate_ratio": trend.log_interval(0.95)},
    )
    return trend, replace(model, p_value=trend.p_value)


def _no_drift(windows: Windows) -> str | None:
    """Return why there is no estimate of a drift, or None."""
    counts = windows.counts
    if not counts.sum():
        return "nothing emerged"
    if counts.sum() < ENOUGH:
        return f"{count(int(counts.sum()), 'emergence')}: too few to say how the rate varies"
    if len(counts) < 3:
        return f"{count(len(counts), 'interval')}: at least 3 are needed for a drift"
    for end, place in (("first", 0), ("last", -1)):
        if counts[place] == counts.sum():
            return f"all emergences are in the {end} interval: a drift has no bound"
    return None


def rates_between_cuts(windows: Windows, stop: Int64Array, cuts: Sequence[Cut]) -> Model:
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


def smooth_rate(windows: Windows, u: FloatArray) -> Model:
    """Fit the log of the rate by a cubic B-spline through the middles of the intervals."""
    w, columns = len(windows.counts), KNOTS + DEGREE + 1
    if w < 2 * columns or not windows.counts.sum():
        few = f"{count(w, 'interval')}: a curve takes {2 * columns}"
        return undefined_model("spline", w, few, of=COUNTS)
    share = np.cumsum(windows.exposures) / windows.exposures.sum()
    knots = np.interp(np.arange(1, KNOTS + 1) / (KNOTS + 1), share, u)
    design = basis(u, knots, (0.0, 1.0))
    if np.linalg.matrix_rank(design) < columns:
        return undefined_model("spline", w, "too little of training was seen", of=COUNTS)
    fitted = fit_log_linear(windows.counts, windows.exposures, design)
    if fitted is None:
        return undefined_model("spline", w, "intervals without emergence leave no curve", of=COUNTS)
    names = [f"log_rate_coefficient_{i + 1}" for i in range(columns)]
    values = dict(zip(names, map(float, fitted.coefficients), strict=True))
    return _model("spline", windows, fitted.expected, values, {})


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


def change_of(windows: Windows, rng: np.random.Generator) -> ChangePoint:
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
