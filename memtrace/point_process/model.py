"""A fitted rate of events along training: parameters, likelihood, intervals and the rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from memtrace.types import FloatArray, Int64Array, Interval

SIGNIFICANT = 0.05
Rate = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Model:
    """A model fitted by maximum likelihood."""

    name: str
    log_likelihood: float
    """Of a Poisson process with this rate, events per sequence; of the window counts for a model
    of counts. Compare only models of the same `of`."""
    parameters: dict[str, float]
    observations: int
    """What the Bayesian criterion counts: events, or windows."""
    of: str = "positions"
    """`positions` of the events, or `window counts`."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """95% intervals of parameters."""
    likelihood_ratio: float | None = None
    """Twice the log-likelihood gained over the simplest model of the same data; None for that."""
    p_value: float | None = None
    """Of the simplest model against this one, in random order; None for the simplest itself."""
    rate: Rate | None = field(default=None, repr=False)
    """Events per sequence at u = (index + 1/2) / n in (0, 1); None for a model of counts."""
    reason: str | None = None
    """Why values are NaN."""
    note: str | None = None
    """What must be known beside the values, such as an estimate at the end of its range."""

    @property
    def aic(self) -> float:
        """Return Akaike's criterion."""
        return 2 * len(self.parameters) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Return Schwarz's criterion; NaN without observations."""
        if self.observations == 0:
            return math.nan
        return len(self.parameters) * math.log(self.observations) - 2 * self.log_likelihood

    def document(self) -> dict[str, Any]:
        """Return the model's entry in `fit-poisson --json`."""
        entry: dict[str, Any] = {
            "name": self.name,
            "of": self.of,
            "log_likelihood": self.log_likelihood,
            "parameters": self.parameters,
            "ci95": {k: v for k, v in self.intervals.items() if not all(map(math.isnan, v))},
            "aic": self.aic,
            "bic": self.bic,
            "observations": self.observations,
        }
        if self.p_value is not None:
            entry |= {"likelihood_ratio": self.likelihood_ratio, "p_value": self.p_value}
        if self.note is not None:
            entry["note"] = self.note
        return entry | {"reason": self.reason}


def rate_of_parts(u: FloatArray, n: int, start: Int64Array, rates: FloatArray) -> FloatArray:
    """Return a rate that is constant in parts of an axis of n sequences, at u.

    A rate is a function of u with all else bound by `functools.partial`, so that it can be pickled.

    Args:
        u: Places in (0, 1).
        n: Length of the axis in sequences.
        start: First index of each part, ascending, shape (parts,).
        rates: Events per sequence in each part, shape (parts,).
    """
    return rates[np.searchsorted(start, u * n, side="right") - 1]


def undefined_model(name: str, observations: int, reason: str, *, of: str = "positions") -> Model:
    """Return a model that could not be fitted, with the reason."""
    nan = math.nan
    return Model(name, nan, {}, observations, of, likelihood_ratio=nan, p_value=nan, reason=reason)


def best_model(models: tuple[Model, ...]) -> Model:
    """Return the model of the positions with the smallest Bayesian criterion.

    With few events the criterion is too kind to models that search, so a model must also have
    shown at 5% that the rate is not constant.
    """
    fitted = [
        m
        for m in models
        if m.of == "positions" and not math.isnan(m.bic) and not (m.p_value or 0.0) >= SIGNIFICANT
    ]
    return min(fitted, key=lambda m: m.bic, default=models[0])
