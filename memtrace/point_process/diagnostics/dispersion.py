"""Are window counts as even as a random order makes them? The index of dispersion.

It cannot see the order of the windows: a drift shows only by what it adds to the variance.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from memtrace.point_process.windows import Windows
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

DRAWS = 1999
MOST_PLACED = 5000
"""With more events than this the tails come from moments, not from simulated orders."""
MOST_SEQUENCES = 10**9
"""NumPy draws the counts of all windows at once from fewer sequences only."""
LESS = "counts vary less than by chance, so there is no bound"
ROUNDING = 1e-9
"""Index below which counts are equal but for rounding."""
NEAR_VARIANCE, NEAR_SKEWNESS = 0.02, 0.04
"""A statistic whose variance, as a share, and skewness are as near as this is chi-squared."""


@dataclass(frozen=True)
class Reference:
    """A gamma distribution of X2 with its first three moments (Pearson's type III).

    With the variance 2 df and the skewness sqrt(8 / df) it is chi-squared.
    """

    df: int
    """The mean."""
    variance: float
    skewness: float

    @property
    def is_chi_squared(self) -> bool:
        """Return whether chi-squared differs by less than can matter."""
        near = abs(self.variance / (2 * self.df) - 1) < NEAR_VARIANCE
        return near and abs(self.skewness - math.sqrt(8 / self.df)) < NEAR_SKEWNESS

    @property
    def law(self) -> Any:
        """Return the frozen distribution."""
        if self.is_chi_squared:
            return stats.chi2(self.df)
        sd = math.sqrt(self.variance)
        if self.skewness < 1e-3:
            return stats.norm(self.df, sd)
        shape, scale = 4 / self.skewness**2, sd * self.skewness / 2
        return stats.gamma(shape, loc=self.df - shape * scale, scale=scale)


def reference(
    mean: FloatArray, share: float, design: FloatArray | None = None, parameters: int = 1
) -> Reference:
    """Return the moments of sum (y - mean)^2 / (mean (1 - share)) in random order.

    Given what was estimated from the counts, each term loses its regression on the scores
    (McCullagh 1985, the conditional moments of Pearson's statistic): what is left has cumulants
    that follow from those of binomial counts. With equal expectations m the variance is 2 df
    (1 - 1 / exposure) and the third cumulant df (8 + 4 / m); unequal small ones add far more.

    Args:
        mean: Expected count of each window, shape (W,).
        share: Share of the sequences that are events; 0 for Poisson counts.
        design: Columns of the log-linear rate, shape (W, k); None for a constant.
        parameters: How many parameters were estimated.
    """
    w, pq = len(mean), share * (1 - share)
    v = mean * (1 - share)
    x = np.ones((w, 1)) if design is None else design
    score = (1 - 2 * share) * x.sum(axis=0)
    b = x @ np.linalg.lstsq(x.T @ (v[:, None] * x), score, rcond=None)[0]
    third, fourth = v * (1 - 2 * share), v * (1 - 6 * pq) + 3 * v**2
    fifth = v * (1 - 2 * share) * (1 - 12 * pq + 10 * v)
    sixth = v * (1 - 30 * pq + 120 * pq**2) + 15 * v**2 * (1 - 6 * pq)
    sixth += 10 * third**2 + 15 * v**3
    second = fourth / v**2 - 2 * b * third / v + b**2 * v
    cube = sixth / v**3 - 3 * b * fifth / v**2 + 3 * b**2 * fourth / v - b**3 * third
    df = w - parameters
    variance = max(float((second - 1).sum()) * df / w, 1e-9)
    cumulant = float((cube - 3 * second + 2).sum()) * df / w
    return Reference(df, variance, cumulant / variance**1.5)


@dataclass(frozen=True)
class Index:
    """Pearson's X2 over its degrees of freedom, against one distribution of the counts."""

    value: float
    ci95: Interval
    p_over: float
    """Probability of a value at least as large under the reference."""
    p_under: float

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value: twice the smaller tail."""
        return float(np.minimum(1.0, 2 * np.minimum(self.p_over, self.p_under)))


NO_INDEX = Index(math.nan, UNDEFINED, math.nan, math.nan)


@dataclass(frozen=True)
class Dispersion:
    """Dispersion of the window counts about a constant rate, or about a given expectation."""

    binomial: Index
    """Against counts with at most one event a sequence: variance e p (1 - p)."""
    poisson: Index
    """Against Poisson counts, as the paper: 1 - p times the binomial index."""
    degrees_of_freedom: int
    method: str
    """How tails were found: `chi-squared`; for sparse or uneven expectations `simulation` of random
    orders, or `moments` of the statistic."""
    cv: float = math.nan
    """Coefficient of variation of the rate between windows beyond chance; 0 if there is none."""
    cv_upper95: float = math.nan
    """The same at the upper end of the index's 95% interval; NaN where that is below 1, for then
    the counts vary less than by chance."""
    icc: float = math.nan
    """Intraclass correlation of two sequences of one window, moment estimate."""
    reason: str | None = None
    """Why values are NaN."""

    @property
    def varies_less(self) -> bool:
        """Return whether the index is below 1 by more than its interval: `cv` has no bound."""
        return not math.isnan(self.cv) and math.isnan(self.cv_upper95)


def dispersion(
    windows: Windows,
    *,
    expected: FloatArray | None = None,
    parameters: int = 1,
    design: FloatArray | None = None,
    rng: np.random.Generator | None = None,
) -> Dispersion:
    """Test window counts against a rate that is constant, or as `expected`.

    X2 = sum (y - mu)^2 / (mu (1 - p)) on W - parameters degrees of freedom (Cochran 1954, the
    variance test for binomial samples); without the factor 1 - p it is Fisher's (1925) index for
    Poisson counts. A short window counts with its own exposure.

    Args:
        windows: Counts and exposures, W windows.
        expected: Expected count of each window, shape (W,); None for a constant rate.
        parameters: How many parameters of `expected` were estimated from the counts.
        design: Columns of a log-linear rate that was fitted, shape (W, parameters), for the
            moments of sparse or uneven expectations; None for a constant one.
        rng: For a constant rate, the simulation that replaces chi-squared tails where expectations
            are sparse or uneven; without it chi-squared is used throughout.
    """
    counts, exposures = windows.counts, windows.exposures
    n_events, exposure = int(counts.sum()), int(exposures.sum())
    df = len(counts) - parameters
    if reason := _undefined(n_events, exposure, df):
        return Dispersion(NO_INDEX, NO_INDEX, max(df, 0), "none", reason=reason)
    free = 1 - n_events / exposure
    mean = exposures * (n_events / exposure) if expected is None else expected
    x2 = float(((counts - mean) ** 2 / mean).sum())
    law = reference(np.asarray(mean, np.float64), 1 - free, design, parameters)
    method = "chi-squared"
    if (rng is not None or expected is not None) and not law.is_chi_squared:
        method = "simulation" if rng is not None and n_events <= MOST_PLACED else "moments"
    if method == "simulation" and rng is not None:
        tails = _simulated_tails(counts, exposures, x2, rng)
        poisson, binomial = _index(x2, df, law.law, tails), _index(x2 / free, df, law.law, tails)
    else:
        exact = stats.chi2(df) if method == "chi-squared" else law.law
        poisson, binomial = _index(x2, df, exact), _index(x2 / free, df, exact)
    # The usual window: neither a short last one nor thin coverage of a few changes it.
    length = float(np.median(exposures))
    return Dispersion(
        binomial=binomial,
        poisson=poisson,
        degrees_of_freedom=df,
        method=method,
        cv=_cv(binomial.value, length, 1 - free),
        cv_upper95=_cv(high, length, 1 - free) if (high := binomial.ci95[1]) >= 1 else math.nan,
        icc=(binomial.value - 1) / (length - 1) if length > 1 else math.nan,
        reason=None if length > 1 else "windows of one sequence have no cv and no icc",
    )


def pearson_residuals(windows: Windows) -> FloatArray:
    """Return (y - e p) / sqrt(e p (1 - p)) of each window, shape (W,); zeros without a variance."""
    total = max(int(windows.exposures.sum()), 1)
    p = int(windows.counts.sum()) / total
    scale = np.sqrt(windows.exposures * p * (1 - p))
    residual: FloatArray = (windows.counts - windows.exposures * p) / np.where(scale > 0, scale, 1)
    return residual


def _undefined(n_events: int, exposure: int, df: int) -> str | None:
    if exposure == 0:
        return "no exposed sequence was scanned"
    if n_events == 0:
        return "no events"
    if n_events == exposure:
        return "every observed sequence is an event"
    return "too few windows" if df < 1 else None


def _index(x2: float, df: int, law: Any, tails: tuple[float, float] | None = None) -> Index:
    """Return the index; equal counts leave its interval no width, so they have none."""
    low, high = (x2 / max(float(law.isf(level)), 1e-9) for level in (0.025, 0.975))
    ends = (low, high) if x2 > ROUNDING * df else UNDEFINED
    return Index(x2 / df, ends, *(tails or (float(law.sf(x2)), float(law.cdf(x2)))))


def _simulated_tails(
    counts: Int64Array, exposures: Int64Array, x2: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Place the events anew in random order; the observed order is one of the draws."""
    n_events, n = int(counts.sum()), int(exposures.sum())
    if len(counts) <= n_events and n < MOST_SEQUENCES:
        y = rng.multivariate_hypergeometric(exposures, n_events, DRAWS)
        squares = (y**2) @ (1 / exposures)
    else:
        squares = _squares_of_few(exposures, n_events, rng)
    drawn = squares * n / n_events - n_events
    slack = 1e-9 * max(x2, 1.0)
    over = (1 + int((drawn >= x2 - slack).sum())) / (DRAWS + 1)
    under = (1 + int((drawn <= x2 + slack).sum())) / (DRAWS + 1)
    return over, under


def _squares_of_few(exposures: Int64Array, n_events: int, rng: np.random.Generator) -> FloatArray:
    """Return sum y^2 / e of each draw, shape (DRAWS,); only occupied windows are visited."""
    edges, squares = np.cumsum(exposures), np.empty(DRAWS)
    for i in range(DRAWS):
        ranks = rng.choice(edges[-1], n_events, replace=False, shuffle=False)
        window, y = np.unique(np.searchsorted(edges, ranks, side="right"), return_counts=True)
        squares[i] = (y**2 / exposures[window]).sum()
    return squares


def _cv(index: float, length: float, p: float) -> float:
    """Return sqrt((D - 1)(1 - p) / ((m - 1) p)): what is left of the variance after chance."""
    if length <= 1:
        return math.nan
    return math.sqrt(max(index - 1, 0.0) * (1 - p) / ((length - 1) * p))
