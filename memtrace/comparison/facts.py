"""What is known of a model beside its run: parameters, corpus, and of which model it is a rerun."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memtrace.manifests import ModelManifest, Suite

UNKNOWN = "unknown"
"""Digest of the corpus of a run that was imported without one."""
_SEED = re.compile(r"(?P<base>.+?)-(?:(?P<kind>data|weight)-)?seed(?P<seed>[0-9]+)(?P<rest>-.+)?")


@dataclass(frozen=True)
class Seed:
    """Which rerun of a model this is, as names such as `70m-seed3` tell."""

    of: str
    """The model that is rerun: `70m`; also of the original itself."""
    kind: str
    """What differs: `all`, `data` (the order) or `weight` (the initial weights)."""
    number: int | None
    """None for the original."""


@dataclass(frozen=True)
class ModelFacts:
    """What the manifests and the name tell of a model."""

    parameters: int | None
    """All trained weights; None where no manifest has the model."""
    corpus: str | None
    """Name of the corpus in whose order it was trained, with its suite."""
    seed: Seed
    published: Mapping[int, int] = field(default_factory=dict)
    """Published numbers of memorized rows, by step."""


def model_facts(suite: str, model: str, suites: Sequence[Suite]) -> ModelFacts:
    """Return what is known of a model; most is None where none of the suites has it."""
    found = _manifest_of(suite, model, suites)
    corpus = found.corpus and f"{suite}/{found.corpus}" if found else None
    published = found.memorized if found else {}
    return ModelFacts(found.parameters if found else None, corpus, seed_of(model), published)


def seed_of(model: str) -> Seed:
    """Return which rerun a model is, by its name: `160m-data-seed2` reruns `160m`."""
    if (match := _SEED.fullmatch(model)) is None:
        return Seed(model, "all", None)
    base = match["base"] + (match["rest"] or "")
    return Seed(base, match["kind"] or "all", int(match["seed"]))


def _manifest_of(suite: str, model: str, suites: Sequence[Suite]) -> ModelManifest | None:
    models = (one for each in suites if each.suite == suite for one in each.models)
    return next((one for one in models if one.name == model), None)
