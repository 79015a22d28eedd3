"""Statistics whose unit is the text: copies of one text are one result."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
