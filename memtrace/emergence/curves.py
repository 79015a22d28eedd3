"""Normalized emergence: at which share of training has a curve made half of its gain?

And how does such a time move with the size of the model?
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.types import FloatArray, Interval

DRAWS = 1000


@dataclass(frozen=True)
class EvaluationCurve:
    """An evaluation along training, in which more is better."""

    steps: tuple[int, ...]
    """Checkpoints, ascending and unique."""
    values: tuple[float, ...]
    errors: tuple[float, ...]
    """Standard errors of the values; NaN where none was published."""

    @property
    def gain(self) -> float:
        """Return the last value minus the first."""
        return self.values[-1] - self.values[0]

    @property
    def gain_p_value(self) -> float:
        """Return the two-sided p-value of the gain, NaN without standard errors.

        The errors count as independent. Checkpoints that answer the same questions err alike, so
        the difference is better known than this says: the test is conservative.
        """
        error = math.hypot(self.errors[0], self.errors[-1])
        if math.isnan(error):
            return math.nan
        if error == 0:
            return 0.0 if self.gain else 1.0
        return 2 * float(stats.norm.sf(abs(self.gain) / error))


@dataclass(frozen=True)
class Crossing:
    """When a curve made a fraction of its gain, on three time scales."""

    step: float
    """Steps of training."""
    step_ci95: Interval | None
    """None if the standard errors are not known, or if a curve that rises is in doubt."""
    share: float
    """The normalized emergence time: `step` over all steps of training."""
    share_ci95: Interval | None
    log_share: float
    """On the scale log(1 + step), where the interpolation is linear too; log(1 + T) is 1."""
    log_share_ci95: Interval | None
    tokens_per_parameter: float
    """Tokens seen at `step`, for each parameter; NaN where the model's size is not known."""


def first_crossing(x: FloatArray, values: FloatArray, level: float) -> FloatArray:
    """Return where curves first make the fraction `level` of their gain, by linear interpolation.

    Args:
        x: Places of the values, ascending, shape (n,).
        values: Curves, shape (..., n).
        level: Fraction of the last value minus the first, above 0 and at most 1.

    Returns:
        Places, shape (...); infinite where a curve does not gain.
    """
    start, gain = values[..., :1], values[..., -1:] - values[..., :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        made = (values - start) / gain
    made[..., -1] = 1.0  # also where rounding says a little less
    above = made >= level
    k = np.maximum(above.argmax(axis=-1), 1)[..., None]
    low, high = (np.take_along_axis(made, i, axis=-1)[..., 0] for i in (k - 1, k))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (level - low) / (high - low)
        place = x[k[..., 0] - 1] + part * (x[k[..., 0]] - x[k[..., 0] - 1])
    return np.where(gain[..., 0] > 0, place, math.inf)


def emergence_time(
    curve: EvaluationCurve,
    *,
    level: float,
    last_step: int,
    rng: np.random.Generator,
    tokens_per_step: int = 0,
    parameters: int | None = None,
    draws: int = DRAWS,
) -> Crossing:
    """Return when a rising curve first made the fraction `level` of its gain.

    The interval is that of percentiles of curves drawn around the published values with the
    published standard errors (parametric bootstrap), independent between checkpoints.

    Args:
        curve: At least two checkpoints, the first at step 0, with a gain above 0.
        level: Fraction of the gain, above 0 and below 1.
        last_step: Steps of the whole training, T.
        rng: Draws the curves.
        tokens_per_step: Tokens in a step; 0 if not known, or not always the same.
        parameters: Parameters of the model; None if not known.
        draws: Curves drawn.
    """
    steps, values = np.asarray(curve.steps, np.float64), np.asarray(curve.values)
    errors = np.asarray(curve.errors)
    drawn = None
    if not np.isnan(errors).any():
        drawn = values + errors * rng.standard_normal((draws, len(values)))
    step, step_ci = _place(steps, values, drawn, level)
    log_place, log_ci = _place(np.log1p(steps), values, drawn, level)
    log_all = math.log1p(last_step)
    per_parameter = tokens_per_step / parameters if parameters and tokens_per_step else math.nan
    return Crossing(
        step=step,
        step_ci95=step_ci,
        share=step / last_step,
        share_ci95=_over(step_ci, last_step),
        log_share=log_place / log_all,
        log_share_ci95=_over(log_ci, log_all),
        tokens_per_parameter=step * per_parameter,
    )


def _place(
    x: FloatArray, values: FloatArray, drawn: FloatArray | None, level: float
) -> tuple[float, Interval | None]:
    place = float(first_crossing(x, values, level))
    if drawn is None:
        return place, None
    low, high = np.quantile(
        first_crossing(x, drawn, level), (0.025, 0.975), method="inverted_cdf"
    ).tolist()
    return place, (low, high) if math.isfinite(high) else None


def _over(interval: Interval | None, unit: float) -> Interval | None:
    return None if interval is None else (interval[0] / unit, interval[1] / unit)


@dataclass(frozen=True)
class SizeTrend:
    """How the logarithm of an emergence time moves with the logarithm of the model's size."""

    models: int
    factor: float
    """Later by this factor for ten times the parameters; NaN with fewer than three models."""
    factor_ci95: Interval | None
    """By the scatter of the models about the line (Student's t)."""
    rank_correlation: float
    """Kendall's tau-b of time and size."""
    p_value: float
    """Of the rank correlation, two-sided: exact where no times are equal."""


def size_trend(parameters: Sequence[float], times: Sequence[float]) -> SizeTrend:
    """Fit log10 time on log10 parameters by least squares, and rank both.

    Args:
        parameters: Of each model, all above 0.
        times: Emergence times on any scale, all above 0.
    """
    n = len(times)
    if n < 3 or len(set(parameters)) < 2:
        return SizeTrend(n, math.nan, None, math.nan, math.nan)
    fit = stats.linregress(np.log10(parameters), np.log10(times))
    width = float(stats.t.ppf(0.975, n - 2)) * float(fit.stderr)
    tau = stats.kendalltau(parameters, times)
    slope = float(fit.slope)
    return SizeTrend(
        models=n,
        factor=10**slope,
        factor_ci95=(10 ** (slope - width), 10 ** (slope + width)),
        rank_correlation=float(tau.statistic),
        p_value=float(tau.pvalue),
    )
