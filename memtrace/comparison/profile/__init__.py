"""Counterfactual profile: what training on a text changed, by when it was seen and how long ago."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
