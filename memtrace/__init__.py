"""memtrace: which training sequences has a language model memorized, and when in training order?

Importing it is cheap: each public name loads its module, and with it torch or statsmodels, when it
is first used.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from memtrace.storage.modules import submodule

if TYPE_CHECKING:
    from memtrace.comparison import Comparison, compare
    from memtrace.corpus import open_corpus
    from memtrace.emergence import EmergenceFit, fit_emergence
    from memtrace.likelihood import ExtractionFit, OrderFit, fit_extraction, test_order
    from memtrace.point_process import EventSequence, PoissonFit, fit_poisson, fit_run
    from memtrace.runs.load_scores import load_scores
    from memtrace.runs.run import find_runs
    from memtrace.scanning.launch import scan
    from memtrace.texts.memorized import MemorizedTexts, memorized_texts

    __version__: str

__all__ = [
    "Comparison",
    "EmergenceFit",
    "EventSequence",
    "ExtractionFit",
    "MemorizedTexts",
    "OrderFit",
    "PoissonFit",
    "compare",
    "find_runs",
    "fit_emergence",
    "fit_extraction",
    "fit_poisson",
    "fit_run",
    "load_scores",
    "memorized_texts",
    "open_corpus",
    "scan",
    "test_order",
]

_HOMES = {
    "scan": "memtrace.scanning.launch",
    "load_scores": "memtrace.runs.load_scores",
    "find_runs": "memtrace.runs.run",
    "open_corpus": "memtrace.corpus",
    "MemorizedTexts": "memtrace.texts.memorized",
    "memorized_texts": "memtrace.texts.memorized",
    "EventSequence": "memtrace.point_process",
    "PoissonFit": "memtrace.point_process",
    "fit_poisson": "memtrace.point_process",
    "fit_run": "memtrace.point_process",
    "OrderFit": "memtrace.likelihood",
    "test_order": "memtrace.likelihood",
    "ExtractionFit": "memtrace.likelihood",
    "fit_extraction": "memtrace.likelihood",
    "Comparison": "memtrace.comparison",
    "compare": "memtrace.comparison",
    "EmergenceFit": "memtrace.emergence",
    "fit_emergence": "memtrace.emergence",
}


def __getattr__(name: str) -> Any:
    """Load a public name, or a module, on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("memtrace-llm")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    return submodule(__name__, name)


def __dir__() -> list[str]:
    """Show the lazy names to completion and help."""
    return sorted({*globals(), *_HOMES, *(module.name for module in iter_modules(__path__))})
