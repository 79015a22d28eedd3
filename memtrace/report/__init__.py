"""How results are shown, whatever they are: JSON, text, figures, HTML."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
