"""When each text emerged in two models: their runs at the same checkpoints, on common rows.

A row counts if both models were asked for it at every checkpoint that had seen it, and a text if
its first row does. So a text is at risk from the first checkpoint on that had seen it.
"""

from collections.abc import Sequence

import numpy as np

from memtrace.comparison.coverage import inside, intersection
from memtrace.comparison.paired.hazard_ratio import PairedTimes
from memtrace.comparison.paired.units import PairUnits, units_of
from memtrace.comparison.runs import ComparedRun
from memtrace.texts.distinct import among, distinct
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array


def paired_times(
    baselines: Sequence[ComparedRun],
    models: Sequence[ComparedRun],
    units: PairUnits | None = None,
) -> PairedTimes:
    """Return when the texts came at risk and emerged.

    Args:
        baselines: Runs of one model at checkpoints that ascend, each of which had seen more rows.
        models: Runs of another one at the same checkpoints, of the same corpus.
        units: Of the pair; by default those that these runs tell.
    """
    exposed = np.array([run.exposed_rows for run in baselines], np.int64)
    ranges = _followed(baselines, models, exposed)
    of_pair = (units or units_of([*baselines, *models])).texts
    arms = [_emerged(runs, exposed, ranges, of_pair) for runs in (baselines, models)]
    names = distinct(np.concatenate((arms[0][0], arms[1][0])))
    none = len(exposed)
    when = np.full((2, len(names)), none)
    for arm, (texts, first) in enumerate(arms):
        when[arm, np.searchsorted(names, texts)] = first
    entry = np.searchsorted(exposed, names, side="right")
    never = _texts_by_entry(of_pair, ranges, exposed) - np.bincount(entry, minlength=none)
    shape = (none, none + 1, none + 1)
    texts = np.bincount(np.ravel_multi_index((entry, *when), shape), minlength=np.prod(shape))
    texts[np.ravel_multi_index((np.arange(none), none, none), shape)] = never
    some = np.flatnonzero(texts)
    first, one, other = (np.asarray(each) for each in np.unravel_index(some, shape))
    return PairedTimes(first, one, other, texts[some], none)


def _followed(
    baselines: Sequence[ComparedRun], models: Sequence[ComparedRun], exposed: Int64Array
) -> Int64Array:
    """Return the rows that both were asked for at every checkpoint that had seen them."""
    found = np.array([[0, exposed[-1]]])
    for one, other, seen in zip(baselines, models, exposed.tolist(), strict=True):
        scanned = intersection(one.scanned, other.scanned)
        later = np.array([[seen, max(int(exposed[-1]), seen)]])  # not yet seen: not yet asked for
        before = intersection(scanned, np.array([[0, seen]]))
        found = intersection(found, np.concatenate((before, later)))
    return found


def _emerged(
    runs: Sequence[ComparedRun], exposed: Int64Array, ranges: Int64Array, units: Texts
) -> tuple[Int64Array, Int64Array]:
    """Return the texts that were memorized at some checkpoint, ascending, and the first of each."""
    names, first = np.empty(0, np.int64), np.empty(0, np.int64)
    for place, (run, seen) in enumerate(zip(runs, exposed.tolist(), strict=True)):
        rows = run.events.sequence_index
        rows = rows[: np.searchsorted(rows, np.array(seen, rows.dtype))]
        hit = distinct(units.names_of(rows[inside(rows, ranges)]))
        hit = hit[inside(hit, ranges)]
        new = hit[~among(hit, names)]
        at = np.searchsorted(names, new)
        names, first = np.insert(names, at, new), np.insert(first, at, place)
    return names, first


def _texts_by_entry(units: Texts, ranges: Int64Array, exposed: Int64Array) -> Int64Array:
    """Return how many texts whose first row counts each checkpoint is the first to have seen."""
    cuts = np.append(0, exposed)
    rows = np.diff(np.clip(ranges[:, :, None], cuts[:-1], cuts[1:]), axis=1).sum(axis=(0, 1))
    copies = units.copies[inside(units.copies, ranges)]
    names = units.names[inside(units.names, ranges)]
    places = [np.searchsorted(exposed, found, side="right") for found in (copies, names)]
    repeated, first = (np.bincount(found, minlength=len(exposed)) for found in places)
    return np.asarray(rows - repeated + first, np.int64)
