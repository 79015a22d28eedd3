"""When in training does it happen: memorization of a text, and an ability of the model.

It reads the events of runs and, for copies of texts, their corpus. It loads no model.
"""

from memtrace.emergence.fit import EmergenceFit, fit_emergence
from memtrace.emergence.histories import Histories, read_histories
from memtrace.emergence.turnbull import Turnbull, turnbull

__all__ = [
    "EmergenceFit",
    "Histories",
    "Turnbull",
    "fit_emergence",
    "read_histories",
    "turnbull",
]
