"""Decide which sequences greedy decoding returns, and how sure that is."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from memtrace.engine.definition import EOS_RULES, Distribution, Rules

if TYPE_CHECKING:
    from memtrace.engine.engine import Engine

__all__ = ["EOS_RULES", "Distribution", "Engine", "Rules"]


if "torch" not in sys.modules:
    # OpenMP reads it once: threads that spin while they wait halve the speed of a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    """Load the engine, and with it torch, on first use (PEP 562)."""
    if name != "Engine":
        raise AttributeError(f"module 'memtrace.engine' has no attribute {name!r}")
    return import_module("memtrace.engine.engine").Engine
