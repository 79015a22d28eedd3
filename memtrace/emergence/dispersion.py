"""Do as many texts emerge between checkpoints as one rate lets expect, or are some too many?"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.emergence.hazard import cells_of, of_neighbours, one_hazard
from memtrace.emergence.histories import Histories
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

DRAWS = 1999


@dataclass(frozen=True, eq=False)
class EmergenceDispersion:
    """Pearson's X2 of the texts that emerged between checkpoints, over its degrees of freedom."""

    index: float
    """With the variance of independent texts, sum of p (1 - p); 1 for one rate."""
    index_poisson: float
    """With that of Poisson counts, the expectation."""
    ci95: Interval
    """Of `index`, by the chi-squared distribution."""
    p_value: float
    """Two-sided: twice the smaller tail of counts drawn at one rate."""
    degrees_of_freedom: int
    expected: FloatArray
    """Texts expected in each interval, shape (W,)."""
    reason: str | None = None
    """Why values are NaN."""


def emergence_dispersion(histories: Histories, rng: np.random.Generator) -> EmergenceDispersion:
    """Compare the counts of texts with the sum over texts of p = 1 - exp(-rate time at risk).

    The rate, per text and step, is the best one for all (Prentice and Gloeckler 1978). A text
    counts once, whatever its copies, so the index does not measure the largest text.

    Args:
        histories: As `read_histories` returns them.
        rng: Draws the counts behind the p-value.
    """
    cells = of_neighbours(cells_of(histories), histories.checkpoints)
    stops, which = np.unique(cells.stop, return_inverse=True)
    counts = np.bincount(which, cells.events, len(stops)).astype(np.int64)
    if reason := _undefined(counts):
        return _none(reason, len(stops))
    model = one_hazard(cells)
    if model.reason:
        return _none(model.reason, len(stops))
    # A rate of e^50 a step is certainty, and larger ones would overflow.
    rate = np.exp(min(model.coefficients["log_hazard"], 50.0))
    chance = -np.expm1(-rate * cells.length)
    expected, variance = (
        np.bincount(which, cells.at_risk * each, len(stops)).astype(float)
        for each in (chance, chance * (1 - chance))
    )
    if not (variance > 0).all():
        return _none("in some interval the counts cannot vary", len(stops))
    return dispersion_about(counts, expected, variance, rng)


def dispersion_about(
    counts: Int64Array, expected: FloatArray, variance: FloatArray, rng: np.random.Generator
) -> EmergenceDispersion:
    """Compare counts with expectations of which one rate was estimated, all of shape (W,).

    The counts drawn are binomial ones of that expectation and variance.
    """
    df = len(counts) - 1
    ratio = variance / expected
    chance = np.clip(1 - ratio, 1e-12, 1 - 1e-12)
    drawn = rng.binomial(
        np.maximum(np.rint(expected / chance), 1).astype(np.int64), chance, (DRAWS, len(counts))
    )
    x2, null = _x2(counts, expected, ratio), _x2(drawn, expected, ratio)
    over = (1 + int((null >= x2 - 1e-9).sum())) / (DRAWS + 1)
    under = (1 + int((null <= x2 + 1e-9).sum())) / (DRAWS + 1)
    low, high = (float(x2 / stats.chi2(df).isf(level)) for level in (0.025, 0.975))
    poisson = float(((counts - expected) ** 2 / expected).sum())
    return EmergenceDispersion(
        index=float(x2) / df,
        index_poisson=poisson / df,
        ci95=(low, high),
        p_value=min(1.0, 2 * min(over, under)),
        degrees_of_freedom=df,
        expected=expected,
    )


def _x2(counts: Int64Array, expected: FloatArray, ratio: FloatArray) -> FloatArray:
    """Return X2 with the expectations scaled to the total of the counts, along the last axis."""
    total = counts.sum(axis=-1, keepdims=True)
    mean = expected * (total / expected.sum())
    with np.errstate(invalid="ignore"):
        found = ((counts - mean) ** 2 / (mean * ratio)).sum(axis=-1)
    return np.asarray(np.where(total[..., 0] > 0, found, 0.0))


def _undefined(counts: Int64Array) -> str | None:
    if not counts.sum():
        return "nothing emerged"
    return "one interval between checkpoints" if len(counts) < 2 else None


def _none(reason: str, windows: int) -> EmergenceDispersion:
    nan = math.nan
    return EmergenceDispersion(nan, nan, UNDEFINED, nan, max(windows - 1, 0), np.empty(0), reason)
