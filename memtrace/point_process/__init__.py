"""When, in training order, is memorization: events and exposure in, rate, drift and evenness out.

It reads scores from disk and knows neither models nor corpora.
"""

from memtrace.point_process.events import EventSequence, Windows
from memtrace.point_process.report import PoissonFit, fit_poisson

__all__ = ["EventSequence", "PoissonFit", "Windows", "fit_poisson"]
