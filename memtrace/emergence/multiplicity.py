"""Groups of sequences by how often their prefix is in the corpus."""

from pathlib import Path

import numpy as np
import polars as pl

from memtrace.corpus.duplicates import scan_duplicates
from memtrace.errors import FitError
from memtrace.point_process.strata import BOUNDS
from memtrace.types import Int64Array


def groups_of(folder: Path | None, start: int, stop: int) -> Int64Array:
    """Return the group of each sequence of [start, stop), 0 for all where there is no table.

    Raises:
        FitError: The table does not have all of these sequences.
    """
    if folder is None:
        return np.zeros(stop - start, np.int64)
    index = pl.col("sequence_index")
    found = (
        scan_duplicates(folder)
        .filter(index.is_between(start, stop, closed="left"))
        .select("duplicate_count")
        .collect(engine="streaming")["duplicate_count"]
        .to_numpy()
    )
    if len(found) != stop - start:
        raise FitError(
            f"{folder} has {len(found):,} of the {stop - start:,} sequences [{start}, {stop}); "
            "make the table of the whole corpus"
        )
    return np.searchsorted([low for _, low, _ in BOUNDS], found, side="right") - 1


def group_names(folder: Path | None) -> tuple[str, ...]:
    """Return the names of the groups; one of all sequences where there is no table."""
    return ("all",) if folder is None else tuple(name for name, *_ in BOUNDS)


def mean_multiplicities(folder: Path | None) -> tuple[float, ...]:
    """Return the mean multiplicity in each group; NaN where there is none."""
    if folder is None:
        return (float("nan"),)
    times, means = pl.col("duplicate_count"), []
    for _, least, below in BOUNDS:
        inside = times.filter((times >= least) & (times < (below or 1 << 32))).mean()
        found = scan_duplicates(folder).select(inside).collect(engine="streaming").item()
        means.append(float("nan") if found is None else float(found))
    return tuple(means)
