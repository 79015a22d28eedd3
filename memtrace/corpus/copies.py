"""The sequences of a corpus that occur more than once, and the texts that are near-copies.

    copies-00017-of-00143.parquet     first_index, sequence_index (ascending by both)
    near-copies.parquet               passage_index, first_index (ascending by both)

A text is named by the index of its first copy. A sequence that is in no table of copies is the only
one of its text. Texts that share a continuation after different prompts are near-copies of one
passage, which is named by its first sequence. Of a small corpus the tables are made when they are
needed, and kept in the user's cache.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
NEAR_SCHEMA = pl.Schema({"passage_index": pl.UInt64, "first_index": pl.UInt64})
SMALL_ROWS = 2_000_000
"""Rows of a corpus whose copies are found in memory, in seconds."""
CACHE = "MEMTRACE_CACHE"
"""Environment variable that names the cache folder; by default that of the user's system."""
_NAMES = "copies-*-of-*.parquet"
_NEAR = "near-copies.parquet"


def _none() -> Int64Array:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Copies:
    """Every sequence whose text occurs more than once in a corpus."""

    corpus_digest: str
    corpus_rows: int
    """Rows of the whole corpus."""
    tokens: int
    """Tokens that make a text."""
    prompt_tokens: int
    """Those before the continuation."""
    first_index: Int64Array
    """Name of the text of each, ascending, shape (n,)."""
    sequence_index: Int64Array
    """Index of each, ascending within a text, shape (n,)."""
    near_text: Int64Array = field(default_factory=_none)
    """Name of each text whose continuation another text has too, shape (f,)."""
    near_passage: Int64Array = field(default_factory=_none)
    """First sequence with that continuation, ascending, shape (f,)."""
    offset: int = field(default=0, kw_only=True)
    """Tokens of a row before its text."""

    @property
    def sequence(self) -> tuple[int, int, int]:
        """Return which tokens of a row were compared: `tokens`, `prompt_tokens`, `offset`."""
        return self.tokens, self.prompt_tokens, self.offset


def sequence_tokens(corpus: Corpus) -> int:
    """Return how many leading tokens of a row make a text: as many as a prefix pack has."""
    return min(PACK_TOKENS, corpus.row_tokens)


def find_copies(
    corpus: Corpus,
    tokens: int,
    prompt_tokens: int,
    offset: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Copies:
    """Compare `tokens` tokens of all rows from `offset` on, in memory: 64 bytes a row.

    Raises:
        CorpusError: The corpus cannot be read.
    """

    def read(chunk: tuple[int, int]) -> Words:
        return hash_rows(corpus, chunk, tokens, prompt_tokens, offset)

    parts = []
    for records in prefetch(read, chunks(0, len(corpus)), READERS):
        parts.append(records)
        on_progress(len(records))
    repeated, near = group_rows(np.concatenate(parts))
    pairs = *ordered_pairs(repeated[:, [2, 0]]).T, *ordered_pairs(near).T[::-1]
    columns = (column.astype(np.int64) for column in pairs)
    found = Copies(corpus.digest, len(corpus), tokens, prompt_tokens, *columns)
    return replace(found, offset=offset)


def small_copies(corpus: Corpus, tokens: int, prompt_tokens: int, offset: int = 0) -> Copies:
    """Return the copies of a small corpus: from the user's cache, else found and kept there.

    Args:
        corpus: A corpus of at most `SMALL_ROWS` rows.
        tokens: Tokens of a row that make a text.
        prompt_tokens: Those of them before the continuation.
        offset: Tokens of a row before its text.

    Raises:
        CorpusError: The corpus cannot be read.
    """
    sequence = tokens, prompt_tokens, offset
    if (kept := cached_copies(corpus.digest, *sequence)) is not None:
        return kept
    found = find_copies(corpus, *sequence)
    folder = _cache_folder(corpus.digest, *sequence)
    # A cache that cannot be written costs time and nothing else.
    try:
        write_near_copies(folder, found)
        write_copies(folder, 0, 1, found)
    except CorpusError as error:
        warnings.warn(f"copies are found again each time: {error}", DataWarning, stacklevel=2)
    return found


def cached_copies(
    corpus_digest: str, tokens: int, prompt_tokens: int, offset: int = 0
) -> Copies | None:
    """Return the copies that are in the user's cache, None where there are none or damaged ones."""
    key = corpus_digest, tokens, prompt_tokens, offset
    try:
        found = read_copies(_cache_folder(*key))
    except CorpusError:
        return None
    return found if (found.corpus_digest, *found.sequence) == key else None


def cache_folder() -> Path:
    """Return the user's cache folder: `MEMTRACE_CACHE`, else memtrace in that of the system."""
    if own := os.environ.get(CACHE):
        return Path(own)
    # The XDG Base Directory Specification: a path that is not absolute is ignored.
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()) / "memtrace"


def write_copies(folder: Path, number: int, count: int, copies: Copies) -> None:
    """Write file `number` of `count` of the table of repeated sequences.

    Raises:
        CorpusError: The folder cannot be written.
    """
    columns = copies.first_index, copies.sequence_index
    _write(folder / f"copies-{number:05d}-of-{count:05d}.parquet", SCHEMA, columns, copies)


def write_near_copies(folder: Path, copies: Copies) -> None:
    """Write the table of the texts that share a continuation.

    Raises:
        CorpusError: The folder cannot be written.
    """
    _write(folder / _NEAR, NEAR_SCHEMA, (copies.near_passage, copies.near_text), copies)


def read_copies(folder: Path) -> Copies:
    """Read the tables that `corpus duplicates` wrote, of the repeated sequences and near-copies.

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
    parts = [_read(file, SCHEMA) for file in files]
    of_near, near = _read(folder / _NEAR, NEAR_SCHEMA)
    metadata, tables = [part[0] for part in parts], [part[1] for part in parts]
    if any(other != metadata[0] for other in [*metadata, of_near]):
        raise CorpusError(f"{folder} has tables of different corpora: make one in a new folder")
    table, near = pl.concat(tables).cast(pl.Int64), near.cast(pl.Int64)
    return Copies(
        metadata[0]["corpus_digest"],
        int(metadata[0]["corpus_rows"]),
        int(metadata[0]["sequence_tokens"]),
        int(metadata[0]["prompt_tokens"]),
        table["first_index"].to_numpy(),
        table["sequence_index"].to_numpy(),
        near["first_index"].to_numpy(),
        near["passage_index"].to_numpy(),
        offset=int(metadata[0]["offset"]),
    )


def copies_metadata(
    corpus_digest: str, corpus_rows: int, tokens: int, prompt_tokens: int, offset: int = 0
) -> dict[str, str]:
    """Return what every file of a table of duplicates says of the corpus."""
    found = {
        "schema_version": "3",
        "corpus_digest": corpus_digest,
        "corpus_rows": str(corpus_rows),
        "sequence_tokens": str(tokens),
        "prompt_tokens": str(prompt_tokens),
    }
    return found | ({"offset": str(offset)} if offset else {})


def group_rows(records: Words) -> tuple[Words, Words]:
    """Group rows by text, and texts by continuation.

    Args:
        records: As `hash_rows` returns them: rows of one continuation are all there or none.

    Returns:
        `index, count, first, last` of each row whose text is not alone, shape (r, 4); passage and
        first index of each text whose continuation is not, shape (f, 2).
    """
    ordered = records[np.lexsort(records.T[::-1])]
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:, :3] != ordered[:-1, :3]).any(axis=1)
    begins = np.flatnonzero(new)
    counts = np.diff(begins, append=len(ordered))
    index = ordered[:, 3]
    groups = np.column_stack((counts, index[begins], index[begins + counts - 1])).astype(np.uint64)
    found = np.column_stack((index, np.repeat(groups, counts, axis=0)))
    return found[found[:, 1] > 1], _near(ordered[begins, 0], index[begins])


def _near(continuations: Words, names: Words) -> Words:
    """Return passage and name of the texts whose continuation, in order, is not the only one."""
    if not len(names):
        return np.empty((0, 2), np.uint64)
    new = np.ones(len(names), bool)
    new[1:] = continuations[1:] != continuations[:-1]
    begins = np.flatnonzero(new)
    counts = np.diff(begins, append=len(names))
    passages = np.repeat(np.minimum.reduceat(names, begins), counts)
    return np.column_stack((passages, names))[np.repeat(counts, counts) > 1]


def ordered_pairs(pairs: Words) -> Words:
    """Return pairs ordered by both columns, shape (n, 2)."""
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _cache_folder(corpus_digest: str, tokens: int, prompt_tokens: int, offset: int) -> Path:
    name = f"{corpus_digest.replace(' ', '-')}-{prompt_tokens}-{tokens}"
    name += f"-from-{offset}" if offset else ""
    return cache_folder() / "duplicates" / name


def _write(path: Path, schema: pl.Schema, columns: tuple[Int64Array, ...], of: Copies) -> None:
    table = pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=schema)
    metadata = copies_metadata(of.corpus_digest, of.corpus_rows, *of.sequence)
    write_table(path, table, metadata, option="--output", raises=CorpusError)


def _read(file: Path, schema: pl.Schema) -> tuple[dict[str, str], pl.DataFrame]:
    problem = f"{file} is damaged: delete it and repeat `memtrace corpus duplicates`"
    try:
        if not is_intact(file) or pl.read_parquet_schema(file) != schema:
            raise CorpusError(problem)
        metadata = pl.read_parquet_metadata(file)
        known = {key: metadata[key] for key in copies_metadata("", 0, 0, 0)}
        known["offset"] = metadata.get("offset", "0")
        return known, pl.read_parquet(file)
    except (OSError, KeyError, pl.exceptions.PolarsError) as error:
        raise CorpusError(f"{problem} ({first_line(error)})") from error
