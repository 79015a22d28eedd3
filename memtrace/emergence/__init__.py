"""When in training does it happen: memorization of a text, and an ability of the model.

It reads scores and evaluations from disk and knows neither models nor corpora.
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
