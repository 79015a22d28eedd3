"""Where along training does an estimate step up? A change point in a short series with errors.

It knows estimates at checkpoints and the covariance of their errors, and nothing of what was
estimated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memtrace.types import FloatArray

DRAWS = 9999
"""So that p-values are small enough to be adjusted for some hundred series."""


@dataclass(frozen=True)
class Onset:
    """The best split of a series into two levels."""

    after_step: int | None
    """Last checkpoint of the first level; None if undefined."""
    by_step: int | None
    """First checkpoint of the second level: the change is in (after, by]."""
    before: float
    """Level before the change."""
    after: float
    ci95: tuple[int, int] | None
    """Steps (after, by] between which the change lies with 95% confidence, if there is one."""
    p_value: float
    """Share of series of one constant level that split as well by chance."""
    reason: str | None = None
    """Why values are undefined."""


def find_onset(
    steps: Sequence[int], estimates: FloatArray, covariance: FloatArray, rng: np.random.Generator
) -> Onset:
    """Split a series into two levels by generalised least squares, wherever that fits best.

    The errors count as normal with a known covariance. The p-value pays for the search: it compares
    with constant series of the same errors. The interval holds every split whose fit is as close to
    the best one as the true split is in 95% of series drawn from the fitted levels.

    Args:
        steps: Checkpoints, ascending, n of them.
        estimates: At each checkpoint, shape (n,).
        covariance: Of their errors, positive definite, shape (n, n).
        rng: Draws the series.
    """
    if len(steps) < 3:
        said = f"{len(steps)} checkpoints with an estimate: at least 3 are needed"
        return Onset(None, None, math.nan, math.nan, None, math.nan, said)
    precision = np.asarray(np.linalg.inv(covariance), np.float64)
    gain, levels = _splits(estimates[None], precision)
    gain, levels = gain[0], levels[0]
    best = int(gain.argmax())
    noise = rng.standard_normal((DRAWS, len(steps))) @ np.linalg.cholesky(covariance).T
    null = _splits(noise, precision)[0].max(axis=-1)
    fitted = np.where(np.arange(len(steps)) <= best, *levels[best])
    drawn = _splits(fitted + noise, precision)[0]
    drop = float(np.quantile(drawn.max(axis=-1) - drawn[:, best], 0.95, method="higher"))
    close = np.flatnonzero(gain >= gain[best] - drop)
    return Onset(
        after_step=steps[best],
        by_step=steps[best + 1],
        before=float(levels[best, 0]),
        after=float(levels[best, 1]),
        ci95=(steps[close[0]], steps[close[-1] + 1]),
        p_value=float((1 + (null >= gain[best]).sum()) / (DRAWS + 1)),
    )


def _splits(y: FloatArray, precision: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what a split after each point but the last gains, and its two levels.

    Args:
        y: Series, shape (m, n).
        precision: Inverse of the covariance of their errors, shape (n, n).

    Returns:
        The drop of the generalised sum of squares against one level, shape (m, n - 1), and the
        levels, shape (m, n - 1, 2).
    """
    n = y.shape[1]
    one = _explained(y, np.ones((n, 1)), precision)[0]
    found = [
        _explained(y, np.column_stack((np.arange(n) <= k, np.arange(n) > k)), precision)
        for k in range(n - 1)
    ]
    gains = np.column_stack([explained - one for explained, _ in found])
    return gains, np.stack([levels for _, levels in found], axis=1)


def _explained(
    y: FloatArray, design: FloatArray, precision: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the sum of squares that a design explains in each series, and its coefficients."""
    projected = design.T @ precision
    scores = projected @ y.T
    coefficients = np.asarray(np.linalg.solve(projected @ design, scores), np.float64)
    return np.asarray((coefficients * scores).sum(axis=0)), coefficients.T
