"""Published evaluations of checkpoints: abilities, interventions and the frequency of terms."""

from memtrace.evaluations.folder import Evaluations, read_evaluations
from memtrace.evaluations.intervention import Intervention, compare_interventions
from memtrace.evaluations.report import AbilityEmergence, emergence_of_abilities
from memtrace.evaluations.terms import (
    TermFrequency,
    read_counts,
    read_term_accuracy,
    relate_terms,
)

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
