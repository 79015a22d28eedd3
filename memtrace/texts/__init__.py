"""Texts: which sequences are copies of one another, and which copies a checkpoint had seen."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
