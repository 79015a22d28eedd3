"""Two models asked for the same rows: an intervened one, or another seed, against its baseline."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
