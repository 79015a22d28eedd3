"""Which runs are counted together, and which pairs: all of up to 64 runs, and a choice of more.

Of more runs those are paired that have one step, and each with the last checkpoint of every model:
what early checkpoints and small models tell of finished ones is kept, and work and tables grow with
the runs and not with their square.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.telling import last_checkpoints, most_telling

MOST = 64
"""Runs of which every pair is counted, and of which pairs are drawn."""
COMBINED = 10
"""Runs of which all combinations are counted."""


@dataclass(frozen=True)
class Batch:
    """Runs that are counted together; every other value names a run by its place among all."""

    own: tuple[int, ...]
    """Of one corpus."""
    others: tuple[int, ...]
    """Of other corpora, on the rows of this one."""
    pairs: tuple[tuple[int, int], ...]
    """To be counted here, the smaller place first; one of each is of this corpus."""
    steps: tuple[tuple[int, ...], ...]
    """All runs of this corpus at a suite and step, once for each."""


def are_all_paired(runs: Sequence[ComparedRun]) -> bool:
    """Return whether every pair of these runs is counted."""
    return len(runs) <= MOST


def batches(
    runs: Sequence[ComparedRun], own: Sequence[int], others: Sequence[int]
) -> Iterator[Batch]:
    """Yield what is counted together of a corpus; each pair and each step is in one batch.

    Args:
        runs: All runs, those of a corpus after those of the corpora before.
        own: Places of the runs of a corpus.
        others: Places of runs of later corpora that match with it.
    """
    every = [*own, *others]
    steps = _steps(runs, own)
    if are_all_paired(runs):
        yield _batch(own, {*every}, combinations(every, 2), steps)
        return
    last = last_checkpoints(runs, every)
    early = [group for group in _steps(runs, every, alike=False) if not last.issuperset(group)]
    chosen = last.union(most_telling(runs, every, COMBINED))
    yield _batch(own, chosen, combinations(sorted(last), 2), [g for g in steps if last >= {*g}])
    for groups in _some(early, len(last)):
        fresh = {place for group in groups for place in group} - last
        pairs = {*product(fresh, last)}
        for group in groups:
            pairs |= {*combinations([place for place in group if place in fresh], 2)}
        there = [group for group in steps if not fresh.isdisjoint(group)]
        yield _batch(own, fresh | last, pairs, there)


def _batch(
    own: Sequence[int],
    places: set[int],
    pairs: Iterable[tuple[int, int]],
    steps: Sequence[tuple[int, ...]],
) -> Batch:
    ours = set(own)
    kept = sorted({(min(pair), max(pair)) for pair in pairs})
    return Batch(
        tuple(sorted(places & ours)),
        tuple(sorted(places - ours)),
        tuple(pair for pair in kept if pair[0] in ours),
        tuple(steps),
    )


def _steps(
    runs: Sequence[ComparedRun], places: Sequence[int], *, alike: bool = True
) -> list[tuple[int, ...]]:
    """Return the runs of each suite and step, by step; `alike`: those that had seen as much."""
    groups: dict[tuple[int, str, int], list[int]] = {}
    for place in places:
        run = runs[place]
        key = run.step, run.suite, run.exposed_rows if alike else 0
        groups.setdefault(key, []).append(place)
    return [tuple(groups[key]) for key in sorted(groups)]


def _some(groups: Sequence[tuple[int, ...]], beside: int) -> Iterator[list[tuple[int, ...]]]:
    """Yield a group or more at once, with those beside at most `MOST` runs if possible."""
    some: list[tuple[int, ...]] = []
    for group in groups:
        if some and beside + sum(map(len, some)) + len(group) > MOST:
            yield some
            some = []
        some.append(group)
    if some:
        yield some
