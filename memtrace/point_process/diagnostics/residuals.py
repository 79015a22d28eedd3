"""What a model leaves unexplained: rescaled gaps and quantile residuals of window counts.

The model is given; what is left is tested for being without pattern.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import ndtri

from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model
from memtrace.types import FloatArray

CELLS = 4096
NULL_EVENTS, DRAWS = 500, 999


@dataclass(frozen=True, eq=False)
class Rescaling:
    """Gaps measured in expected events under a model: Exp(1) if the model holds."""

    gaps: FloatArray
    """Rescaled gaps, randomised within their last sequence, shape (n,)."""
    ks: float
    """Distance of 1 - exp(-gap / mean) from the uniform distribution."""
    p_value: float
    """Of that distance, by simulation with the mean estimated as here."""
    autocorrelation: float
    """Of neighbouring gaps, as normal scores."""
    autocorrelation_p_value: float
    reason: str | None = None
    """Why values are NaN."""


def rescale_gaps(before: FloatArray, hazard: FloatArray, r: FloatArray) -> FloatArray:
    """Rescale the gaps between events in discrete time (Haslinger, Pipa and Brown 2010, eq. 2.10).

    xi = sum of q over the sequences since the last event - log(1 - r (1 - exp(-q of the event)));
    exactly Exp(1) for r uniform, where the naive sum of chances is not. r = 0 and r = 1 bound it.

    Args:
        before: Sum of q = -log(1 - p) over all sequences before each event, shape (n,).
        hazard: q of the sequence of each event, shape (n,).
        r: Uniform numbers, shape (n,).
    """
    since = before - np.concatenate(([0.0], (before + hazard)[:-1]))
    gaps: FloatArray = since - np.log1p(r * np.expm1(-hazard))
    return gaps


def rescaling(events: EventSequence, model: Model, rng: np.random.Generator) -> Rescaling:
    """Test the rescaled gaps of a fitted model.

    Args:
        events: Events and exposure.
        model: A model of the positions.
        rng: Draws r and the distribution of the distance.
    """
    n, nan = events.n_events, math.nan
    if n < 3 or n == events.exposure or model.rate is None:
        reason = "fewer than three events" if n < 3 else "every observed sequence is an event"
        return Rescaling(np.empty(0), nan, nan, nan, nan, reason)
    before, hazard = _cumulative_hazard(events, model)
    gaps = rescale_gaps(before, hazard, rng.random(n))
    if not 0 < gaps.mean() < math.inf:
        reason = "the model puts all of its rate beside the events or on them"
        return Rescaling(np.empty(0), nan, nan, nan, nan, reason)
    scores = ndtri((-np.expm1(-gaps / gaps.mean())).clip(1e-300, 1 - 1e-16))
    scores -= scores.mean()
    correlation = float(scores[1:] @ scores[:-1] / (scores @ scores))
    ks = _distance(gaps)
    return Rescaling(
        gaps,
        ks,
        _distance_p(ks, n, rng),
        correlation,
        2 * float(stats.norm.sf(abs(correlation) * math.sqrt(n))),
    )


def quantile_residuals(
    below: FloatArray, chance: FloatArray, r: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return randomised probability transforms and their normal scores (Dunn and Smyth 1996).

    Args:
        below: Probability of a smaller count, under the model, for each count.
        chance: Probability of the count itself.
        r: Uniform numbers; 1/2 gives the middle of the step instead.
    """
    transform: FloatArray = below + r * chance
    normal: FloatArray = ndtri(transform)  # of scipy.stats, without its checks of each value
    return transform, normal


def count_residuals(events: EventSequence, model: Model, length: int, r: FloatArray) -> FloatArray:
    """Return quantile residuals of window counts under a model of the positions, shape (W,).

    The count of a window is taken as binomial; r has one uniform number for each window.
    """
    windows = events.windows(length)
    middle = (windows.start + np.minimum(windows.start + length, events.n)) / 2 / events.n
    p = np.clip(_rate(model, middle), 1e-300, 1 - 1e-12)
    p *= windows.counts.sum() / (p @ windows.exposures)
    binomial = stats.binom(windows.exposures, p.clip(0, 1))
    below, chance = (
        np.asarray(binomial.cdf(windows.counts - 1)),
        np.asarray(binomial.pmf(windows.counts)),
    )
    return quantile_residuals(below, chance, r)[1]


def _rate(model: Model, u: FloatArray) -> FloatArray:
    if model.rate is None:
        raise TypeError(f"{model.name} is a model of counts and has no rate")
    return model.rate(u)


def _cumulative_hazard(events: EventSequence, model: Model) -> tuple[FloatArray, FloatArray]:
    """Return the sum of q before each event and q at it, with the rate constant in cells."""
    edges = np.arange(CELLS + 1, dtype=np.int64) * events.n // CELLS
    edges = np.unique(edges)
    seen = events.observed_before(edges)
    rate = _rate(model, (edges[:-1] + edges[1:]) / 2 / events.n)
    hazard = -np.log1p(-np.minimum(rate, 1 - 1e-12))
    total = np.concatenate(([0.0], np.cumsum(hazard * np.diff(seen))))
    counts = np.diff(np.searchsorted(events.positions, edges))
    start, before, at = (np.repeat(x, counts) for x in (seen[:-1], total[:-1], hazard))
    return before + at * (events.ranks - start), at


def _distance(gaps: FloatArray) -> float:
    z, step = np.sort(-np.expm1(-gaps / gaps.mean())), np.arange(len(gaps) + 1) / len(gaps)
    return float(np.maximum(step[1:] - z, z - step[:-1]).max())


def _distance_p(ks: float, n: int, rng: np.random.Generator) -> float:
    """Compare with exponential samples, their mean estimated, of at most `NULL_EVENTS`.

    Stephens' modification makes distances of samples of different sizes comparable.
    """
    size = min(n, NULL_EVENTS)
    drawn = rng.exponential(size=(DRAWS, size))
    z = -np.expm1(-np.sort(drawn, axis=1) / drawn.mean(axis=1, keepdims=True))
    step = np.arange(size + 1) / size
    null = np.maximum(step[1:] - z, z - step[:-1]).max(axis=1)
    found, others = _modified(np.array(ks), n), _modified(null, size)
    return float((1 + (others >= found).sum()) / (DRAWS + 1))


def _modified(ks: FloatArray, n: int) -> FloatArray:
    value: FloatArray = (ks - 0.2 / n) * (math.sqrt(n) + 0.26 + 0.5 / math.sqrt(n))
    return value
