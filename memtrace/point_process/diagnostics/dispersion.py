"""Are window counts as even as a random order makes them? The index of dispersion.

It cannot see the order of the windows: a drift shows only by what it adds to the variance.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.point_process.windows import Windows
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

SPARSE = 200
"""Expected pairs of events sharing a window, doubled, below which chi-squared tails mislead."""
DRAWS = 1999


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
    """How tails were found: `chi-squared`, or `simulation` of random orders for sparse counts."""
    cv: float = math.nan
    """Coefficient of variation of the rate between windows beyond chance; 0 if there is none."""
    cv_upper95: float = math.nan
    """The same at the upper end of the index's 95% interval."""
    icc: float = math.nan
    """Intraclass correlation of two sequences of one window, moment estimate."""
    reason: str | None = None
    """Why values are NaN."""


def dispersion(
    windows: Windows,
    *,
    expected: FloatArray | None = None,
    parameters: int = 1,
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
        rng: For the simulation that replaces chi-squared tails where a constant rate leaves the
            counts sparse; without it chi-squared is used throughout.
    """
    counts, exposures = windows.counts, windows.exposures
    n_events, exposure = int(counts.sum()), int(exposures.sum())
    df = len(counts) - parameters
    if reason := _undefined(n_events, exposure, df):
        return Dispersion(NO_INDEX, NO_INDEX, max(df, 0), "none", reason=reason)
    free = 1 - n_events / exposure
    mean = exposures * (n_events / exposure) if expected is None else expected
    x2 = float(((counts - mean) ** 2 / mean).sum())
    sparse = expected is None and n_events**2 / len(counts) < SPARSE
    if sparse and rng is not None:
        tails = _simulated_tails(counts, exposures, x2, rng)
        poisson, binomial = _index(x2, df, tails), _index(x2 / free, df, tails)
    else:
        poisson = _index(x2, df, _chi2_tails(x2, df))
        binomial = _index(x2 / free, df, _chi2_tails(x2 / free, df))
    # The usual window: neither a short last one nor thin coverage of a few changes it.
    length = float(np.median(exposures))
    return Dispersion(
        binomial=binomial,
        poisson=poisson,
        degrees_of_freedom=df,
        method="simulation" if sparse and rng is not None else "chi-squared",
        cv=_cv(binomial.value, length, 1 - free),
        cv_upper95=_cv(binomial.ci95[1], length, 1 - free),
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


def _index(x2: float, df: int, tails: tuple[float, float]) -> Index:
    low, high = x2 / stats.chi2.isf(0.025, df), x2 / stats.chi2.isf(0.975, df)
    return Index(x2 / df, (float(low), float(high)), *tails)


def _chi2_tails(x2: float, df: int) -> tuple[float, float]:
    return float(stats.chi2.sf(x2, df)), float(stats.chi2.cdf(x2, df))


def _simulated_tails(
    counts: Int64Array, exposures: Int64Array, x2: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Place the events anew in random order; the observed order is one of the draws."""
    n_events, edges = int(counts.sum()), np.cumsum(exposures)
    rate = n_events / edges[-1]
    drawn = np.empty(DRAWS)
    for i in range(DRAWS):
        # Few events in many windows: only occupied windows are visited.
        ranks = rng.choice(edges[-1], n_events, replace=False, shuffle=False)
        window, y = np.unique(np.searchsorted(edges, ranks, side="right"), return_counts=True)
        drawn[i] = (y**2 / exposures[window]).sum() / rate - n_events
    slack = 1e-9 * max(x2, 1.0)
    over = (1 + int((drawn >= x2 - slack).sum())) / (DRAWS + 1)
    under = (1 + int((drawn <= x2 + slack).sum())) / (DRAWS + 1)
    return over, under


def _cv(index: float, length: float, p: float) -> float:
    """Return sqrt((D - 1)(1 - p) / ((m - 1) p)): what is left of the variance after chance."""
    if length <= 1:
        return math.nan
    return math.sqrt(max(index - 1, 0.0) * (1 - p) / ((length - 1) * p))
