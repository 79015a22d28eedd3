"""Are the events spread evenly over training? Distances from an even spread, given their number.

Only the ranks of the events among the observed sequences count: if order does not matter they
are a simple random sample without replacement. KS distance and Laplace's z have exact variances or
distributions under it; Anderson-Darling and Cramer-von Mises are exact or sampled up to 200
sequences; beyond, and for Kuiper and Neyman always, p-values are approximations.
"""

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import special, stats

from memtrace.point_process.diagnostics.quadratic import finite_sf
from memtrace.point_process.events import EventSequence
from memtrace.types import FloatArray, Int64Array

EXACT_SEQUENCES = 200
"""Up to so many observed sequences the exact permutation distributions are used."""
COMPONENTS = 4
DRAWS = 9999
MANY_SEQUENCES = 100_000


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
    theta = neyman_components(u)
    w2, a2 = float(cramer_von_mises(u)), float(anderson_darling(u))
    w2_p, a2_p = _quadratic_p(w2, a2, n, total)
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
        cramer_von_mises_p_value=w2_p,
        anderson_darling=a2,
        anderson_darling_p_value=a2_p,
        neyman=tuple(map(float, theta)),
        neyman_statistic=smooth,
        neyman_p_value=float(stats.chi2.sf(smooth, len(theta))),
    )


def deviations(ranks: Int64Array, total: int) -> tuple[FloatArray, FloatArray]:
    """Return F_events - F_all just before and just after each event, two arrays of shape (n,)."""
    steps = np.arange(len(ranks) + 1) / len(ranks)
    return steps[:-1] - ranks / total, steps[1:] - (ranks + 1) / total


def _quadratic_p(w2: float, a2: float, n: int, total: int) -> tuple[float, float]:
    """Return the p-values of W2 and A2 of n ranks drawn without replacement.

    Up to `EXACT_SEQUENCES` by all orders, or many of them. Beyond, the statistics less what all
    sequences together have (their steps are 1 / total apart) are 1 - p times those of n (1 - p)
    independent values. For Cramer-von Mises that is the statistic of two samples, the events and
    the others, whose mean and variance then agree (Anderson 1962).
    """
    if total <= EXACT_SEQUENCES:
        statistics = _null_statistics(n, total)
        found = (
            (one >= x * (1 - 1e-9)).mean() for one, x in zip(statistics, (w2, a2), strict=True)
        )
        return tuple(map(float, found))  # type: ignore[return-value]
    if n == 1:  # both grow with the distance from the middle
        at_least = min(1.0, 1 - 2 * math.sqrt(max(w2 - 1 / 12, 0.0)) + 1 / total)
        return at_least, at_least
    free, size = 1 - n / total, n * (1 - n / total)
    two_samples = (w2 - n / (12 * total**2)) / free * total / (total + 1)
    steps = n / total * _anderson_darling_of_all(total)
    return (
        finite_sf(two_samples, "cramer-von mises", size),
        finite_sf((a2 - steps) / free, "anderson-darling", size),
    )


@lru_cache(maxsize=256)
def _anderson_darling_of_all(total: int) -> float:
    """Return A2 of all sequences: near log(total) / 6 total, nothing where there are many."""
    if total > MANY_SEQUENCES:
        return 0.0
    return float(anderson_darling((np.arange(total) + 0.5) / total))


@lru_cache(maxsize=256)
def _null_statistics(n: int, total: int) -> tuple[FloatArray, FloatArray]:
    """Return W2 and A2 of every order of few sequences, or of `DRAWS` of them."""
    if math.comb(total, n) <= DRAWS:
        ranks = np.array(list(combinations(range(total), n)))
    else:
        order = np.random.default_rng(0).random((DRAWS, total)).argpartition(n - 1, axis=1)
        ranks = np.sort(order[:, :n], axis=1)
    u = (ranks + 0.5) / total
    return cramer_von_mises(u), anderson_darling(u)


def cramer_von_mises(u: FloatArray) -> FloatArray:
    """Return W2 = 1 / 12 n + sum (u_(i) - (2 i - 1) / 2 n)^2 of ascending values in (0, 1).

    Along the last axis, as `anderson_darling`.
    """
    n = u.shape[-1]
    plotting = (2 * np.arange(1, n + 1) - 1) / (2 * n)
    return np.asarray(1 / (12 * n) + ((u - plotting) ** 2).sum(axis=-1))


def anderson_darling(u: FloatArray) -> FloatArray:
    """Return A2 = -n - mean (2 i - 1)(log u_(i) + log(1 - u_(n + 1 - i))) of ascending values."""
    n = u.shape[-1]
    weight = 2 * np.arange(1, n + 1) - 1
    with np.errstate(divide="ignore"):  # infinite where a value is 0 or 1
        return np.asarray(-n - (weight * (np.log(u) + np.log1p(-u[..., ::-1]))).mean(axis=-1))


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
