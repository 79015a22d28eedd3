"""Outcomes of texts at all checkpoints, summed by cohort: one pass, whatever the number of texts.

A cohort is the texts that two checkpoints have between them: the later is the first that had seen
them. Means and covariances over checkpoints are all that effects and their errors need.
"""

from dataclasses import dataclass

import numpy as np

from memtrace.types import FloatArray, Int64Array


@dataclass(frozen=True, eq=False)
class Moments:
    """Cohorts 0 to K of K checkpoints; those of the last no checkpoint had seen."""

    texts: Int64Array
    """Shape (K + 1,)."""
    means: FloatArray
    """Mean outcome of a cohort at each checkpoint, 0 without texts, shape (K + 1, K)."""
    products: FloatArray
    """Sum over its texts of products about the means, shape (K + 1, K, K)."""


class CohortSums:
    """Sums about a fixed centre, so that they lose nothing where outcomes are far from 0."""

    def __init__(self, exposed_rows: Int64Array) -> None:
        """Begin with nothing.

        Args:
            exposed_rows: Rows that each checkpoint had seen, ascending, shape (K,).
        """
        k = len(exposed_rows)
        self.exposed_rows = np.asarray(exposed_rows, np.int64)
        self._centre: FloatArray | None = None
        self._texts = np.zeros(k + 1, np.int64)
        self._sums = np.zeros((k + 1, k))
        self._products = np.zeros((k + 1, k, k))

    def add(self, rows: Int64Array, outcomes: FloatArray) -> None:
        """Add texts.

        Args:
            rows: Row of each text, ascending, shape (n,).
            outcomes: At every checkpoint, finite, shape (n, K).
        """
        if not len(rows):
            return
        if self._centre is None:
            self._centre = outcomes.mean(axis=0)
        apart = outcomes - self._centre
        ends = np.searchsorted(rows, self.exposed_rows)
        for cohort, (start, stop) in enumerate(
            zip(np.append(0, ends), np.append(ends, len(rows)), strict=True)
        ):
            part = apart[start:stop]
            self._texts[cohort] += len(part)
            self._sums[cohort] += part.sum(axis=0)
            self._products[cohort] += part.T @ part

    def moments(self) -> Moments:
        """Return what was added."""
        n = np.maximum(self._texts, 1)[:, None]
        apart = self._sums / n
        products = self._products - apart[:, :, None] * apart[:, None, :] * n[:, :, None]
        centre = np.zeros(len(self.exposed_rows)) if self._centre is None else self._centre
        means = np.where(self._texts[:, None] > 0, apart + centre, 0.0)
        return Moments(self._texts.copy(), means, products)
