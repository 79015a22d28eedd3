"""Decide which sequences greedy decoding returns, and how sure that is."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from memtrace.engine.definition import EOS_RULES, Distribution, Rules

if TYPE_CHECKING:
    from memtrace.engine.engine import Engine
    from memtrace.engine.forward.families import bytes_copied, reads_as_stored
    from memtrace.engine.guess import Calibration

__all__ = [
    "EOS_RULES",
    "Calibration",
    "Distribution",
    "Engine",
    "Rules",
    "bytes_copied",
    "reads_as_stored",
]


if "torch" not in sys.modules:
    # OpenMP reads it once: threads that spin while they wait halve the speed of a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


_HEAVY = {
    "Calibration": "memtrace.engine.guess",
    "Engine": "memtrace.engine.engine",
    "bytes_copied": "memtrace.engine.forward.families",
    "reads_as_stored": "memtrace.engine.forward.families",
}


def __getattr__(name: str) -> Any:
    """Load the engine, and with it torch, on first use (PEP 562)."""
    if name not in _HEAVY:
        raise AttributeError(f"module 'memtrace.engine' has no attribute {name!r}")
    return getattr(import_module(_HEAVY[name]), name)
