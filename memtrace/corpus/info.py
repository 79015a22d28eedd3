"""What a corpus holds: smallest and largest id, token 0, repeated prefixes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.hashes import hash_prefixes
from memtrace.corpus.prefix_pack import PACK_TOKENS
from memtrace.storage.prefetch import READERS, chunks, prefetch


@dataclass(frozen=True)
class Contents:
    """What was found in the rows that were read."""

    rows: int
    """How many rows were read."""
    smallest_id: int
    largest_id: int
    eod_tokens: int
    """How many tokens are 0, the end-of-document token of Pythia's tokenizer."""
    repeated_prefixes: int
    """Rows whose first 64 tokens are those of another, earlier row that was read."""


def read_contents(
    corpus: Corpus,
    rows: npt.NDArray[np.int64] | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Contents:
    """Read whole rows and report what is in them.

    Args:
        corpus: The corpus.
        rows: Which rows, ascending; all by default, which takes 8 bytes of memory for each.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        CorpusError: A row cannot be read.
    """
    total = len(corpus) if rows is None else len(rows)

    def read(chunk: tuple[int, int]) -> tuple[int, int, int, npt.NDArray[np.uint64]]:
        chosen = corpus[slice(*chunk)] if rows is None else corpus[rows[slice(*chunk)]]
        # Half of the 128 bits: one false match in 2,000 corpora as large as the Pile.
        hashes = hash_prefixes(chosen[:, :PACK_TOKENS])[:, 0]
        return int(chosen.min()), int(chosen.max()), int((chosen == 0).sum()), hashes

    found = []
    for part in prefetch(read, chunks(0, total), READERS):
        found.append(part)
        on_progress(len(part[3]))
    smallest, largest, zeros, hashes = zip(*found, strict=True)
    every = np.sort(np.concatenate(hashes))
    return Contents(
        rows=total,
        smallest_id=min(smallest),
        largest_id=max(largest),
        eod_tokens=sum(zeros),
        repeated_prefixes=int(np.count_nonzero(every[1:] == every[:-1])),
    )
