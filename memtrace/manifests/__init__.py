"""Suites, their models, corpora and steps, as the manifest files say."""

from memtrace.manifests.lookup import find_corpus, find_model, find_suite, load_suite, load_suites
from memtrace.manifests.schema import CorpusManifest, KnownBad, ModelManifest, Suite

__all__ = [
    "CorpusManifest",
    "KnownBad",
    "ModelManifest",
    "Suite",
    "find_corpus",
    "find_model",
    "find_suite",
    "load_suite",
    "load_suites",
]
