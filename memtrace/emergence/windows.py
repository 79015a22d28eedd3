"""Emergences between neighbouring checkpoints, and the exposure in which they happened."""

import numpy as np

from memtrace.emergence.hazard import cells_of, of_neighbours
from memtrace.emergence.histories import Histories
from memtrace.point_process.windows import Windows
from memtrace.types import FloatArray, Int64Array


def emergence_windows(histories: Histories) -> tuple[Windows, Int64Array, FloatArray, int]:
    """Count emergences between neighbouring checkpoints, with the exposure.

    A text that emerges is taken as at risk for half of its interval.

    Returns:
        Windows (`start` in steps), the checkpoint that ends each, the mean place of its exposure as
        share of training, and how many emergences are left out because their checkpoints are
        further apart than that.
    """
    cells, steps = cells_of(histories), histories.checkpoints
    kept = of_neighbours(cells, steps)
    time = (kept.at_risk - kept.events / 2) * kept.length
    stops, which = np.unique(kept.stop, return_inverse=True)
    exposures = np.bincount(which, time, len(stops))
    middle = np.bincount(which, time * (kept.start + kept.stop) / 2, len(stops))
    counts = np.bincount(which, kept.events, len(stops)).astype(np.int64)
    seen = exposures >= 1
    windows = Windows(
        start=np.append(0, steps)[np.searchsorted(steps, stops)][seen],
        counts=counts[seen],
        exposures=np.rint(exposures[seen]).astype(np.int64),
    )
    u = middle[seen] / exposures[seen] / histories.total_steps
    return windows, stops[seen].astype(np.int64), u, int(cells.events.sum() - kept.events.sum())
