"""A model against its twin that was trained on the deduplicated corpus."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
