"""When in training order memorization happens: events and exposure in, rate and drift out."""

from functools import partial

from memtrace.point_process.events import EventSequence
from memtrace.point_process.fit import PoissonFit, fit_poisson
from memtrace.point_process.model import Model
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.of_run import fit_run
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.windows import Windows
from memtrace.storage.modules import submodule

__all__ = [
    "Cut",
    "EventSequence",
    "Model",
    "PoissonFit",
    "PoissonResult",
    "Windows",
    "fit_poisson",
    "fit_run",
]

__getattr__ = partial(submodule, __name__)
