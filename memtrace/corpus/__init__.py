"""Read token rows in training order, wherever and however they are stored."""

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.open import open_corpus, open_named

__all__ = ["Corpus", "open_corpus", "open_named"]
