"""Are the events spread evenly over training? Kolmogorov-Smirnov and Laplace, given their number.

It knows only the ranks of the events among the observed sequences: if order does not matter they
are a simple random sample without replacement, and every test here has its exact form.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.point_process.events import EventSequence, FloatArray, Int64Array

EXACT_SEQUENCES = 200
"""Up to so many observed sequences the exact permutation distributions are used."""


@dataclass(frozen=True)
class Uniformity:
    """Distance of the events from an even spread; NaN where undefined."""

    ks: float
    """Largest distance between the distribution functions of the events and of all observed
    sequences: the share of the events that is out of place."""
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
        return Uniformity(nan, nan, nan, nan, nan, nan, reason)
    distance = max(float(np.abs(side).max()) for side in deviations(events.ranks, total))
    shrink = math.sqrt((1 - n / total) / n)
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
    )


def deviations(ranks: Int64Array, total: int) -> tuple[FloatArray, FloatArray]:
    """Return F_events - F_all just before and just after each event, two arrays of shape (n,)."""
    steps = np.arange(len(ranks) + 1) / len(ranks)
    return steps[:-1] - ranks / total, steps[1:] - (ranks + 1) / total


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
