"""When in training does it happen: memorization of a text, and an ability of the model.

It reads the events of runs and, for copies of texts, their corpus. It loads no model.
"""

from functools import partial

from memtrace.emergence.fit import EmergenceFit, fit_emergence
from memtrace.emergence.histories import Histories, read_histories
from memtrace.emergence.turnbull import Turnbull, turnbull
from memtrace.storage.modules import submodule

__all__ = [
    "EmergenceFit",
    "Histories",
    "Turnbull",
    "fit_emergence",
    "read_histories",
    "turnbull",
]

__getattr__ = partial(submodule, __name__)
