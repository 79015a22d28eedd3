"""Forward passes: our own of GPT-NeoX and of the Llama family, any other through Transformers."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
