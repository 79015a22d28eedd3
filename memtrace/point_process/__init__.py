"""When, in training order, is memorization: events and exposure in, rate, drift and evenness out.

It reads scores from disk and knows neither models nor corpora.
"""

from memtrace.point_process.events import EventSequence, Windows
from memtrace.point_process.fit import PoissonFit, fit_poisson
from memtrace.point_process.models.model import Model
from memtrace.point_process.models.piecewise import Cut

__all__ = ["Cut", "EventSequence", "Model", "PoissonFit", "Windows", "fit_poisson"]
