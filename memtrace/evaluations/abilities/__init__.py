"""When abilities emerge along training, from evaluations of checkpoints."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
