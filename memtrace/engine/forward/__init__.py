"""Forward passes: GPT-NeoX's own, and any causal model through Transformers."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
