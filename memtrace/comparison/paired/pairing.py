"""Which runs are a pair: models of one size, asked for the same rows, at the same checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass

from memtrace.comparison.runs import ComparedRun


@dataclass(frozen=True, eq=False)
class Pair:
    """A model and its baseline, at all checkpoints at which both were scanned."""

    baselines: tuple[ComparedRun, ...]
    """By step, ascending."""
    models: tuple[ComparedRun, ...]
    """At the same steps."""


def find_pairs(runs: Sequence[ComparedRun]) -> tuple[Pair, ...]:
    """Return the pairs among runs.

    Models of one size whose runs have the same rows are compared with one baseline: the original
    of reruns with other seeds, a model of a manifest before one that no manifest has, else the
    first by name. A model of unknown size is taken to be as large as the others, if these are of
    one size; among several sizes it has no baseline.

    Args:
        runs: Finished runs that tested the same tokens by the same rule.
    """
    groups: dict[tuple[str, int | None], dict[tuple[str, str], list[ComparedRun]]] = {}
    for run in runs:
        size = run.parameters if run.parameters is not None else _only_size(run, runs)
        models = groups.setdefault((run.corpus, size), {})
        models.setdefault((run.suite, run.model), []).append(run)
    found = []
    for models in groups.values():
        baseline, *others = sorted(models.values(), key=_precedence)
        found += [pair for other in others if (pair := _pair(baseline, other)).models]
    return tuple(found)


def _only_size(run: ComparedRun, runs: Sequence[ComparedRun]) -> int | None:
    """Return the size that all models of known size have that share a run's rows."""
    sizes = {other.parameters for other in runs if other.corpus == run.corpus} - {None}
    return sizes.pop() if len(sizes) == 1 else None


def _precedence(runs: list[ComparedRun]) -> tuple[bool, bool, str, str]:
    one = runs[0]
    return one.parameters is None, one.seed.number is not None, one.suite, one.model


def _pair(baseline: list[ComparedRun], model: list[ComparedRun]) -> Pair:
    ours, theirs = ({run.step: run for run in each} for each in (baseline, model))
    steps = sorted(ours.keys() & theirs.keys())
    return Pair(tuple(ours[s] for s in steps), tuple(theirs[s] for s in steps))
