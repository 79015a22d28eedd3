"""Checkpoints: their weight files, digests, loading and verification."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
