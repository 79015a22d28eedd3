"""Models that were trained with several seeds: their shares, and the texts that they share."""

from collections.abc import Mapping, Sequence

import numpy as np

from memtrace.comparison.classes import ClassShare
from memtrace.comparison.corpora import Gathering
from memtrace.comparison.coverage import common
from memtrace.comparison.of_steps import StepTable
from memtrace.comparison.overlap import Overlap
from memtrace.comparison.runs import ComparedRun
from memtrace.comparison.seeds import SeedGroup, mean_over_pairs, seed_groups, seed_spread
from memtrace.types import FloatArray, Int64Array


def seeds_of(
    runs: Sequence[ComparedRun],
    tables: Sequence[StepTable],
    overlaps: Sequence[Overlap],
    numbers: Mapping[tuple[int, ...], Int64Array],
) -> list[SeedGroup]:
    """Say of every model that was trained with several seeds how its results spread.

    Args:
        runs: All runs.
        tables: Of all steps.
        overlaps: Of all pairs of runs.
        numbers: What `texts_by_seeds` returns of all gatherings.
    """
    points = {point.run: point for table in tables for point in table.points()}
    of_pair = {(one.a, one.b): one for one in overlaps if not one.reason}
    found = []
    for of, kind, step, places in seed_groups(runs):
        classes = [points[place].exposed for place in places]
        some = all(one.texts for one in classes)
        shares = np.array([one.share.value for one in classes])
        spread = seed_spread(shares, _covariance(tables, places, classes)) if some else None
        shared, jaccard = (_pair_values(of_pair, places, name) for name in ("shared", "jaccard"))
        found.append(
            SeedGroup(
                of, kind, step, places, shares, spread,
                None if shared is None else mean_over_pairs(shared),
                None if jaccard is None else mean_over_pairs(jaccard),
                numbers.get(places),
            )
        )  # fmt: skip
    return found


def _covariance(
    tables: Sequence[StepTable], places: Sequence[int], classes: Sequence[ClassShare]
) -> FloatArray:
    """Return the covariance of log shares by counts; runs of several tables have other texts."""
    for table in tables:
        if set(places) <= set(table.places):
            columns = np.array([table.places.index(place) for place in places])
            return table.tables["exposed"].log_covariance(columns)
    return np.diag([one.log_variance for one in classes])


def _pair_values(
    of_pair: dict[tuple[int, int], Overlap], places: Sequence[int], name: str
) -> FloatArray | None:
    """Return a value of every ordered pair, None where a pair has none."""
    values = np.full((len(places), len(places)), np.nan)
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            if i == j:
                continue
            one = of_pair.get((min(a, b), max(a, b)))
            if one is None:
                return None
            own = one.agreement.first if a < b else one.agreement.second
            ratio = one.agreement.both / own if own else np.nan
            values[i, j] = ratio if name == "shared" else one.agreement.jaccard.value
    return values if np.isfinite(values[~np.eye(len(places), dtype=bool)]).all() else None


def texts_by_seeds(
    runs: Sequence[ComparedRun], found: Gathering
) -> dict[tuple[int, ...], Int64Array]:
    """Return how many texts exactly 1, 2, ... seeds have memorized, for those of a gathering."""
    numbers = {}
    for _, _, _, places in seed_groups(runs):
        if set(places) <= set(found.places):
            bits = found.bits(places)
            ranges = common([found.masks.scanned[bit] for bit in bits])
            numbers[places] = found.masks.within(ranges).by_number(bits)
    return numbers
