"""memtrace: which training sequences has a language model memorized, and when in training order?

Importing it is cheap: each public name loads its module, and with it torch or statsmodels, when it
is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memtrace.emergence import EmergenceFit, fit_emergence
    from memtrace.point_process import EventSequence, PoissonFit, fit_poisson, fit_run
    from memtrace.runs.run import load_scores
    from memtrace.scanning.launch import scan

    __version__: str

__all__ = [
    "EmergenceFit",
    "EventSequence",
    "PoissonFit",
    "fit_emergence",
    "fit_poisson",
    "fit_run",
    "load_scores",
    "scan",
]

_HOMES = {
    "scan": "memtrace.scanning.launch",
    "load_scores": "memtrace.runs.run",
    "EventSequence": "memtrace.point_process",
    "PoissonFit": "memtrace.point_process",
    "fit_poisson": "memtrace.point_process",
    "fit_run": "memtrace.point_process",
    "EmergenceFit": "memtrace.emergence",
    "fit_emergence": "memtrace.emergence",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("memtrace-llm")
    if name not in _HOMES:
        raise AttributeError(f"module 'memtrace' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Show the lazy names to completion and help."""
    return [*globals(), *_HOMES]
