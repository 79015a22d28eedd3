"""Texts that several corpora have: rows match by the 64-bit hash of their text.

Hashes are sorted part by part, and what is known of a row takes the place of its hash: this needs
8 bytes for each row of each corpus, and then 4. The odds that one of two million memorized texts
has the hash of another text in a corpus of 146 million are about 1 to 60,000.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.errors import CorpusError
from memtrace.runs.events import hash_texts
from memtrace.runs.memorized import Hashes
from memtrace.runs.run import Run
from memtrace.storage.prefetch import READERS, chunks, prefetch
from memtrace.texts.find import open_corpus_of
from memtrace.types import Int64Array

PART = 1 << 23
"""Rows that are sorted at once."""
BLOCK = 1 << 22
"""Rows that are looked at at once."""
Names = npt.NDArray[np.unsignedinteger]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MatchedCorpora:
    """The rows of several corpora by their texts.

    Rows are numbered from the first corpus to the last. A text that is in two corpora or more is
    named by the smallest number of its rows.
    """

    names: Mapping[str, Names]
    """By corpus the name of each row's text, `alone` where no other corpus has it."""
    alone: int
    """Rows of all corpora: no text has this name."""

    @classmethod
    def of(cls, hashes: dict[str, Hashes]) -> "MatchedCorpora":
        """Match the rows of corpora.

        Args:
            hashes: By corpus, of the text of each row. Emptied, to save memory.
        """
        alone = _match(list(hashes.values()))
        kind = np.uint32 if alone <= np.iinfo(np.uint32).max else np.uint64
        names: dict[str, Names] = {}
        for corpus in list(hashes):
            names[corpus] = hashes.pop(corpus).astype(kind)
        return cls(names, alone)

    def has_match(self, corpus: str) -> bool:
        """Return whether a text of the corpus is in another one."""
        return any(bool((part != self.alone).any()) for _, part in self.blocks(corpus))

    def blocks(self, corpus: str) -> Iterator[tuple[int, Names]]:
        """Yield the first row of each block of rows, and their names."""
        names = self.names[corpus]
        for start in range(0, len(names), BLOCK):
            yield start, names[start : start + BLOCK]

    def of_ranges(self, corpus: str, ranges: Int64Array) -> Mask:
        """Return which names rows in half-open ranges have, shape (alone + 1,)."""
        found = np.zeros(self.alone + 1, bool)
        names = self.names[corpus]
        for start, stop in ranges.tolist():
            found[names[start:stop]] = True
        found[self.alone] = False
        return found

    def of_rows(self, corpus: str, rows: npt.NDArray[np.integer]) -> Mask:
        """Return which names some rows have, shape (alone + 1,)."""
        found = np.zeros(self.alone + 1, bool)
        found[self.names[corpus][rows.astype(np.int64)]] = True
        found[self.alone] = False
        return found

    def rows_of(self, corpus: str, wanted: Mask) -> Mask:
        """Return which rows of a corpus have one of some names, shape (rows,)."""
        found = np.empty(len(self.names[corpus]), bool)
        for start, names in self.blocks(corpus):
            found[start : start + len(names)] = wanted[names]
        return found


def row_hashes(run: Run) -> Hashes:
    """Return the hash of the text of every row of a run's corpus: 8 bytes a row, shape (rows,).

    The corpus is read once, in order.

    Raises:
        CorpusError: It is not here, cannot be read, or is not the one that was scanned.
    """
    corpus, c = open_corpus_of(run), run.configuration
    if c.corpus_digest != corpus.digest:
        raise CorpusError(f"{corpus.name} is not the corpus of {run.label}: its digest differs")
    found = np.empty(len(corpus), np.uint64)

    def read(chunk: tuple[int, int]) -> tuple[int, Hashes]:
        return chunk[0], hash_texts(corpus.read(*chunk, c.sequence_tokens, c.offset))

    for start, hashes in prefetch(read, chunks(0, len(corpus)), READERS):
        found[start : start + len(hashes)] = hashes
    return found


def _match(hashes: Sequence[Hashes]) -> int:
    """Put the name of each row's text in the place of its hash; return how many rows there are."""
    starts = np.cumsum([0, *map(len, hashes)])
    alone = int(starts[-1])
    bits = (alone // PART).bit_length()
    # A name is smaller than any hash of a later part, so that what is written is not taken again.
    for part in range(1 << bits):
        rows = [_of_part(one, part, bits) for one in hashes]
        keys = np.concatenate([one[chosen] for one, chosen in zip(hashes, rows, strict=True)])
        numbers = np.concatenate([one + start for one, start in zip(rows, starts, strict=False)])
        names = _names_of(keys, numbers, starts)
        ends = np.cumsum([len(one) for one in rows])[:-1]
        for one, chosen, found in zip(hashes, rows, np.split(names, ends), strict=True):
            one[chosen] = found
    return alone


def _of_part(hashes: Hashes, part: int, bits: int) -> Int64Array:
    """Return the rows whose hashes begin with the bits of a part."""
    if not bits:
        return np.arange(len(hashes))
    shift = np.uint64(64 - bits)
    found = [np.empty(0, np.int64)]
    for start in range(0, len(hashes), BLOCK):
        of = hashes[start : start + BLOCK] >> shift == part
        found.append(np.flatnonzero(of) + start)
    return np.concatenate(found)


def _names_of(keys: Hashes, numbers: Int64Array, starts: Int64Array) -> Hashes:
    """Return the name of the text of each row, by hashes, numbers, and where corpora begin."""
    if not len(keys):
        return keys
    order = np.argsort(keys)
    keys, ordered = keys[order], numbers[order]
    new = np.ones(len(keys), bool)
    new[1:] = keys[1:] != keys[:-1]
    begins = np.flatnonzero(new)
    first, last = (end.reduceat(ordered, begins) for end in (np.minimum, np.maximum))
    one, other = (np.searchsorted(starts, end, side="right") for end in (first, last))
    first[one == other] = starts[-1]
    names = np.empty(len(keys), np.uint64)
    names[order] = np.repeat(first, np.diff(begins, append=len(keys)))
    return names
