"""Texts of one corpus in another one: rows match by the 64-bit hash of their text.

The odds that one of two million memorized texts has the hash of another text in a corpus of 146
million are about 1 to 60,000.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.comparison.coverage import inside
from memtrace.comparison.runs import ComparedRun
from memtrace.errors import CorpusError, FitError
from memtrace.runs.events import hash_texts
from memtrace.runs.memorized import Hashes
from memtrace.runs.run import Run
from memtrace.storage.prefetch import READERS, chunks, prefetch
from memtrace.texts.distinct import distinct
from memtrace.texts.find import open_corpus_of
from memtrace.types import Int64Array


@dataclass(frozen=True, eq=False)
class FoundRows:
    """Rows of a corpus that have one of some texts."""

    rows: Int64Array
    """Ascending, shape (n,)."""
    text_hash: Hashes
    """Shape (n,)."""

    def scanned(self, ranges: Int64Array) -> "FoundRows":
        """Return those that lie in scanned ranges."""
        kept = inside(self.rows, ranges)
        return FoundRows(self.rows[kept], self.text_hash[kept])


def event_hashes(found: ComparedRun) -> Hashes:
    """Return the hash of the text of each memorized row, shape (n,).

    Raises:
        FitError: They are neither in the events nor in a corpus on this machine.
    """
    if found.events.text_hash is not None:
        return found.events.text_hash
    try:
        corpus = open_corpus_of(found.run)
        c = found.run.configuration
        rows = found.events.sequence_index.astype(np.int64)
        return hash_texts(corpus.take(rows, c.sequence_tokens, c.offset))
    except CorpusError as error:
        raise FitError(
            f"the texts of {found.label} are not known ({found.events.note}), so they match with "
            "no other corpus: repeat the scan with a local corpus or a prefix pack"
        ) from error


def rows_with(run: Run, wanted: Hashes) -> FoundRows:
    """Return the rows of a run's corpus, scanned or not, that have one of these texts.

    The corpus is read once, in order; memory grows with what is found.

    Args:
        run: A run whose corpus is on this machine.
        wanted: Hashes of texts, in any order.

    Raises:
        CorpusError: The corpus is not here, or cannot be read.
    """
    keys = distinct(wanted)
    parts = [
        (rows[kept], hashes[kept])
        for rows, hashes in _hashed(run)
        for kept in [_is_in(hashes, keys)]
    ]
    rows = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    return FoundRows(rows, np.concatenate([np.empty(0, np.uint64), *(part[1] for part in parts)]))


def row_hashes(run: Run) -> Hashes:
    """Return the hash of the text of every row of a run's corpus: 8 bytes a row, shape (rows,).

    Raises:
        CorpusError: The corpus is not here, or cannot be read.
    """
    return np.concatenate([np.empty(0, np.uint64), *(hashes for _, hashes in _hashed(run))])


def _hashed(run: Run) -> Iterator[tuple[Int64Array, Hashes]]:
    """Yield rows of a corpus and the hashes of their texts, block by block.

    Raises:
        CorpusError: It is not the corpus that was scanned.
    """
    corpus, c = open_corpus_of(run), run.configuration
    if c.corpus_digest != corpus.digest:
        raise CorpusError(f"{corpus.name} is not the corpus of {run.label}: its digest differs")

    def read(chunk: tuple[int, int]) -> tuple[Int64Array, Hashes]:
        tokens = corpus.read(*chunk, c.sequence_tokens, c.offset)
        return np.arange(*chunk), hash_texts(tokens)

    yield from prefetch(read, chunks(0, len(corpus)), READERS)


def _is_in(hashes: Hashes, keys: Hashes) -> npt.NDArray[np.bool_]:
    """Return which hashes are among ascending keys."""
    if not len(keys):
        return np.zeros(len(hashes), bool)
    at = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
    return np.asarray(keys[at] == hashes)
