"""Suites, their models, corpora and steps, as the manifest files say."""

from functools import partial

from memtrace.manifests.lookup import find_corpus, find_model, find_suite, load_suite, load_suites
from memtrace.manifests.schema import CorpusManifest, KnownBad, ModelManifest, Suite
from memtrace.storage.modules import submodule

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

__getattr__ = partial(submodule, __name__)
