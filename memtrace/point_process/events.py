"""Events with their exposure: which sequences were memorized, and which were scanned at all.

Rows that were not scanned are left out of the exposure; they never count as
sequences that were not memorized.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memtrace.errors import FitError
from memtrace.manifests.schedule import SequencesPerStep, place_in_steps
from memtrace.point_process.windows import Windows
from memtrace.runs.events import read_events
from memtrace.runs.memorized import Events, find_events
from memtrace.runs.run import Run
from memtrace.types import Int64Array

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class EventSequence:
    """The positions of the memorized sequences on the training axis, and what was scanned.

    Built by `from_positions`, `from_scores` or `from_run`, which check what the fields promise.
    """

    positions: Int64Array
    """Index of each event, ascending and unique, shape (n_events,)."""
    n: int
    """Length of the axis in sequences: the rows that the checkpoint had been exposed to."""
    observed: Int64Array
    """Half-open index ranges that were scanned, disjoint and ascending, shape (r, 2)."""
    sequences_per_step: int | None = None
    """Sequences that one optimizer step consumes; None where steps have no meaning."""
    not_exposed_events: int | None = None
    """Events among the rows not yet trained on, copies of exposed ones among them; None if none was
    scanned."""
    not_exposed_exposure: int | None = None
    """Scanned rows not yet trained on; None if none was scanned."""
    label: str = ""
    """What the events are, for titles: suite, model and step."""
    ramp: SequencesPerStep | None = None
    """What `sequences_per_step` cannot say: sequences of a step that change along the run."""
    source: str = ""
    """The run that they come from and its digests, for the foot of figures and tables."""

    @classmethod
    def from_positions(
        cls,
        positions: npt.ArrayLike,
        *,
        n: int,
        observed: npt.ArrayLike | None = None,
        sequences_per_step: SequencesPerStep | None = None,
        not_exposed_events: int | None = None,
        not_exposed_exposure: int | None = None,
        label: str = "",
    ) -> "EventSequence":
        """Build from the index of each event.

        Args:
            positions: Integer indices in [0, n), in any order, each at most once.
            n: Length of the axis in sequences.
            observed: Half-open ranges that were scanned, shape (r, 2); None for all of [0, n).
            sequences_per_step: Sequences that one optimizer step consumes.
            not_exposed_events: Events among rows not yet trained on, copies of others or not.
            not_exposed_exposure: How many such rows were scanned.
            label: What the events are, for titles.

        Raises:
            FitError: A position is duplicated, out of range, not an integer, or was not scanned.
        """
        ranges = _as_ranges(np.array([[0, n]]) if observed is None else observed, n)
        return cls(
            positions=_as_positions(positions, n, ranges),
            n=int(n),
            observed=ranges,
            sequences_per_step=sequences_per_step if isinstance(sequences_per_step, int) else None,
            ramp=None if isinstance(sequences_per_step, int) else sequences_per_step,
            not_exposed_events=not_exposed_events,
            not_exposed_exposure=not_exposed_exposure,
            label=label,
        )

    @classmethod
    def from_scores(
        cls,
        scores: "pl.LazyFrame",
        *,
        n: int,
        sequences_per_step: SequencesPerStep | None = None,
        continuation_tokens: int = 32,
        label: str = "",
    ) -> "EventSequence":
        """Build from a score table, read as a stream: memory grows with events and gaps only.

        Args:
            scores: Columns `sequence_index` (ascending, unique) and `matched_tokens`.
            n: Rows the checkpoint had been exposed to; later rows are counted apart.
            sequences_per_step: Sequences that one optimizer step consumes.
            continuation_tokens: Matched tokens at which a sequence counts as memorized.
            label: What the events are, for titles.

        Raises:
            FitError: Indices are not ascending and unique, or more tokens match than there are.
        """
        return cls.from_events(
            find_events(scores, continuation_tokens),
            n=n,
            sequences_per_step=sequences_per_step,
            label=label,
        )

    @classmethod
    def from_events(
        cls,
        events: Events,
        *,
        n: int,
        sequences_per_step: SequencesPerStep | None = None,
        label: str = "",
    ) -> "EventSequence":
        """Build from the events of a run.

        Args:
            events: The memorized sequences and what was scanned.
            n: Rows the checkpoint had been exposed to; later rows are counted apart.
            sequences_per_step: Sequences that one optimizer step consumes.
            label: What the events are, for titles.
        """
        positions, ranges = events.sequence_index, events.scanned
        control = int(np.diff(np.maximum(ranges, n), axis=1).sum())
        return cls.from_positions(
            positions[positions < n],
            n=n,
            observed=np.minimum(ranges[ranges[:, 0] < n], n),
            sequences_per_step=sequences_per_step,
            not_exposed_events=int((positions >= n).sum()) if control else None,
            not_exposed_exposure=control or None,
            label=label,
        )

    @classmethod
    def from_run(cls, run: Run, found: Events | None = None) -> "EventSequence":
        """Build from what is done of a run.

        Args:
            run: The run.
            found: Its events, where they have been read already.

        Raises:
            RunError: Its order of training is not known.
            FitError: No shard of the run is finished.
        """
        run.require_order()
        if not run.shards():
            raise FitError(f"{run.label} has seen no sequence: choose a later step")
        found = found or read_events(run)
        if not len(found.scanned) and run.shards_missing():
            raise FitError(f"nothing of {run.label} is scanned yet; finish it with: {run.command}")
        events = cls.from_events(
            found,
            n=run.exposed_rows,
            sequences_per_step=run.configuration.sequences_per_step,
            label=run.label,
        )
        return replace(events, source=run.provenance)

    @property
    def schedule(self) -> SequencesPerStep | None:
        """Return how many sequences each step consumes; None where steps have no meaning."""
        return self.ramp or self.sequences_per_step

    def step_of(self, index: float | None) -> float | None:
        """Return the place of an index in steps; None where there is none."""
        if index is None or self.schedule is None:
            return None
        return float(place_in_steps(self.schedule, index))

    @property
    def n_events(self) -> int:
        """Return the number of events."""
        return len(self.positions)

    @cached_property
    def exposure(self) -> int:
        """Return the number of sequences that were scanned."""
        return int(np.diff(self.observed, axis=1).sum())

    @property
    def fraction(self) -> float:
        """Return the share of the observed sequences that are events, NaN if none was observed."""
        return self.n_events / self.exposure if self.exposure else float("nan")

    @property
    def missing(self) -> Int64Array:
        """Return the half-open ranges of [0, n) that were not scanned, shape (r, 2)."""
        edges: Int64Array = np.concatenate(([0], self.observed.ravel(), [self.n])).reshape(-1, 2)
        return edges[edges[:, 0] < edges[:, 1]]

    @cached_property
    def ranks(self) -> Int64Array:
        """Return each event's rank among the observed sequences, 0-based, shape (n_events,).

        If order does not matter they are a simple random sample without replacement of
        [0, exposure), whatever was left out of the scan.
        """
        return self.observed_before(self.positions)

    def observed_before(self, index: Int64Array) -> Int64Array:
        """Return how many observed sequences have a smaller index, elementwise."""
        if not len(self.observed):
            return np.zeros(np.shape(index), dtype=np.int64)
        start, stop = self.observed.T
        before = np.concatenate(([0], np.cumsum(stop - start)))
        which = np.searchsorted(start, index, side="right") - 1
        inside = np.minimum(index, stop[which]) - start[which]
        return np.where(which < 0, 0, before[which] + inside)

    def windows(self, length: int) -> Windows:
        """Count events in windows of `length` indices; a short or partly observed one is kept.

        Windows in which nothing was observed are dropped.
        """
        edges = np.append(np.arange(0, self.n, length, dtype=np.int64), np.int64(self.n))
        exposures = np.diff(self.observed_before(edges))
        counts = np.bincount(self.positions // length, minlength=len(exposures)).astype(np.int64)
        seen = exposures > 0
        return Windows(edges[:-1][seen], counts[seen], exposures[seen])


def _as_ranges(observed: npt.ArrayLike, n: int) -> Int64Array:
    ranges = np.asarray(observed)
    if n < 0:
        raise FitError(f"the axis has {n} sequences; give the number of exposed rows, at least 0")
    ranges = ranges.reshape(-1, 2).astype(np.int64)
    ranges = ranges[ranges[:, 0] != ranges[:, 1]]
    edges = ranges.ravel()
    if len(edges) and (edges[0] < 0 or edges[-1] > n or (np.diff(edges) < 0).any()):
        raise FitError(f"observed ranges must be ascending and disjoint inside [0, {n})")
    # Ranges that touch are one range.
    joint = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    return np.delete(edges, np.concatenate((2 * joint + 1, 2 * joint + 2))).reshape(-1, 2)


def _as_positions(positions: npt.ArrayLike, n: int, ranges: Int64Array) -> Int64Array:
    given = np.asarray(positions)
    if given.dtype == object and all(isinstance(each, int) for each in given.flat):
        given = given.astype(np.int64)  # pandas gives its nullable integers as objects
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise FitError(f"positions are {given.dtype}; give the integer index of each event")
    ordered = np.sort(given.ravel().astype(np.int64))
    if len(ordered) and not 0 <= ordered[0] <= ordered[-1] < n:
        wrong = ordered[0] if ordered[0] < 0 else ordered[-1]
        raise FitError(f"position {wrong} lies outside [0, {n}); give the length of the axis as n")
    repeated = ordered[:-1][np.diff(ordered) == 0]
    if len(repeated):
        raise FitError(f"position {repeated[0]} occurs twice; keep one row for each sequence")
    which = np.searchsorted(ranges[:, 0], ordered, side="right") - 1
    unseen = ordered[(which < 0) | (ordered >= ranges[which, 1])] if len(ordered) else ordered
    if len(unseen):
        raise FitError(f"event {unseen[0]} lies outside the observed ranges; correct `observed`")
    return ordered
