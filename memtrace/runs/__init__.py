"""Runs on disk: configuration, score files, what is done and what is left."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
