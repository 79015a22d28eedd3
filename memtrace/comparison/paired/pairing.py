"""Which runs are a pair: models of one size, asked for the same rows, at the same checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memtrace.comparison.paired.units import is_order_known
from memtrace.comparison.runs import ComparedRun
from memtrace.report.numbers import count


@dataclass(frozen=True, eq=False)
class Pair:
    """A model and its baseline, at all checkpoints at which both were scanned."""

    baselines: tuple[ComparedRun, ...]
    """By step, ascending."""
    models: tuple[ComparedRun, ...]
    """At the same steps."""


def find_pairs(runs: Sequence[ComparedRun]) -> tuple[Pair, ...]:
    """Return the pairs among runs.

    A rerun with another seed is compared with its original, where that is there; other models of
    one size whose runs have the same rows with one baseline: a model of a manifest before one that
    no manifest has, an original before reruns, else the first by name. A model of unknown size is
    taken to be as large as the others, if these are of one size; among several sizes it has no
    baseline. Both must have seen the same rows at a step; where an order is not known, all texts
    are compared that both scanned.

    Args:
        runs: Finished runs that tested the same tokens by the same rule.
    """
    pairs = (_pair(baseline, other) for baseline, other in _candidates(runs))
    return tuple(pair for pair in pairs if pair.models)


def unlike_exposure(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    """Say which models of one size are no pair at some step: they had not seen the same rows."""
    said = []
    for baseline, model in _candidates(runs):
        apart = [both for both in _at_common_steps(baseline, model) if not _is_alike(*both)]
        if apart:
            (one, other), more = apart[0], len(apart) - 1
            also = f", likewise at {count(more, 'later step')}" if more else ""
            said.append(
                f"{one.label} had seen {one.exposed_rows:,} rows and {other.label} "
                f"{other.exposed_rows:,}{also}: they are no pair there"
            )
    return tuple(said)


def _candidates(
    runs: Sequence[ComparedRun],
) -> Iterator[tuple[list[ComparedRun], list[ComparedRun]]]:
    """Yield each model's baseline and the model: their runs at all steps."""
    groups: dict[tuple[str, int | None], dict[tuple[str, str], list[ComparedRun]]] = {}
    for run in runs:
        size = run.parameters if run.parameters is not None else _only_size(run, runs)
        models = groups.setdefault((run.corpus, size), {})
        models.setdefault((run.suite, run.model), []).append(run)
    for models in groups.values():
        baseline, *others = sorted(models.values(), key=_precedence)
        for other in others:
            original = models.get((other[0].suite, other[0].seed.of), other)
            yield (baseline if original is other else original), other


def _only_size(run: ComparedRun, runs: Sequence[ComparedRun]) -> int | None:
    """Return the size that all models of known size have that share a run's rows."""
    sizes = {other.parameters for other in runs if other.corpus == run.corpus} - {None}
    return sizes.pop() if len(sizes) == 1 else None


def _precedence(runs: list[ComparedRun]) -> tuple[bool, bool, str, str]:
    one = runs[0]
    return one.parameters is None, one.seed.number is not None, one.suite, one.model


def _pair(baseline: list[ComparedRun], model: list[ComparedRun]) -> Pair:
    kept = [both for both in _at_common_steps(baseline, model) if _is_alike(*both)]
    return Pair(tuple(one for one, _ in kept), tuple(other for _, other in kept))


def _at_common_steps(
    baseline: list[ComparedRun], model: list[ComparedRun]
) -> list[tuple[ComparedRun, ComparedRun]]:
    ours, theirs = ({run.step: run for run in each} for each in (baseline, model))
    return [(ours[step], theirs[step]) for step in sorted(ours.keys() & theirs.keys())]


def _is_alike(one: ComparedRun, other: ComparedRun) -> bool:
    """Return whether both had seen the same rows, or may have."""
    return one.exposed_rows == other.exposed_rows or not is_order_known(one, other)
