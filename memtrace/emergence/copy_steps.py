"""How many copies of a text had been trained on, and for how long."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from memtrace.types import Int64Array


@dataclass(frozen=True, eq=False)
class CopySteps:
    """The steps that trained on the copies of T texts, n copies in all."""

    rows: Int64Array
    """Where each text is in the block that it belongs to, ascending, shape (T,)."""
    text: Int64Array
    """Number of the text of each copy, ascending, shape (n,)."""
    step: Int64Array
    """Step that trained on it, ascending within a text, shape (n,)."""

    @cached_property
    def seen(self) -> Int64Array:
        """Return how many copies of the text had been seen from this one on: 1, 2, ..."""
        first = np.diff(self.text, prepend=-1) != 0
        at = np.arange(len(self.text))
        count: Int64Array = at - np.maximum.accumulate(np.where(first, at, 0)) + 1
        return count

    @cached_property
    def until(self) -> Int64Array:
        """Return the step of the next copy; beyond all steps for the last, shape (n,)."""
        last = np.diff(self.text, append=-1) != 0
        return np.where(last, np.iinfo(np.int64).max, np.roll(self.step, -1))

    def between(
        self, low: int, high: int, texts: npt.NDArray[np.bool_]
    ) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Divide the steps (low, high] by how many copies had been seen, from the first copy on.

        Args:
            low: Step of a checkpoint.
            high: Step of a later one.
            texts: Of which texts, shape (T,).

        Returns:
            Number of the text, copies seen, and steps, one entry for each time between two copies.
        """
        part = np.flatnonzero(texts[self.text] & (self.step < high) & (self.until > low))
        steps = np.minimum(self.until[part], high) - np.maximum(self.step[part], low)
        part, steps = part[steps > 0], steps[steps > 0]
        return self.text[part], self.seen[part], steps
