"""Read token rows in training order, wherever and however they are stored."""

from memtrace.corpus.locate import open_corpus, open_named
from memtrace.corpus.rows import Corpus

__all__ = ["Corpus", "open_corpus", "open_named"]
