"""What an intervention on the training data changed, from evaluations."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
