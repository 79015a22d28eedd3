"""The sequences of a corpus that occur more than once: each text's copies, in order.

    copies-00017-of-00143.parquet     first_index, sequence_index (ascending by both)

A text is named by the index of its first copy. A sequence that is in no such table is the only one
of its text. Of a small corpus the table is made when it is needed, and kept in the user's cache.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.hashes import Words, hash_rows
from memtrace.corpus.prefix_pack import PACK_TOKENS
from memtrace.errors import CorpusError, DataWarning, first_line
from memtrace.storage.checksum import is_intact
from memtrace.storage.prefetch import READERS, chunks, prefetch
from memtrace.storage.tables import write_table
from memtrace.types import Int64Array

SCHEMA = pl.Schema({"first_index": pl.UInt64, "sequence_index": pl.UInt64})
SMALL_ROWS = 2_000_000
"""Rows of a corpus whose copies are found in memory, in seconds."""
CACHE = "MEMTRACE_CACHE"
"""Environment variable that names the cache folder; by default that of the user's system."""
_NAMES = "copies-*-of-*.parquet"


@dataclass(frozen=True, eq=False)
class Copies:
    """Every sequence whose text occurs more than once in a corpus."""

    corpus_digest: str
    corpus_rows: int
    """Rows of the whole corpus."""
    tokens: int
    """Tokens that make a text."""
    first_index: Int64Array
    """Name of the text of each, ascending, shape (n,)."""
    sequence_index: Int64Array
    """Index of each, ascending within a text, shape (n,)."""


def sequence_tokens(corpus: Corpus) -> int:
    """Return how many leading tokens of a row make a text: as many as a prefix pack has."""
    return min(PACK_TOKENS, corpus.row_tokens)


def find_copies(
    corpus: Corpus, tokens: int, on_progress: Callable[[int], None] = lambda _: None
) -> Copies:
    """Compare the first `tokens` tokens of all rows, in memory: 48 bytes a row.

    Raises:
        CorpusError: The corpus cannot be read.
    """

    def read(chunk: tuple[int, int]) -> Words:
        return hash_rows(corpus, chunk, tokens)

    parts = []
    for records in prefetch(read, chunks(0, len(corpus)), READERS):
        parts.append(records)
        on_progress(len(records))
    repeated = repeated_rows(np.concatenate(parts))
    found = ordered_copies(repeated[:, [2, 0]])
    return Copies(corpus.digest, len(corpus), tokens, *found.T.astype(np.int64))


def small_copies(corpus: Corpus, tokens: int) -> Copies:
    """Return the copies of a small corpus: from the user's cache, else found and kept there.

    Args:
        corpus: A corpus of at most `SMALL_ROWS` rows.
        tokens: Leading tokens of a row that make a text.

    Raises:
        CorpusError: The corpus cannot be read.
    """
    if (kept := cached_copies(corpus.digest, tokens)) is not None:
        return kept
    found = find_copies(corpus, tokens)
    # A cache that cannot be written costs time and nothing else.
    try:
        write_copies(_cache_folder(corpus.digest, tokens), 0, 1, found)
    except CorpusError as error:
        warnings.warn(f"copies are found again each time: {error}", DataWarning, stacklevel=2)
    return found


def cached_copies(corpus_digest: str, tokens: int) -> Copies | None:
    """Return the copies that are in the user's cache, None where there are none or damaged ones."""
    folder = _cache_folder(corpus_digest, tokens)
    try:
        found = read_copies(folder)
    except CorpusError:
        return None
    return found if (found.corpus_digest, found.tokens) == (corpus_digest, tokens) else None


def cache_folder() -> Path:
    """Return the user's cache folder: `MEMTRACE_CACHE`, else memtrace in that of the system."""
    if own := os.environ.get(CACHE):
        return Path(own)
    # The XDG Base Directory Specification: a path that is not absolute is ignored.
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()) / "memtrace"


def write_copies(folder: Path, number: int, count: int, copies: Copies) -> None:
    """Write file `number` of `count` of the table.

    Raises:
        CorpusError: The folder cannot be written.
    """
    table = pl.DataFrame(
        {"first_index": copies.first_index, "sequence_index": copies.sequence_index}, schema=SCHEMA
    )
    path = folder / f"copies-{number:05d}-of-{count:05d}.parquet"
    metadata = copies_metadata(copies.corpus_digest, copies.corpus_rows, copies.tokens)
    write_table(path, table, metadata, option="--output", raises=CorpusError)


def read_copies(folder: Path) -> Copies:
    """Read the table that `corpus duplicates` wrote, of the repeated sequences alone.

    Raises:
        CorpusError: There is none, or a file of it is missing, damaged or of another corpus.
    """
    files = sorted(folder.glob(_NAMES))
    if not files or len(files) != int(files[0].stem.rpartition("-")[2]):
        have = f"{len(files)} files of a table of duplicates" if files else "no table of duplicates"
        raise CorpusError(
            f"{folder} has {have}: make it with "
            f"`memtrace corpus duplicates CORPUS --output {folder}`"
        )
    parts = [_read(file) for file in files]
    metadata, tables = [part[0] for part in parts], [part[1] for part in parts]
    if any(other != metadata[0] for other in metadata):
        raise CorpusError(f"{folder} has tables of different corpora: make one in a new folder")
    table = pl.concat(tables).cast(pl.Int64)
    return Copies(
        metadata[0]["corpus_digest"],
        int(metadata[0]["corpus_rows"]),
        int(metadata[0]["sequence_tokens"]),
        table["first_index"].to_numpy(),
        table["sequence_index"].to_numpy(),
    )


def copies_metadata(corpus_digest: str, corpus_rows: int, tokens: int) -> dict[str, str]:
    """Return what every file of a table of duplicates says of the corpus."""
    return {
        "schema_version": "2",
        "corpus_digest": corpus_digest,
        "corpus_rows": str(corpus_rows),
        "sequence_tokens": str(tokens),
    }


def repeated_rows(records: Words) -> Words:
    """Return `index, count, first, last` of each record whose hash is not alone.

    Args:
        records: Two halves of a hash and an index, shape (n, 3).

    Returns:
        Shape (r, 4).
    """
    ordered = records[np.lexsort(records.T[::-1])]
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:, :2] != ordered[:-1, :2]).any(axis=1)
    begins = np.flatnonzero(new)
    counts = np.diff(begins, append=len(ordered))
    index = ordered[:, 2]
    groups = np.column_stack((counts, index[begins], index[begins + counts - 1])).astype(np.uint64)
    found = np.column_stack((index, np.repeat(groups, counts, axis=0)))
    return found[found[:, 1] > 1]


def ordered_copies(pairs: Words) -> Words:
    """Return pairs of a text's name and a copy, ordered by both, shape (n, 2)."""
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _cache_folder(corpus_digest: str, tokens: int) -> Path:
    return cache_folder() / "duplicates" / f"{corpus_digest.replace(' ', '-')}-{tokens}"


def _read(file: Path) -> tuple[dict[str, str], pl.DataFrame]:
    problem = f"{file} is damaged: delete it and repeat `memtrace corpus duplicates`"
    try:
        if not is_intact(file) or pl.read_parquet_schema(file) != SCHEMA:
            raise CorpusError(problem)
        metadata = pl.read_parquet_metadata(file)
        known = {key: metadata[key] for key in copies_metadata("", 0, 0)}
        return known, pl.read_parquet(file)
    except (OSError, KeyError, pl.exceptions.PolarsError) as error:
        raise CorpusError(f"{problem} ({first_line(error)})") from error
