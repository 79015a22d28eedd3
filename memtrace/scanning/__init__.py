"""Scan checkpoints: plan, download, decide, on one or many processes or machines."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
