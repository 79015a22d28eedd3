"""Are the events spread evenly over training? Distances from an even spread, given their number.

Only the ranks of the events among the observed sequences count: if order does not matter they
are a simple random sample without replacement, and every test here has its exact form.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from memtrace.point_process.diagnostics.quadratic import quadratic_sf
from memtrace.point_process.events import EventSequence
from memtrace.types import FloatArray, Int64Array

EXACT_SEQUENCES = 200
"""Up to so many observed sequences the exact permutation distributions are used."""
COMPONENTS = 4


@dataclass(frozen=True)
class Uniformity:
    """Distance of the events from an even spread; NaN where undefined."""

    ks: float
    """Largest distance between the distribution functions of the events and of all observed
    sequences: the KS distance, a share of the events."""
    ks_upper95: float
    """Upper 95% bound of that distance in the process behind the events (Dvoretzky-Kiefer-Wolfowitz
    with Massart's constant)."""
    ks_critical95: float
    """Distance that a random order exceeds in 5% of cases."""
    p_value: float
    """Of the Kolmogorov-Smirnov test of random order."""
    laplace_z: float
    """Standardised mean position: negative if the events come early."""
    laplace_p_value: float
    """Two-sided, of the Laplace test: the rank-sum test of positions."""
    ks_plus: float = math.nan
    """How far the events run ahead of all sequences."""
    ks_minus: float = math.nan
    kuiper: float = math.nan
    """Sum of both, which does not depend on where the axis begins."""
    kuiper_p_value: float = math.nan
    cramer_von_mises: float = math.nan
    """W2, of the middles of the sequences."""
    cramer_von_mises_p_value: float = math.nan
    anderson_darling: float = math.nan
    """A2, which gives the ends of training more weight."""
    anderson_darling_p_value: float = math.nan
    neyman: tuple[float, ...] = ()
    """Mean of the first orthonormal Legendre polynomials over the events: drift, bow, ..."""
    neyman_statistic: float = math.nan
    """n times their sum of squares, with the finite-population correction: chi-squared on 4."""
    neyman_p_value: float = math.nan
    reason: str | None = None
    """Why values are NaN."""


def uniformity(events: EventSequence) -> Uniformity:
    """Test the positions against random order, with the finite-population correction.

    Without replacement the deviations are smaller than for independent draws by sqrt(1 - p): the
    distance D of the events from all sequences is 1 - p times the two-sample distance between
    events and the others, and Var(mean rank) = (T + 1)(T - n) / (12 n) for n events among T.
    """
    n, total = events.n_events, events.exposure
    if n == 0 or n == total:
        nan = math.nan
        reason = "no events" if n == 0 else "every observed sequence is an event"
        return Uniformity(nan, nan, nan, nan, nan, nan, reason=reason)
    before, after = deviations(events.ranks, total)
    plus, minus = max(float(after.max()), 0.0), max(float(-before.min()), 0.0)
    distance, free = max(plus, minus), 1 - n / total
    shrink = math.sqrt(free / n)
    u = (events.ranks + 0.5) / total
    w2, a2, theta = cramer_von_mises(u), anderson_darling(u), neyman_components(u)
    smooth = n * float((theta**2).sum()) / free
    z = laplace_z(events.ranks, total)
    exact = total <= EXACT_SEQUENCES
    others = np.setdiff1d(np.arange(total), events.ranks) if exact else np.empty(0, np.int64)
    return Uniformity(
        ks=distance,
        ks_upper95=min(1.0, distance + math.sqrt(math.log(2 / 0.05) / (2 * n))),
        ks_critical95=float(stats.kstwobign.isf(0.05)) * shrink,
        p_value=_ks_p(distance, n, total, events.ranks, others),
        laplace_z=z,
        laplace_p_value=float(stats.mannwhitneyu(events.ranks, others, method="exact").pvalue)
        if exact
        else 2 * float(stats.norm.sf(abs(z))),
        ks_plus=plus,
        ks_minus=minus,
        kuiper=plus + minus,
        kuiper_p_value=kuiper_sf((plus + minus) / shrink),
        cramer_von_mises=w2,
        cramer_von_mises_p_value=quadratic_sf(w2 / free, "cramer-von mises"),
        anderson_darling=a2,
        anderson_darling_p_value=quadratic_sf(a2 / free, "anderson-darling"),
        neyman=tuple(map(float, theta)),
        neyman_statistic=smooth,
        neyman_p_value=float(stats.chi2.sf(smooth, len(theta))),
    )


def deviations(ranks: Int64Array, total: int) -> tuple[FloatArray, FloatArray]:
    """Return F_events - F_all just before and just after each event, two arrays of shape (n,)."""
    steps = np.arange(len(ranks) + 1) / len(ranks)
    return steps[:-1] - ranks / total, steps[1:] - (ranks + 1) / total


def cramer_von_mises(u: FloatArray) -> float:
    """Return W2 = 1 / 12 n + sum (u_(i) - (2 i - 1) / 2 n)^2 of ascending values in (0, 1)."""
    n = len(u)
    plotting = (2 * np.arange(1, n + 1) - 1) / (2 * n)
    return 1 / (12 * n) + float(((u - plotting) ** 2).sum())


def anderson_darling(u: FloatArray) -> float:
    """Return A2 = -n - mean (2 i - 1)(log u_(i) + log(1 - u_(n + 1 - i))) of ascending values."""
    n = len(u)
    weight = 2 * np.arange(1, n + 1) - 1
    with np.errstate(divide="ignore"):  # infinite where a value is 0 or 1
        return -n - float((weight * (np.log(u) + np.log1p(-u[::-1]))).mean())


def neyman_components(u: FloatArray, components: int = COMPONENTS) -> FloatArray:
    """Return the mean of each orthonormal shifted Legendre polynomial over u (Neyman 1937).

    The first times sqrt(n) is Laplace's statistic; for a density 1 + b (2 u - 1) it is b / sqrt 3.
    """
    x = 2 * u - 1
    order = np.arange(1, components + 1)
    means = np.array([special.eval_legendre(j, x).mean() for j in order])
    scaled: FloatArray = np.sqrt(2 * order + 1) * means
    return scaled


def kuiper_sf(value: float) -> float:
    """Return the limiting probability of a larger sqrt(n) (D+ + D-) (Kuiper 1960)."""
    j = np.arange(1, 101)
    z = (j * max(value, 0.4)) ** 2
    return float(np.clip(2 * ((4 * z - 1) * np.exp(-2 * z)).sum(), 0.0, 1.0))


def laplace_z(ranks: Int64Array, total: int) -> float:
    """Return the Laplace statistic of ranks drawn without replacement from [0, total)."""
    n = len(ranks)
    # Twice the centred sum is an exact integer.
    centred = (2 * int(ranks.sum()) - n * (total - 1)) / (2 * n)
    return centred / math.sqrt((total + 1) * (total - n) / (12 * n))


def _ks_p(distance: float, n: int, total: int, ranks: Int64Array, others: Int64Array) -> float:
    if len(others):
        with warnings.catch_warnings():
            # SciPy rejects its own exact result where rounding lifts a probability of 1 above 1.
            warnings.simplefilter("error", RuntimeWarning)
            try:
                return float(stats.ks_2samp(ranks, others, method="exact").pvalue)
            except RuntimeWarning:
                return 1.0
    # Of the two-sample test between events and the others: its distance and effective size.
    between, size = distance / (1 - n / total), n * (1 - n / total)
    if size < 1000:
        return float(stats.kstwo.sf(between, max(round(size), 1)))
    return float(stats.kstwobign.sf(math.sqrt(size) * between))
