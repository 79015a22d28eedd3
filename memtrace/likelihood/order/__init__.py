"""Does training order matter, in the log-likelihoods?"""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
