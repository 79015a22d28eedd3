"""Read token rows in training order, wherever and however they are stored."""

from functools import partial

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.open import open_corpus, open_named
from memtrace.storage.modules import submodule

__all__ = ["Corpus", "open_corpus", "open_named"]

__getattr__ = partial(submodule, __name__)
