"""The texts of a corpus: which sequences are copies of one text, and how many came before a row.

Copies of a text get the same result, so a text is the unit of every statement about rates, effects
and times. Only repeated texts are held: every other sequence is the only one of its text.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from memtrace.corpus.copies import Copies
from memtrace.types import Int64Array


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

    @classmethod
    def from_copies(cls, copies: Copies) -> "Texts":
        """Build from a table of the repeated sequences, which is in order."""
        new = np.diff(copies.first_index, prepend=-1) != 0
        begins = np.append(np.flatnonzero(new), len(new))
        return cls(copies.corpus_rows, copies.first_index[new], begins, copies.sequence_index)

    @classmethod
    def from_labels(cls, labels: npt.ArrayLike) -> "Texts":
        """Build from a label of each row of a corpus: equal labels, equal texts.

        Args:
            labels: Integers such as hashes, shape (rows,).
        """
        found = np.asarray(labels)
        _, first, which, counts = np.unique(
            found, return_index=True, return_inverse=True, return_counts=True
        )
        rows = np.flatnonzero(counts[which] > 1)
        names = first[which[rows]]
        order = np.lexsort((rows, names))
        table = names[order].astype(np.int64), rows[order].astype(np.int64)
        return cls.from_copies(Copies("", len(found), 0, *table))

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
        if not len(self.names):
            return otherwise
        found = np.minimum(np.searchsorted(self.names, names), len(self.names) - 1)
        return np.where(self.names[found] == names, values[found], otherwise)


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
