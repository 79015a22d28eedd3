"""The same model trained with several seeds: how much of one seed's result is its seed.

The share of texts is one number a seed: its mean has Student's interval, its standard deviation the
chi-squared one, and the result of one more seed the prediction interval (Hahn and Meeker 1991,
chapter 4), on the log scale, since shares are small and positive. The standard deviation is not
taken below what counts of texts alone give: few seeds with few texts can agree by chance.

Which texts are memorized is told by the mean over pairs of seeds of the share of one seed's texts
that another has too; its interval is that of the jackknife over seeds (Arvesen 1969, Ann. Math.
Stat. 40:2076).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from memtrace.comparison.agreement import Measure
from memtrace.comparison.runs import ComparedRun
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

FEWEST, FEWEST_JACKKNIFE = 2, 4


@dataclass(frozen=True)
class SeedSpread:
    """Shares of texts of models that differ by their seed alone."""

    mean: Measure
    """Geometric mean of the share over seeds."""
    spread: Measure
    """Standard deviation of the logarithm of the share, about its coefficient of variation; not
    below `counting`."""
    counting: float
    """What of that standard deviation is expected from a sample of so many texts alone."""
    one_more: Interval
    """95% prediction interval of the share of one more seed that has memorized a text."""


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """Models that differ by their seed alone, at one step."""

    of: str
    """The model that they rerun."""
    kind: str
    """What differs: `all`, `data` (the order) or `weight` (the initial weights)."""
    step: int
    runs: tuple[int, ...]
    """Places of the runs, by seed."""
    shares: FloatArray
    """Share of exposed texts that each has memorized, shape (runs,)."""
    spread: SeedSpread | None
    """None where a share is 0 or not defined."""
    shared: Measure | None
    """Mean share of one seed's texts that another one has too; None where no text matches."""
    jaccard: Measure | None
    """Mean of Jaccard's index over pairs of seeds."""
    by_number: Int64Array | None
    """Texts that exactly 1, 2, ... seeds have memorized, shape (runs,)."""


def seed_groups(runs: Sequence[ComparedRun]) -> list[tuple[str, str, int, tuple[int, ...]]]:
    """Return model, kind, step and the places of runs that differ by their seed alone.

    An original belongs to the reruns of all that is random; it is not known to share weights or
    order with others.
    """
    groups: dict[tuple[str, str, str, int], list[int]] = {}
    for place, run in enumerate(runs):
        key = run.suite, run.seed.of, run.seed.kind, run.step
        groups.setdefault(key, []).append(place)
    return [
        (of, kind, step, tuple(sorted(places, key=lambda p: runs[p].seed.number or -1)))
        for (_, of, kind, step), places in groups.items()
        if len(places) >= FEWEST and any(runs[p].seed.number is not None for p in places)
    ]


def seed_spread(shares: FloatArray, covariance: FloatArray) -> SeedSpread | None:
    """Return how the shares of seeds spread; None where one is 0 or not defined.

    Args:
        shares: One a seed, shape (n,).
        covariance: Of their logarithms by a sample of texts alone, shape (n, n).
    """
    if not (shares > 0).all():
        return None
    n, logs = len(shares), np.log(shares)
    counting = _counting(covariance)
    middle, deviation = float(logs.mean()), max(float(logs.std(ddof=1)), counting)
    t = float(special.stdtrit(n - 1, 0.975))
    half, ahead = t * deviation / math.sqrt(n), t * deviation * math.sqrt(1 + 1 / n)
    scale = [math.sqrt((n - 1) / float(special.chdtri(n - 1, tail))) for tail in (0.025, 0.975)]
    return SeedSpread(
        Measure(math.exp(middle), _around(middle, half)),
        Measure(deviation, (deviation * scale[0], deviation * scale[1])),
        counting,
        _around(middle, ahead),
    )


def _around(middle: float, half: float) -> Interval:
    """Return the ends of a share on the log scale, which is 1 at most."""
    return math.exp(middle - half), math.exp(min(middle + half, 0.0))


def mean_over_pairs(values: FloatArray) -> Measure:
    """Return the mean of a value of each ordered pair, with the jackknife's interval over members.

    Pseudo-values n theta - (n - 1) theta_without have Student's t with n - 1 degrees of freedom.

    Args:
        values: Shape (n, n); the diagonal is not read.
    """
    n = len(values)
    off = np.where(np.eye(n, dtype=bool), 0.0, values)
    total = float(off.sum())
    mean = total / (n * (n - 1))
    if n < FEWEST_JACKKNIFE or not math.isfinite(mean):
        return Measure(mean, UNDEFINED)
    without = (total - off.sum(axis=0) - off.sum(axis=1)) / ((n - 1) * (n - 2))
    pseudo = n * mean - (n - 1) * without
    t = float(special.stdtrit(n - 1, 0.975))
    half = t * float(pseudo.std(ddof=1)) / math.sqrt(n)
    return Measure(mean, (max(mean - half, 0.0), min(mean + half, 1.0)))


def _counting(covariance: FloatArray) -> float:
    """Return the root of the expected sample variance of values with this covariance."""
    n = len(covariance)
    own = float(np.trace(covariance)) / n
    between = (float(covariance.sum()) - float(np.trace(covariance))) / (n * (n - 1))
    return math.sqrt(max(own - between, 0.0))
