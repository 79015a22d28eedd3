"""The texts of a corpus: which sequences are copies of one text, and how many came before a row.

Copies of a text get the same result, so a text is the unit of every statement about rates, effects
and times. Only repeated texts are held: every other sequence is the only one of its text. Texts
that share a continuation after different prompts are near-copies of one passage: their results
hang together, so `merged` takes them as one unit.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from memtrace.corpus.copies import Copies
from memtrace.types import Int64Array


@dataclass(frozen=True, eq=False)
class NearCopies:
    """The texts that share their continuation with another text."""

    texts: Int64Array
    """Name of each, ascending, shape (f,)."""
    passages: Int64Array
    """First index of a sequence with that continuation, shape (f,)."""

    @classmethod
    def none(cls) -> "NearCopies":
        """Return those of a corpus that has none."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    def passages_of(self, names: Int64Array) -> Int64Array:
        """Return the passage of each text; one without near-copies is its own, shape (n,)."""
        return _found(self.texts, names, self.passages, otherwise=names)


@dataclass(frozen=True, eq=False)
class Texts:
    """The repeated texts of a corpus, and with them all others."""

    rows: int
    """Rows of the corpus."""
    names: Int64Array
    """First index of each repeated text, ascending, shape (t,)."""
    begins: Int64Array
    """Where in `copies` those of each begin, and the end of the last, shape (t + 1,)."""
    copies: Int64Array
    """Index of every copy, text by text, ascending in each, shape (r,)."""
    near: NearCopies = field(default_factory=NearCopies.none)

    @classmethod
    def from_copies(cls, copies: Copies) -> "Texts":
        """Build from a table of the repeated sequences, which is in order."""
        new = np.diff(copies.first_index, prepend=-1) != 0
        begins = np.append(np.flatnonzero(new), len(new))
        order = np.argsort(copies.near_text)
        near = NearCopies(copies.near_text[order], copies.near_passage[order])
        return cls(copies.corpus_rows, copies.first_index[new], begins, copies.sequence_index, near)

    @classmethod
    def from_labels(cls, labels: npt.ArrayLike, passages: npt.ArrayLike | None = None) -> "Texts":
        """Build from a label of each row of a corpus: equal labels, equal texts.

        Args:
            labels: Integers such as hashes, shape (rows,).
            passages: Labels of the continuations, likewise; equal where `labels` are. None where no
                two texts share one.
        """
        found = np.asarray(labels)
        first, rows = _first_rows(found)
        order = np.lexsort((rows, first[rows]))
        repeated = rows[order]
        near: tuple[Int64Array, ...] = ()
        if passages is not None:
            named = np.flatnonzero(first == np.arange(len(first)))
            passage = _first_rows(np.asarray(passages)[named])
            near = named[passage[1]], named[passage[0][passage[1]]]
        table = Copies("", len(found), 0, 0, first[repeated], repeated, *near)
        return cls.from_copies(table)

    @cached_property
    def merged(self) -> "Texts":
        """Return the same with the texts of a passage as one unit, named by its first sequence."""
        if not len(self.near.texts):
            return self
        joined = np.isin(self.names, self.near.texts)
        alone = self.near.texts[~np.isin(self.near.texts, self.names)]
        moved = np.repeat(joined, self.duplicate_counts)
        rows = np.concatenate((self.copies[moved], alone))
        units = self.near.passages_of(
            np.concatenate((np.repeat(self.names[joined], self.duplicate_counts[joined]), alone))
        )
        order = np.lexsort((rows, units))
        begins = np.flatnonzero(np.diff(units[order], prepend=-1))
        counts = np.diff(begins, append=len(order))
        # All others stay in their order: the joined ones are put between them.
        others, sizes = self.names[~joined], self.duplicate_counts[~joined]
        names = units[order][begins]
        at = np.searchsorted(others, names)
        ends = np.append(0, np.cumsum(sizes))
        copies = np.insert(self.copies[~moved], np.repeat(ends[at], counts), rows[order])
        edges = np.append(0, np.cumsum(np.insert(sizes, at, counts)))
        return Texts(self.rows, np.insert(others, at, names), edges, copies)

    def __len__(self) -> int:
        """Return the number of texts, repeated or not."""
        return self.rows - len(self.copies) + len(self.names)

    @property
    def duplicate_counts(self) -> Int64Array:
        """Return how many copies each repeated text has, shape (t,)."""
        return np.diff(self.begins)

    @cached_property
    def numbers(self) -> Int64Array:
        """Return the place in `names` of the text of each of `copies`, shape (r,)."""
        return np.repeat(np.arange(len(self.names)), self.duplicate_counts)

    def names_of(self, rows: npt.NDArray[np.integer]) -> Int64Array:
        """Return the name of each row's text: the index of its first copy, shape (n,)."""
        places = self.places(rows)
        repeated = places >= 0
        names: Int64Array = rows.astype(np.int64)
        names[repeated] = self.names[self.numbers[places[repeated]]]
        return names

    def counts_of(self, names: Int64Array) -> Int64Array:
        """Return how many copies the texts of these names have in the corpus, shape (n,)."""
        return self._of(names, self.duplicate_counts, otherwise=np.ones(len(names), np.int64))

    def copies_before(self, names: Int64Array, row: int) -> Int64Array:
        """Return how many copies of each text have a smaller index than `row`, shape (n,).

        With the rows that a checkpoint had been exposed to, the copies that it had seen.
        """
        before = self.per_text(self.copies < row)
        return self._of(names, before, otherwise=(names < row).astype(np.int64))

    def places(self, rows: npt.NDArray[np.integer]) -> Int64Array:
        """Return where in `copies` each row is, -1 for the only one of its text, shape (n,)."""
        if not len(self.copies):
            return np.full(len(rows), -1)
        order, ordered = self._by_row
        found = np.minimum(np.searchsorted(ordered, rows), len(ordered) - 1)
        return np.where(ordered[found] == rows, order[found], -1)

    def per_text(self, mask: npt.NDArray[np.bool_]) -> Int64Array:
        """Return how many copies of each repeated text a mask of `copies` has, shape (t,)."""
        if not len(self.names):
            return np.zeros(0, np.int64)
        return np.add.reduceat(mask, self.begins[:-1], dtype=np.int64)

    @cached_property
    def _by_row(self) -> tuple[Int64Array, Int64Array]:
        order = np.argsort(self.copies)
        return order, self.copies[order]

    def _of(self, names: Int64Array, values: Int64Array, otherwise: Int64Array) -> Int64Array:
        return _found(self.names, names, values, otherwise)


@dataclass(frozen=True)
class EventTexts:
    """How the memorized sequences fall on texts."""

    sequences: int
    texts: int
    largest: int
    """Sequences of the text that has most of them."""
    effective: float
    """Kish's effective number of texts, (sum of m)^2 / sum of m^2; NaN without events."""

    @property
    def largest_share(self) -> float:
        """Return the share of the sequences that are of one text; NaN without events."""
        return self.largest / self.sequences if self.sequences else float("nan")


def count_event_texts(labels: npt.NDArray[np.integer]) -> EventTexts:
    """Count the texts among memorized sequences: needs no table of duplicates.

    Args:
        labels: The hash or the name of the text of each memorized sequence, shape (n,).
    """
    counts = np.unique(labels, return_counts=True)[1]
    n = len(labels)
    effective = n**2 / float((counts.astype(float) ** 2).sum()) if n else float("nan")
    return EventTexts(n, len(counts), int(counts.max(initial=0)), effective)


def _found(
    keys: Int64Array, wanted: Int64Array, values: Int64Array, otherwise: Int64Array
) -> Int64Array:
    """Return the value of each wanted key among ascending ones, else what stands in its place."""
    if not len(keys):
        return otherwise
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], otherwise)


def _first_rows(labels: npt.NDArray[np.integer]) -> tuple[Int64Array, Int64Array]:
    """Return the first row with the label of each, and the rows whose label is not alone."""
    _, first, which, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    return first[which].astype(np.int64), np.flatnonzero(counts[which] > 1)
