"""Modules that load when they are first used as an attribute of their package."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def submodule(package: str, name: str) -> ModuleType:
    """Import a module of a package.

    Each of our packages has it as its `__getattr__` (PEP 562), so that `import memtrace` is enough
    to write `memtrace.runs.run.find_runs`.

    Raises:
        AttributeError: There is no such module.
    """
    full = f"{package}.{name}"
    if name.startswith("__") or find_spec(full) is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return import_module(full)
