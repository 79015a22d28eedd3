"""Does the order depart from a random one, and in what way? Five tests behind one gate at 5%.

The gate is Holm's: in random order it names any departure at all in at most 5% of cases, whatever
the dependence between its tests. What has passed is then described by the simplest shape that fits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memtrace.point_process.contrasts import adjust_p_values
from memtrace.point_process.diagnostics.dispersion import Dispersion, dispersion
from memtrace.point_process.diagnostics.uniformity import Uniformity
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model, Rate
from memtrace.point_process.models.bow import Bow, bow
from memtrace.point_process.models.spline import Spline
from memtrace.point_process.models.trend import Trend, log_linear_model
from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray, Int64Array

LEVEL = 0.05
CLOSE = 10.0
"""Shapes whose Bayesian criteria differ by less cannot be told apart (Kass and Raftery 1995)."""
EXPECTED_EVENTS = (5.0, 25.0)
"""Events expected in short and longer parts: enough for Pearson's statistic to be chi-squared."""
POINTS = 8
"""Points of a window over which a rate is averaged."""
LATE = 0.9
"""Share of training after which a rise is as well called recency."""
DRIFT, STEP, BOW, RECENCY, CURVE = "drift", "step", "bow", "recency", "curve"
_WITHIN = {DRIFT: (BOW, CURVE), BOW: (CURVE,)}
"""The shapes that hold another as a special case, so that they always fit it as well."""


@dataclass(frozen=True)
class Departure:
    """One test of the gate."""

    name: str
    """`trend`, `recency`, `change point`, `dispersion`, `shape`, or that of a further test."""
    p_value: float
    p_holm: float
    """Adjusted for the number of tests: at most 0.05 where the departure was found."""


@dataclass(frozen=True, eq=False)
class Departures:
    """The tests of random order, and the simplest description of what they found."""

    tests: tuple[Departure, ...]
    shape: str | None = None
    """`drift`, `step`, `bow` (a hump or a trough), `recency` or `curve`; None if none was found."""
    alternatives: tuple[str, ...] = ()
    """Other shapes that fit nearly as well."""
    bow: Bow | None = None
    """The hump or trough; None unless it is the shape or a rival."""
    steps: Dispersion | None = None
    """Dispersion of the counts of steps, of windows without steps, about a constant rate."""
    left: Dispersion | None = None
    """Dispersion of the counts of short parts of training about the shape; None without one."""

    @property
    def made(self) -> tuple[Departure, ...]:
        """Return the tests that could be made: those of a family that is adjusted together."""
        return tuple(one for one in self.tests if not math.isnan(one.p_value))

    @property
    def found(self) -> tuple[str, ...]:
        """Return the names of the tests that passed the gate."""
        return tuple(one.name for one in self.tests if one.p_holm <= LEVEL)

    @property
    def p_any(self) -> float:
        """Return the p-value of a random order against any departure; NaN where none is tested."""
        return min((one.p_holm for one in self.made), default=math.nan)


def find_departures(
    events: EventSequence,
    *,
    trend: Trend,
    recency: Model,
    step: Model,
    curve: Spline,
    even: Uniformity,
    windows: Dispersion,
    unit: int,
    rng: np.random.Generator,
    others: Mapping[str, float] | None = None,
) -> Departures:
    """Test random order and describe what departs from it.

    Args:
        events: Events and exposure.
        trend: The log-linear rate.
        recency: The rate that decays with age.
        step: The rate that changes once.
        curve: The spline; where it is undefined, Neyman's components stand for it.
        even: The distances from an even spread, with Neyman's components.
        windows: Dispersion of the window counts.
        unit: Length of an optimizer step, of a window where there is none, in sequences.
        rng: Draws random orders where the counts of steps are sparse.
        others: P-values of further tests by name, that pass through the same gate.
    """
    beside = dict(others or {})
    steps = dispersion(events.windows(unit), rng=rng)
    p_values = {
        "trend": trend.p_value,
        "recency": _p(recency),
        "change point": _p(step),
        "dispersion": _smaller(steps.binomial.p_value, windows.binomial.p_value),
        "shape": even.neyman_p_value if curve.model.reason else _p(curve.model),
        **beside,
    }
    holm = adjust_p_values(list(p_values.values()), "holm")
    tests = tuple(
        Departure(name, p, float(adjusted))
        for (name, p), adjusted in zip(p_values.items(), holm, strict=True)
    )
    found = {one.name for one in tests if one.p_holm <= LEVEL}
    if not found - {"dispersion", *beside}:
        return Departures(tests, steps=steps)
    bent = bow(events)
    models = {DRIFT: log_linear_model(events, trend), STEP: step, RECENCY: recency}
    models |= {BOW: bent.model, CURVE: curve.model}
    scores = _scores(models, events, trend.overdispersion)
    best = max(scores, key=lambda name: scores[name])
    if "dispersion" in found and scores[best] <= 0:
        if "trend" not in found:
            return Departures(tests, steps=steps)
        best = DRIFT
    alternatives = tuple(
        name
        for name, score in scores.items()
        if name != best and scores[best] - score < CLOSE and name not in _WITHIN.get(best, ())
    )
    if best == STEP and RECENCY not in alternatives and _is_late_rise(step, events):
        alternatives = (*alternatives, RECENCY)
    named = bent if BOW in (best, *alternatives) else None
    left = _left(events, unit, models[best])
    return Departures(tests, best, alternatives, named, steps, left)


def _p(model: Model) -> float:
    return math.nan if model.reason or model.p_value is None else model.p_value


def _smaller(one: float, other: float) -> float:
    """Return the smaller p-value of two, doubled for the choice."""
    known = [p for p in (one, other) if not math.isnan(p)]
    return min(1.0, len(known) * min(known)) if known else math.nan


def _scores(models: dict[str, Model], events: EventSequence, inflation: float) -> dict[str, float]:
    """Return how much better than a constant rate each model is by the Bayesian criterion.

    Gains in likelihood are divided by the variance of the counts relative to Poisson ones.
    """
    scale = (1 - events.fraction) * inflation
    penalty = math.log(events.n_events)
    return {
        name: (model.likelihood_ratio or 0.0) / scale - (len(model.parameters) - 1) * penalty
        for name, model in models.items()
        if not model.reason and not math.isnan(model.likelihood_ratio or 0.0)
    }


def _is_late_rise(step: Model, events: EventSequence) -> bool:
    """Return whether the rate rises so late that a step and recency are two words for it."""
    parameters = step.parameters
    rises = parameters["rate_after"] > parameters["rate_before"]
    return rises and parameters["index"] >= LATE * events.n


def _left(events: EventSequence, unit: int, model: Model) -> Dispersion | None:
    """Return the dispersion of counts about a fitted rate, in short or longer parts of training.

    The parts are windows joined until so many events are expected in each; of the two lengths the
    one that shows more is taken, for which its p-value is doubled where it is judged.
    """
    if model.rate is None:
        return None
    windows = events.windows(unit)
    expected = _expected(windows, model.rate, events)
    if expected is None:
        return None
    found = []
    for least in EXPECTED_EVENTS:
        first = _joined(expected, least)
        joined = (np.add.reduceat(x, first) for x in (windows.counts, windows.exposures))
        mean = np.add.reduceat(expected, first)
        parts = Windows(windows.start[first], *joined)
        found.append(dispersion(parts, expected=mean, parameters=len(model.parameters)))
    known = [one for one in found if not math.isnan(one.binomial.p_value)]
    return min(known, key=lambda one: one.binomial.p_value, default=None)


def _joined(expected: FloatArray, least: float) -> Int64Array:
    """Return the first window of each part in which about `least` events or more are expected."""
    part = np.floor((np.cumsum(expected) - expected / 2) / least).astype(np.int64)
    first = np.flatnonzero(np.diff(part, prepend=-1))
    whole = np.add.reduceat(expected, first) >= least / 2
    # A part with too few joins the one before it, the first one that after it.
    if len(first) > 1 and not whole[0]:
        whole[1] = False
    whole[0] = True
    kept: Int64Array = first[whole]
    return kept


def _expected(windows: Windows, rate: Rate, events: EventSequence) -> FloatArray | None:
    """Return the events that a rate expects in each window, shape (W,); None if they underflow."""
    stop = np.append(windows.start[1:], events.n)
    length = np.minimum(stop - windows.start, np.diff(windows.start).min(initial=events.n))
    inside = (np.arange(POINTS) + 0.5) / POINTS
    at = (windows.start[:, None] + length[:, None] * inside) / events.n
    mean = windows.exposures * rate(at.ravel()).reshape(at.shape).mean(axis=1)
    if not mean.max() > 0:
        return None
    mean = np.maximum(mean / mean.max(), np.finfo(float).tiny)
    expected: FloatArray = mean * (events.n_events / mean.sum())
    return expected
