"""Is the rate the same in parts of training cut beforehand? A constant rate in each part.

The cuts are given: where to cut is the question of `change_point`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special, stats

from memtrace.errors import FitError
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, rate_of_parts, undefined_model
from memtrace.point_process.models.constant import binomial_interval, homogeneous
from memtrace.point_process.simulate import window_counts
from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray, Int64Array

SPARSE = 50.0
"""Expected events, or sequences without one, in a part below which chi-squared misleads."""
DRAWS = 999
PARTS = 10
PYTHIA_WARM_UP_END, PYTHIA_EPOCH_END = 1430, 98_705
"""1% of 143,000 steps; 207 billion deduplicated tokens in steps of 2,097,152."""


@dataclass(frozen=True)
class Cut:
    """A point of the training axis that was of interest before the data were seen."""

    index: int
    """First sequence of the part that begins here."""
    name: str


def known_cuts(suite: str, model: str, events: EventSequence) -> tuple[Cut, ...]:
    """Return the cuts that are known of a model beforehand, where they fall inside the axis.

    Pythia's learning rate rises until 1% of training; the deduplicated corpus begins its second
    epoch near step 98,700.
    """
    if suite != "pythia" or not events.sequences_per_step:
        return ()
    steps = {PYTHIA_WARM_UP_END: "warm-up ends"}
    if model.endswith("-deduped"):
        steps[PYTHIA_EPOCH_END] = "second epoch begins"
    found = (Cut(step * events.sequences_per_step, name) for step, name in steps.items())
    return tuple(cut for cut in found if 0 < cut.index < events.n)


def parts(events: EventSequence, cuts: Sequence[int]) -> Windows:
    """Count events and observed sequences between the cuts; parts that were not seen are dropped.

    Raises:
        FitError: The cuts are not ascending inside the axis.
    """
    edges = np.array([0, *cuts, events.n], dtype=np.int64)
    if (np.diff(edges) <= 0).any() and events.n:
        raise FitError(f"cuts {list(cuts)} must ascend strictly inside (0, {events.n})")
    exposures = np.diff(events.observed_before(edges))
    counts = np.diff(np.searchsorted(events.positions, edges))
    seen = exposures > 0
    return Windows(edges[:-1][seen], counts[seen], exposures[seen])


def tenths(events: EventSequence) -> tuple[int, ...]:
    """Return the cuts into ten equal parts, fewer if the axis is shorter."""
    return tuple(np.unique(np.arange(1, PARTS) * events.n // PARTS)[events.n < PARTS :].tolist())


def log_likelihood(counts: Int64Array, exposures: Int64Array) -> FloatArray:
    """Return the binomial log-likelihood at the best constant rate, elementwise.

    k log(k / t) + (t - k) log(1 - k / t), with 0 log 0 = 0.
    """
    share = counts / np.maximum(exposures, 1)
    hits = special.xlogy(counts, share)
    return np.asarray(hits + special.xlog1py(exposures - counts, -share), np.float64)


def deviance(counts: Int64Array, exposures: Int64Array) -> FloatArray:
    """Return the likelihood ratio G2 of separate rates against one, over the last axis."""
    one = log_likelihood(counts.sum(axis=-1), exposures.sum(axis=-1))
    value: FloatArray = 2 * (log_likelihood(counts, exposures).sum(axis=-1) - one)
    return value


def piecewise_constant(
    events: EventSequence, cuts: Sequence[int], name: str, rng: np.random.Generator
) -> Model:
    """Fit a constant rate between given cuts.

    The p-value is that of the exact (binomial) likelihood ratio: chi-squared on parts - 1 degrees
    of freedom, or by simulation of random orders where a part is expected to hold few events.

    Args:
        events: Events and exposure.
        cuts: First index of each part but the first.
        name: Name of the model.
        rng: For the simulation.
    """
    there = parts(events, cuts)
    counts, exposures, n = there.counts, there.exposures, events.n_events
    if n == 0 or n == events.exposure or len(counts) < 2:
        few = "fewer than two parts were seen"
        text = "no events" if n == 0 else "every observed sequence is an event"
        return undefined_model(name, n, few if 0 < n < events.exposure else text)
    rates = counts / exposures
    low, high = binomial_interval(counts, exposures)
    names = [f"rate_from_{start}" for start in there.start]
    gain = 2 * float(special.xlogy(counts, rates / events.fraction).sum())
    return Model(
        name,
        homogeneous(n, events.exposure).log_likelihood + gain / 2,
        dict(zip(names, map(float, rates), strict=True)),
        n,
        intervals={k: (float(a), float(b)) for k, a, b in zip(names, low, high, strict=True)},
        likelihood_ratio=gain,
        p_value=_p_value(counts, exposures, rng),
        rate=partial(rate_of_parts, n=events.n, start=there.start, rates=rates),
    )


def _p_value(counts: Int64Array, exposures: Int64Array, rng: np.random.Generator) -> float:
    observed = float(deviance(counts, exposures))
    n, total = counts.sum(), exposures.sum()
    if exposures.min() * min(n, total - n) / total >= SPARSE:
        return float(stats.chi2.sf(observed, len(counts) - 1))
    drawn = deviance(window_counts(exposures, int(n), rng, DRAWS), exposures)
    return float((1 + (drawn >= observed - 1e-9).sum()) / (DRAWS + 1))
