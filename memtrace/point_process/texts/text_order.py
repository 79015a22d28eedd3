"""The order of memorized texts in training: the primary end point where copies are known.

Tests of order by text and of the last copies are exact, whatever the copies; a rate ratio has
meaning only among sequences that are the only ones of their text.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.point_process.events import EventSequence
from memtrace.point_process.order import Order, examine_order
from memtrace.point_process.texts.order import (
    Distance,
    RankTest,
    ks_distance,
    last_exposure,
    linear_rank,
)
from memtrace.runs.memorized import Events
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

FEW_TEXTS = 10
"""Memorized texts, or effective ones, below which nothing is said of how their rate varies."""


@dataclass(frozen=True, eq=False)
class TextOrder:
    """Tests of order whose unit is the text, and everything asked of texts that occur once."""

    rows: int
    """Memorized sequences that are exposed."""
    texts: int
    """Memorized texts of which an exposed copy was scanned."""
    effective: float
    """Kish's effective number of them; NaN without any."""
    linear: RankTest
    """Whether memorized texts lie late, each with weight 1."""
    last: RankTest
    """Whether their last copies lie late."""
    distance: Distance
    """Of all their copies from an even spread, each text with weight 1."""
    once: Order
    """Of sequences that are the only ones of their text, by their rank among such sequences; its
    gate holds the two tests above too."""

    @property
    def few(self) -> bool:
        """Return whether there are too few texts to say how the rate of texts varies."""
        return self.texts < FEW_TEXTS or self.effective < FEW_TEXTS


def text_order(
    texts: Texts,
    events: Events,
    exposed_rows: int,
    *,
    window: int = 512,
    margin: float = 1.05,
    seed: int = 0,
) -> TextOrder:
    """Test the order of the memorized texts of a checkpoint.

    Args:
        texts: The texts of the corpus.
        events: The memorized sequences and what was scanned.
        exposed_rows: Rows that the checkpoint had been exposed to.
        window: Length of a window in sequences.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Of the simulations.
    """
    rows = EventSequence.from_events(events, n=exposed_rows)
    names = texts.names_of(rows.positions)
    seeds = np.random.SeedSequence(seed).spawn(3)
    rng = np.random.default_rng(seeds[0])
    linear = linear_rank(rows.ranks, names, rows.exposure, rng, by_text=True)
    last, copies = last_copies(rows.ranks, names)
    latest = last_exposure(last, copies, rows.exposure)
    distance = ks_distance(rows.ranks, names, rows.exposure, np.random.default_rng(seeds[2]))
    once = examine_order(
        once_only(texts, rows),
        window=window,
        margin=margin,
        seed=seeds[1],
        others={"text order": linear.p_value, "last exposure": latest.p_value},
    )
    n, squares = len(names), float((copies.astype(float) ** 2).sum())
    effective = n**2 / squares if n else np.nan
    return TextOrder(n, len(copies), effective, linear, latest, distance, once)


def once_only(texts: Texts, rows: EventSequence) -> EventSequence:
    """Return the events that are the only ones of their text, ranked among all such sequences.

    What was not scanned stays a gap, of as many of them as of all sequences.

    Args:
        texts: The texts of the corpus.
        rows: Events and exposure of all sequences.
    """
    inside = texts.copies[texts.copies < rows.n]
    repeated = np.sort(inside[_observed(rows, inside)])
    alone = rows.exposure - len(repeated)
    start, stop = rows.observed.T
    lengths = (stop - start) - np.diff(np.searchsorted(repeated, rows.observed), axis=1)[:, 0]
    unseen = np.append(start, rows.n) - np.append(rows.observed_before(start), rows.exposure)
    gaps = unseen * alone // max(rows.exposure, 1)
    first = gaps[:-1] + np.cumsum(lengths) - lengths
    once = texts.places(rows.positions) < 0
    which = np.searchsorted(start, rows.positions[once], side="right") - 1
    ranks = rows.ranks[once] - np.searchsorted(repeated, rows.positions[once])
    return EventSequence.from_positions(
        ranks + gaps[which] if len(ranks) else ranks,
        n=alone + int(gaps[-1]),
        observed=np.column_stack((first, first + lengths)),
    )


def _observed(rows: EventSequence, index: Int64Array) -> npt.NDArray[np.bool_]:
    if not len(rows.observed):
        return np.zeros(len(index), bool)
    start, stop = rows.observed.T
    which = np.searchsorted(start, index, side="right") - 1
    inside: npt.NDArray[np.bool_] = (which >= 0) & (index < stop[which])
    return inside


def last_copies(ranks: Int64Array, names: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the rank of each text's last memorized copy and the number of them, shape (t,)."""
    _, backwards, copies = np.unique(names[::-1], return_index=True, return_counts=True)
    return ranks[::-1][backwards], copies
