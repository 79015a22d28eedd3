"""The effect of having been trained on a text: difference in differences by cohort and checkpoint.

Callaway and Sant'Anna (2021), J. Econometrics 225:200, with the texts not yet trained on as
control; for memorization Lesci et al. (2024), ACL. Order is random, so the groups are alike before
training; the outcome at the checkpoint before is taken off all the same, since texts differ in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.comparison.profile.moments import Moments
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

Mask = npt.NDArray[np.bool_]

Cell = tuple[int, int]
"""A cohort and a checkpoint, each by its number."""


@dataclass(frozen=True)
class Effect:
    """A mean effect of training on a text, in units of the outcome."""

    estimate: float
    standard_error: float
    degrees_of_freedom: float
    texts: int
    """Those trained on."""
    control: int
    """Those not yet trained on: the fewest that a cell of the mean has."""
    reason: str | None = None
    """Why values are NaN."""

    @property
    def ci95(self) -> Interval:
        """Return the interval of Student's t."""
        if not self.standard_error > 0:
            return UNDEFINED
        half = float(stats.t.ppf(0.975, self.degrees_of_freedom)) * self.standard_error
        return self.estimate - half, self.estimate + half

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of no effect."""
        if not self.standard_error > 0:
            return math.nan
        t = abs(self.estimate) / self.standard_error
        return 2 * float(stats.t.sf(t, self.degrees_of_freedom))


@dataclass(frozen=True, eq=False)
class Effects:
    """Estimates effects, and means of them, from the moments of the cohorts."""

    moments: Moments

    @property
    def checkpoints(self) -> int:
        """Return K, the number of checkpoints."""
        return len(self.moments.texts) - 1

    def is_defined(self, cohort: int, checkpoint: int) -> bool:
        """Return whether a cell has two texts or more, a baseline and two texts as control."""
        first = max(cohort, checkpoint) + 1
        enough = self.moments.texts[cohort] > 1 and self.moments.texts[first:].sum() > 1
        return bool(enough and 0 < cohort < self.checkpoints and checkpoint != cohort - 1)

    def cell(self, cohort: int, checkpoint: int) -> Effect:
        """Return the effect on one cohort at one checkpoint; before exposure it should be none.

        E[Y(c) - Y(b) | trained on] - E[Y(c) - Y(b) | not yet], b the checkpoint before exposure;
        control are the texts that neither the checkpoint nor the cohort's first had seen.
        """
        return self.mean([(cohort, checkpoint)])

    def mean(self, cells: Sequence[Cell]) -> Effect:
        """Return the mean of the effects of cells, a cohort weighing as much as it has texts.

        The error is that of the sum over texts of their influence: a text counts once, whatever
        the number of cells in which it is trained on or control.
        """
        kept = [cell for cell in cells if self.is_defined(*cell)]
        if not kept:
            return Effect(math.nan, math.nan, math.nan, 0, 0, _NONE)
        n, means = self.moments.texts, self.moments.means
        weights = np.array([n[cohort] for cohort, _ in kept], float)
        weights /= weights.sum()
        treated, pooled = np.zeros_like(means), np.zeros_like(means)
        centre = np.zeros(len(n))  # of the influence of a control text: the mean of its pool
        fewest = int(n.sum())
        for (cohort, checkpoint), weight in zip(kept, weights, strict=True):
            first = max(cohort, checkpoint) + 1
            pool = n[first:] / n[first:].sum()
            fewest = min(fewest, int(n[first:].sum()))
            apart = np.zeros(self.checkpoints)
            apart[checkpoint], apart[cohort - 1] = weight, -weight
            treated[cohort] += apart
            pooled[first:] -= pool[:, None] * apart
            centre[first:] -= pool * float(pool @ (means[first:] @ apart))
        estimate = float(((treated + pooled) * means).sum())
        influence = self._variances(treated + pooled, (pooled * means).sum(axis=1) - centre)
        own, control = (np.asarray(part.any(axis=1)) for part in (treated, pooled))
        error, freedom = _error(influence, n, own, control)
        texts = sum(int(n[cohort]) for cohort in {cohort for cohort, _ in kept})
        return Effect(estimate, error, freedom, texts, fewest)

    def _variances(self, weights: FloatArray, offset: FloatArray) -> FloatArray:
        """Return the sum of squared influences of the texts of each cohort, shape (K + 1,).

        Args:
            weights: Of the mean of each cohort at each checkpoint, shape (K + 1, K).
            offset: Mean influence of a cohort's texts times their number, shape (K + 1,).
        """
        n = np.maximum(self.moments.texts, 1)
        used = np.flatnonzero(weights.any(axis=0))
        w, products = weights[:, used], self.moments.products[:, used[:, None], used]
        squares = np.einsum("hi,hij,hj->h", w, products, w)
        found: FloatArray = np.maximum(squares, 0) / n**2 + offset**2 / n
        return found


def _error(
    variances: FloatArray, texts: Int64Array, treated: Mask, control: Mask
) -> tuple[float, float]:
    """Return the standard error and its degrees of freedom (Satterthwaite 1946).

    A cohort of which the effect is asked has a variance of its own, all others share one.
    """
    own, others = treated & (texts > 1), control & ~treated
    each = variances[own] * texts[own] / (texts[own] - 1)
    n = int(texts[others].sum())
    shared = float(variances[others].sum()) * n / (n - 1) if n > 1 else 0.0
    total = float(each.sum()) + shared
    below = float((each**2 / (texts[own] - 1)).sum()) + shared**2 / max(n - 1, 1)
    return math.sqrt(total), total**2 / below if below else math.inf


_NONE = "no cohort was scanned before and after exposure beside texts not yet trained on"
