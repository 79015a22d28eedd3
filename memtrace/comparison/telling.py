"""Which of many runs are shown: the last checkpoint of a model, then the middle one, and so on."""

from collections.abc import Sequence

from memtrace.comparison.runs import ComparedRun


def most_telling(runs: Sequence[ComparedRun], places: Sequence[int], most: int) -> list[int]:
    """Return at most so many runs, evenly over the training of each model; large models first.

    They are returned in their own order.
    """
    models: dict[tuple[str, str], list[int]] = {}
    for place in sorted(places, key=lambda p: runs[p].step):
        models.setdefault((runs[place].suite, runs[place].model), []).append(place)
    rank = {
        own[at]: (turn, -(runs[own[at]].parameters or 0))
        for own in models.values()
        for turn, at in enumerate(_by_halves(len(own)))
    }
    return sorted(sorted(places, key=rank.__getitem__)[:most])


def last_checkpoints(runs: Sequence[ComparedRun], places: Sequence[int]) -> set[int]:
    """Return the places of the last run of each model."""
    last: dict[tuple[str, str], int] = {}
    for place in sorted(places, key=lambda p: runs[p].step):
        last[runs[place].suite, runs[place].model] = place
    return set(last.values())


def _by_halves(n: int) -> list[int]:
    """Return 0 to n - 1 so that the last comes first, then the middle, then the quarters."""
    order, pieces = [n - 1], [(-1, n - 1)]
    for low, high in pieces:  # grows on the way
        middle = (low + high) // 2
        if low < middle:
            order.append(middle)
            pieces += [(low, middle), (middle, high)]
    return order
