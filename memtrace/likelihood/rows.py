"""Rows with a log-likelihood at a checkpoint and one at a baseline, and all that is summed of them.

They come in blocks, in order of training. Sums need one pass and no memory; ranks are exact up to
`EXACT_ROWS` rows, beyond them those of binned values, and what needs both ranks of every row is
computed of a random sample.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.errors import FitError
from memtrace.likelihood.ages import Ages
from memtrace.likelihood.ranks import (
    BinnedRanks,
    RankCorrelation,
    bins_of,
    compare_ranks,
    partial_correlation,
    rank_correlation,
)
from memtrace.likelihood.sums import Moments, Sums
from memtrace.types import FloatArray, Int64Array

EXACT_ROWS = 1_000_000
"""Rows up to which ranks are exact; of more, the size of the sample."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in order of training."""

    index: Int64Array
    """Ascending, shape (n,)."""
    log_likelihood: FloatArray
    """At the checkpoint, nats, shape (n,)."""
    baseline: FloatArray | None
    """At the baseline, shape (n,)."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.index)

    def part(self, rows: "slice | npt.NDArray[np.bool_]") -> "Rows":
        """Return some of the rows."""
        baseline = None if self.baseline is None else self.baseline[rows]
        return Rows(self.index[rows], self.log_likelihood[rows], baseline)


class OrderSums:
    """Everything that tests of order need, added block by block."""

    def __init__(
        self,
        ages: Ages,
        tokens: int,
        *,
        baseline: bool,
        most_rows: int,
        seed: np.random.SeedSequence,
    ) -> None:
        """Begin with nothing.

        Args:
            ages: Ranges of the exposed rows.
            tokens: Of a continuation.
            baseline: Whether rows have one.
            most_rows: At least as many rows as will come.
            seed: Of the sample, where there are more than `EXACT_ROWS`.
        """
        self.ages, self.tokens, self.has_baseline = ages, tokens, baseline
        self.exact = most_rows <= EXACT_ROWS
        self._share = min(1.0, EXACT_ROWS / max(most_rows, 1))
        self._rng = np.random.default_rng(seed)
        self._sums: Sums | None = None
        self._kept: list[Rows] = []
        self._ranks = {
            (group, value): BinnedRanks()
            for group in ("exposed", "unexposed")
            for value in ("log_likelihood", "baseline")
        }

    def add(self, block: Rows) -> None:
        """Add a block; blocks come in order of the rows."""
        if not len(block):
            return
        y = block.log_likelihood
        b = np.zeros(len(y)) if block.baseline is None else block.baseline
        if self._sums is None:
            self._sums = Sums(len(self.ages.edges), (float(b.mean()), float(y.mean())))
        ends = np.append(np.searchsorted(block.index, self.ages.edges), len(block))
        self._sums.add(ends, b, y)
        if self.exact:
            self._kept.append(block)
            return
        self._kept.append(block.part(self._rng.random(len(block)) < self._share))
        exposed = int(ends[-2])
        for name, values in (("log_likelihood", y), ("baseline", block.baseline)):
            if values is not None:
                bins = bins_of(values, self.tokens)
                self._ranks["exposed", name].add(bins[:exposed])
                self._ranks["unexposed", name].add(bins[exposed:])

    @property
    def bins(self) -> list[Moments]:
        """Return the moments of each range of ages, the oldest first."""
        count = len(self.ages.edges) - 1
        return [self._moments(place, place + 1) for place in range(count)]

    @property
    def exposed(self) -> Moments:
        """Return the moments of all exposed rows."""
        return self._moments(0, len(self.ages.edges) - 1)

    @property
    def unexposed(self) -> Moments:
        """Return those of the rows that the checkpoint had not seen."""
        count = len(self.ages.edges)
        return self._moments(count - 1, count)

    @property
    def rows(self) -> Rows:
        """Return all rows, or the sample of them."""
        if not self._kept:
            return Rows(
                np.empty(0, np.int64), np.empty(0), np.empty(0) if self.has_baseline else None
            )
        return Rows(
            np.concatenate([part.index for part in self._kept]),
            np.concatenate([part.log_likelihood for part in self._kept]),
            np.concatenate([_values(part, "baseline") for part in self._kept])
            if self.has_baseline
            else None,
        )

    def correlation(self, group: str, value: str, seed: np.random.SeedSequence) -> RankCorrelation:
        """Return the rank correlation of order and a value within a group of rows."""
        if not self.exact:
            return self._ranks[group, value].correlation()
        return rank_correlation(_values(self._group(group), value), seed)

    def baseline_correlation(self, seed: np.random.SeedSequence) -> RankCorrelation:
        """Return the rank correlation of order and the baseline of all rows."""
        if self.exact:
            return rank_correlation(_values(self.rows, "baseline"), seed)
        before, after = (self._ranks[group, "baseline"] for group in ("exposed", "unexposed"))
        return after.after(before).correlation()

    def partial(self) -> RankCorrelation:
        """Return the rank correlation given the baseline within exposed rows, of the rows kept."""
        rows = self._group("exposed")
        return partial_correlation(rows.log_likelihood, _values(rows, "baseline"))

    def baseline_balance(self) -> float:
        """Return the p-value that exposed and unexposed rows have one distribution of baselines."""
        if not self.exact:
            groups = (self._ranks[group, "baseline"].counts for group in ("exposed", "unexposed"))
            return compare_ranks(*groups)
        every = _values(self.rows, "baseline")
        _, which = np.unique(every, return_inverse=True)
        exposed = self.rows.index < self.ages.edges[-1]
        bins = int(which.max(initial=0)) + 1
        return compare_ranks(
            np.bincount(which[exposed], minlength=bins),
            np.bincount(which[~exposed], minlength=bins),
        )

    def _group(self, group: str) -> Rows:
        rows = self.rows
        cut = int(np.searchsorted(rows.index, self.ages.edges[-1]))
        return rows.part(slice(0, cut) if group == "exposed" else slice(cut, None))

    def _moments(self, first: int, stop: int) -> Moments:
        empty = Sums(len(self.ages.edges), (0.0, 0.0))
        return (self._sums or empty).moments(first, stop)


def known(rows: Iterable[Rows], advice: str) -> Iterator[Rows]:
    """Pass rows on, all of which have finite values.

    Raises:
        FitError: A value is not known, or the logarithm of 0.
    """
    for block in rows:
        for values in (block.log_likelihood, block.baseline):
            if values is not None and not np.isfinite(values).all():
                raise FitError(
                    f"{int((~np.isfinite(values)).sum()):,} of {len(values):,} log-likelihoods "
                    f"from row {block.index[0]:,} on are not known, or that of probability 0: "
                    f"order needs all of them; {advice}"
                )
        yield block


def _values(rows: Rows, name: str) -> FloatArray:
    values = rows.log_likelihood if name == "log_likelihood" else rows.baseline
    return np.empty(0) if values is None else values
