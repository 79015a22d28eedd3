"""Does the order of training matter, with the text as unit? Exact under a random order of rows."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import gammaln

from memtrace.types import FloatArray, Int64Array

FEW_TEXTS = 20
"""Below so many texts the p-value is that of drawn placements, not of a normal distribution."""
DRAWS = 9_999
PLACED = 10_000_000
"""Rows that are placed at random in all draws of a distance together, at most."""
LEAST_DRAWS = 99
_ENUMERATED = 100_000
"""Rows up to which the variance is summed exactly; beyond, 1/12 but for (copies / rows)^2."""


@dataclass(frozen=True)
class RankTest:
    """Whether memorized texts lie late or early in training."""

    texts: int
    statistic: float
    """Positive where they lie late."""
    variance: float
    """Of the statistic in random order; exact."""
    z: float
    p_normal: float
    p_value: float
    """Two-sided: normal from 20 texts on, else of drawn placements."""


def linear_rank(
    ranks: Int64Array, labels: Int64Array, rows: int, rng: np.random.Generator, *, by_text: bool
) -> RankTest:
    """Test the sum of a (u - 1/2) over memorized rows, u = (rank + 1/2) / rows.

    Args:
        ranks: Rank of each memorized row among the observed ones, 0-based, shape (n,).
        labels: The text of each, shape (n,). All observed copies of a text are memorized or none.
        rows: Observed rows.
        rng: For the placements, where there are few texts.
        by_text: Each text weighs 1, so a row 1 / (copies of its text); else each row weighs 1.
    """
    _, which, copies = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / copies[which] if by_text else np.ones(len(ranks))
    statistic = float((weights * ((ranks + 0.5) / rows - 0.5)).sum())
    total, squares = float(weights.sum()), float((weights**2).sum())
    variance = _rank_variance(rows) * (squares - total**2 / rows) if rows else math.nan
    z = statistic / math.sqrt(variance) if variance > 0 else math.nan
    normal = float(2 * stats.norm.sf(abs(z)))
    drawn = normal
    if len(copies) < FEW_TEXTS and variance > 0:
        drawn = _drawn(weights, statistic, rows, rng)
    return RankTest(len(copies), statistic, variance, z, normal, drawn)


@dataclass(frozen=True)
class Distance:
    """How far memorized texts are from an even spread over training, each with weight 1."""

    ks: float
    """Largest distance between their distribution function and that of all observed rows."""
    p_value: float
    reason: str | None = None
    """Why values are NaN."""


def ks_distance(
    ranks: Int64Array, labels: Int64Array, rows: int, rng: np.random.Generator
) -> Distance:
    """Test the distance of texts from an even spread; the copies of a text share its weight.

    The p-value is that of random placements of the memorized rows, so it is exact whatever the
    copies. With more than `PLACED` / `LEAST_DRAWS` rows there is none.

    Args:
        ranks: Rank of each memorized row among the observed ones, ascending, shape (n,).
        labels: The text of each, shape (n,).
        rows: Observed rows.
        rng: For the placements.
    """
    n = len(ranks)
    if n in (0, rows):
        return Distance(math.nan, math.nan, "no order to test")
    _, which, copies = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / (copies[which] * len(copies))
    found = _distance(ranks, weights, rows)
    if n > PLACED // LEAST_DRAWS:
        many = f"{n:,} memorized rows are too many for random placements"
        return Distance(found, math.nan, many)
    draws = min(999, PLACED // n)
    beyond = 0
    for _ in range(draws):
        drawn = rng.choice(rows, n, replace=False)
        order = np.argsort(drawn)
        beyond += _distance(drawn[order], weights[order], rows) >= found * (1 - 1e-12)
    return Distance(found, (1 + beyond) / (1 + draws))


def _distance(ranks: Int64Array, weights: FloatArray, rows: int) -> float:
    after = np.cumsum(weights)
    return float(max((after - (ranks + 1) / rows).max(), (ranks / rows - after + weights).max()))


def _rank_variance(rows: int) -> float:
    """Return rows / (rows - 1) times the variance of one rank over rows, (rows^2 - 1) / 12."""
    return (rows**2 - 1) / (12 * rows**2) * rows / max(rows - 1, 1)


def last_exposure(last: Int64Array, copies: Int64Array, rows: int) -> RankTest:
    """Test whether the last copies of memorized texts lie late: is what was seen recently known?

    The sum of v - 1/2, v the chance that the last of m randomly placed copies lies before this one
    (one that is there counts half).

    Args:
        last: Rank of the last observed copy of each memorized text, 0-based, shape (t,).
        copies: Its observed copies, shape (t,).
        rows: Observed rows.
    """
    statistic = float((last_exposure_transform(last, copies, rows) - 0.5).sum())
    each, times = np.unique(copies, return_counts=True)
    variance = float(
        sum(last_exposure_variance(int(m), rows) * n for m, n in zip(each, times, strict=True))
    )
    z = statistic / math.sqrt(variance) if variance > 0 else math.nan
    normal = float(2 * stats.norm.sf(abs(z)))
    return RankTest(len(last), statistic, variance, z, normal, normal)


def last_exposure_transform(last: Int64Array, copies: Int64Array, rows: int) -> FloatArray:
    """Return (C(x + 1, m) + C(x, m)) / (2 C(rows, m)) for the last copy x of m, elementwise."""
    x, m = np.asarray(last, float), np.asarray(copies, float)
    return 0.5 * (_ratio(x + 1, m, rows) + _ratio(x, m, rows))


def last_exposure_variance(copies: int, rows: int) -> float:
    """Return the variance of `last_exposure_transform` in random order: (1 - sum of p^3) / 12."""
    if rows > _ENUMERATED:
        return 1 / 12
    x = np.arange(rows, dtype=float)
    chances = _ratio(x + 1, np.float64(copies), rows) - _ratio(x, np.float64(copies), rows)
    return float((1 - (chances**3).sum()) / 12)


def _ratio(x: FloatArray, m: FloatArray | np.float64, rows: int) -> FloatArray:
    """Return C(x, m) / C(rows, m), elementwise."""
    enough = x >= m
    log = gammaln(x + 1) - gammaln(np.where(enough, x - m, 0) + 1)
    log += gammaln(rows - m + 1) - gammaln(rows + 1.0)
    return np.where(enough, np.exp(np.minimum(log, 0)), 0.0)


def _drawn(weights: FloatArray, statistic: float, rows: int, rng: np.random.Generator) -> float:
    """Return the share of random placements whose statistic is as far from 0."""
    beyond = 0
    for _ in range(DRAWS):
        ranks = rng.choice(rows, len(weights), replace=False)
        drawn = (weights * ((ranks + 0.5) / rows - 0.5)).sum()
        beyond += abs(drawn) >= abs(statistic) * (1 - 1e-12)
    return (1 + beyond) / (1 + DRAWS)
