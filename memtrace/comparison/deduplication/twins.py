"""Which runs are twins: a model, and the same model trained on the deduplicated corpus."""

from collections.abc import Sequence
from dataclasses import dataclass

from memtrace.comparison.runs import ComparedRun

DEDUPLICATED = "-deduped"
"""Part of a twin's name that the model has not: `1.4b` and `1.4b-deduped`."""


@dataclass(frozen=True, eq=False)
class Twins:
    """A model and its deduplicated twin at all steps at which both were scanned."""

    standard: tuple[ComparedRun, ...]
    """By step, ascending; each on its own corpus."""
    deduplicated: tuple[ComparedRun, ...]
    """At the same steps."""


def find_twins(runs: Sequence[ComparedRun]) -> tuple[Twins, ...]:
    """Return the twins among runs of different corpora.

    A twin that was scanned on the model's own corpus is a pair on the same rows, see `paired`.
    """
    there = {(run.suite, run.model, run.step): run for run in runs}
    found: dict[tuple[str, str], list[tuple[ComparedRun, ComparedRun]]] = {}
    for (suite, model, step), run in sorted(there.items()):
        standard = there.get((suite, model.replace(DEDUPLICATED, ""), step))
        if DEDUPLICATED in model and standard is not None and standard.corpus != run.corpus:
            found.setdefault((suite, model), []).append((standard, run))
    return tuple(Twins(*map(tuple, zip(*pairs, strict=True))) for pairs in found.values())
