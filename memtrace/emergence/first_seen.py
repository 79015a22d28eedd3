"""Does it matter when a text is first seen? A curve that pools all texts takes it that it does not.

Texts come under observation when their first copy is seen, and late ones are followed for less
time. An estimate over all of them is that of any group only where their hazards are equal.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from memtrace.emergence.hazard import Cells
from memtrace.types import FloatArray

LEVEL = 0.05
PARTS = 64
"""Of the time since exposure: in each of them hazards are compared."""


@dataclass(frozen=True)
class FirstSeen:
    """Whether texts seen early emerge more often than those seen late, at the same time."""

    p_value: float = math.nan
    """Two-sided; NaN without events."""
    earlier: bool = False
    """Whether texts that are first seen earlier emerge more often."""

    @property
    def matters(self) -> bool:
        """Return whether it is found to matter."""
        return self.p_value < LEVEL


def first_seen(cells: Cells, time: FloatArray, widening: float = 1.0) -> FirstSeen:
    """Test whether the hazard at one time depends on when a text was first seen.

    The score test of a proportional hazard with the step of exposure as covariate, for each time
    given its number of events (Cox 1972; Jones and Crowley 1992 for times with delayed entry).

    Args:
        cells: The times at risk.
        time: The time of each cell; those with equal ones are compared, shape (g,).
        widening: Root of the factor by which counts vary more than of independent texts.
    """
    _, which = np.unique(time, return_inverse=True)
    weight = np.maximum(cells.at_risk - cells.events / 2, 0) * cells.length
    events, total = (np.bincount(which, values) for values in (cells.events, weight))
    moments = [np.bincount(which, weight * cells.exposure**power) for power in (1, 2)]
    known = total > 0
    mean, square = (moment[known] / total[known] for moment in moments)
    variance = float(events[known] @ np.maximum(square - mean**2, 0)) * widening**2
    inside = known[which]
    centre = np.zeros(len(total))
    centre[known] = mean
    score = float(cells.events[inside] @ (cells.exposure - centre[which])[inside])
    if variance <= 0:
        return FirstSeen()
    return FirstSeen(2 * float(stats.norm.sf(abs(score) / math.sqrt(variance))), score < 0)


def first_seen_by_scale(cells: Cells, total_steps: int, widening: float) -> dict[str, FirstSeen]:
    """Return the test at equal steps of training, and at equal times since exposure."""
    part = np.floor(np.maximum(cells.since, 0) * PARTS / total_steps)
    times = {"training": cells.stop, "exposure": part}
    return {name: first_seen(cells, time, widening) for name, time in times.items()}
