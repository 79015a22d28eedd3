"""Published evaluations of checkpoints: abilities, interventions and the frequency of terms."""

from functools import partial

from memtrace.evaluations.abilities.fit import AbilityEmergence, emergence_of_abilities
from memtrace.evaluations.folder import Evaluations, read_evaluations
from memtrace.evaluations.intervention.fit import Intervention, compare_interventions
from memtrace.evaluations.terms.fit import TermFrequency, relate_terms
from memtrace.evaluations.terms.reading import read_counts, read_term_accuracy
from memtrace.storage.modules import submodule

__all__ = [
    "AbilityEmergence",
    "Evaluations",
    "Intervention",
    "TermFrequency",
    "compare_interventions",
    "emergence_of_abilities",
    "read_counts",
    "read_evaluations",
    "read_term_accuracy",
    "relate_terms",
]

__getattr__ = partial(submodule, __name__)
