"""How much a checkpoint has memorized of the texts that it had seen once, twice, and more often.

In a corpus that is passed more than once the text of the first pass alone has been seen once, and
what came round again twice: so the strata tell fresh text from repeated text.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.comparison.agreement import Measure, share
from memtrace.comparison.coverage import inside
from memtrace.comparison.runs import ComparedRun

Mask = npt.NDArray[np.bool_]

BOUNDS: tuple[tuple[str, int, int | None], ...] = (
    ("once", 1, 2),
    ("twice", 2, 3),
    ("3 to 9 times", 3, 10),
    ("10 times and more", 10, None),
)
"""Name, fewest copies seen, and from how many on the next stratum begins."""


@dataclass(frozen=True)
class Seen:
    """Texts that had been seen so often, near-copies as one, and the rows that they fill."""

    memorized: int
    """Of the texts that were scanned."""
    texts: int
    memorized_rows: int
    rows: int
    """Rows that had been seen and were scanned."""

    @property
    def share(self) -> Measure:
        """Return the share of texts with its exact interval."""
        return share(self.memorized, self.texts)


def seen_by_copies(run: ComparedRun) -> dict[str, Seen]:
    """Count memorized texts by how many copies a run had seen, by the names of `BOUNDS`.

    Returns:
        Nothing where copies are not known.
    """
    units = run.units
    if units is None:
        return {}
    exposed, events = run.exposed_rows, run.events
    seen = units.copies < exposed
    scanned = seen & inside(units.copies, run.scanned)
    hit = np.zeros(len(seen), bool)
    places = units.places(events.sequence_index)
    hit[places[places >= 0]] = True
    hit &= scanned
    copies, rows, hits = (units.per_text(mask) for mask in (seen, scanned, hit))
    once = events.count(exposed)
    alone = once["memorized"] - int(hits.sum()), once["sequences"] - int(rows.sum())
    found = {}
    for name, least, below in BOUNDS:
        kept = in_stratum(copies, least, below) & (rows > 0)
        more = alone if least == 1 else (0, 0)
        texts = int((hits[kept] > 0).sum()) + more[0], int(kept.sum()) + more[1]
        lines = int(hits[kept].sum()) + more[0], int(rows[kept].sum()) + more[1]
        found[name] = Seen(*texts, *lines)
    return found


def in_stratum(copies: npt.NDArray[np.integer], least: int, below: int | None) -> Mask:
    """Return which texts had been seen at least so often, and less often than `below`."""
    found: Mask = copies >= least
    if below is not None:
        found &= copies < below
    return found


def added(parts: dict[str, Seen]) -> Seen:
    """Return all strata as one."""
    fields = ("memorized", "texts", "memorized_rows", "rows")
    return Seen(*(sum(getattr(part, name) for part in parts.values()) for name in fields))
