"""How often each sequence occurs in a corpus, and where first and last: out of core.

    duplicates-00017-of-00143.parquet   sequence_index, duplicate_count, first_index, last_index
    copies-00017-of-00143.parquet       the repeated sequences alone, see `copies`
    near-copies.parquet                 the texts that share their continuation with another

Sequences are the first 64 tokens of each row, unless told, compared by 128 bits of hash; their
continuation is the second half of them, unless told.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.copies import (
    Copies,
    copies_metadata,
    group_rows,
    ordered_pairs,
    sequence_tokens,
    write_copies,
    write_near_copies,
)
from memtrace.corpus.corpus import Corpus
from memtrace.corpus.hashes import Words, hash_rows
from memtrace.corpus.prefix_pack import ROWS_PER_FILE
from memtrace.errors import CorpusError
from memtrace.storage.prefetch import READERS, chunks, prefetch
from memtrace.storage.problems import write_problem
from memtrace.storage.tables import write_table

SCHEMA = pl.Schema(
    {
        "sequence_index": pl.UInt64,
        "duplicate_count": pl.UInt32,
        "first_index": pl.UInt64,
        "last_index": pl.UInt64,
    }
)
_IN_MEMORY = 1 << 22  # records sorted at a time: 134 MB, and about four times that while sorting


def write_duplicates(
    corpus: Corpus,
    output: str | Path,
    *,
    prompt_tokens: int | None = None,
    continuation_tokens: int | None = None,
    offset: int = 0,
    rows_per_file: int = ROWS_PER_FILE,
    in_memory: int = _IN_MEMORY,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write a table of `SCHEMA`, one row a sequence in order, and those that `copies` reads.

    The first joins with scores on `sequence_index`. The corpus is read once; records of 32 bytes a
    row are kept on disk, beside the output, meanwhile.

    Args:
        corpus: The rows, or their prefix pack.
        output: Folder of the table.
        prompt_tokens: Tokens of a sequence before its continuation; by default 32, or half of the
            tokens of shorter rows.
        continuation_tokens: Those after them; likewise.
        offset: Tokens of a row before its sequence.
        rows_per_file: Rows in a file of the table.
        in_memory: Records sorted at a time.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        CorpusError: The corpus cannot be read, its rows do not hold the sequences, or the folder
            cannot be written.
    """
    output = Path(output)
    scratch = output / ".buckets"
    count = -(-len(corpus) // rows_per_file)
    usual = sequence_tokens(corpus)
    prompt = prompt_tokens or usual // 2
    tokens = prompt + (continuation_tokens or usual - usual // 2)
    corpus.check_tokens(tokens, offset)
    whole = corpus.digest, len(corpus), tokens, prompt
    metadata = copies_metadata(*whole, offset)
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        none = np.empty(0, np.int64)
        passages = [np.empty((0, 2), np.uint64)]
        for bucket in _spread(corpus, (tokens, prompt, offset), scratch, in_memory, on_progress):
            repeated, near = group_rows(bucket)
            passages.append(near)
            _append(scratch, "range", repeated, lambda found: found[:, 0] // rows_per_file)
            _append(scratch, "text", repeated[:, [2, 0]], lambda pair: pair[:, 0] // rows_per_file)
        tables = ("duplicates-*.parquet", "*copies*.parquet", "similar.parquet")
        for stale in (path for name in tables for path in output.glob(name)):
            stale.unlink()
        for number in range(count):
            start, stop = number * rows_per_file, min((number + 1) * rows_per_file, len(corpus))
            table = _table(start, stop, _load(scratch / f"range-{number}", 4))
            path = output / f"duplicates-{number:05d}-of-{count:05d}.parquet"
            write_table(path, table, metadata, option="--output", raises=CorpusError)
            pairs = ordered_pairs(_load(scratch / f"text-{number}", 2)).astype(np.int64)
            write_copies(output, number, count, Copies(*whole, *pairs.T, offset=offset))
        passage, name = ordered_pairs(np.concatenate(passages)).astype(np.int64).T
        write_near_copies(output, Copies(*whole, none, none, name, passage, offset=offset))
    except OSError as error:
        room = f"; it takes 32 bytes for each of the {len(corpus)} rows, and the table"
        raise CorpusError(write_problem(output, error, "--output") + room) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def scan_duplicates(folder: str | Path) -> pl.LazyFrame:
    """Return the table that `write_duplicates` wrote, lazily.

    Raises:
        CorpusError: There is none.
    """
    if not (files := sorted(Path(folder).glob("duplicates-*.parquet"))):
        raise CorpusError(
            f"{folder} has no table of duplicates: make it with "
            f"`memtrace corpus duplicates CORPUS --output {folder}`"
        )
    return pl.scan_parquet(files)


def count_repeated(folder: str | Path) -> dict[str, int]:
    """Return how many `sequences`, `distinct` and `repeated` ones there are, and the `largest`."""
    count, index = pl.col("duplicate_count"), pl.col("sequence_index")
    found = scan_duplicates(folder).select(
        sequences=pl.len(),
        distinct=(pl.col("first_index") == index).sum(),
        repeated=(count > 1).sum(),
        largest=count.max(),
    )
    row = found.collect(engine="streaming").row(0, named=True)
    return {name: int(value) for name, value in row.items()}


def _spread(
    corpus: Corpus,
    sequence: tuple[int, int, int],
    scratch: Path,
    in_memory: int,
    on_progress: Callable[[int], None],
) -> Iterator[Words]:
    """Write records to buckets by the hash of the continuation; return each bucket's, `(n, 4)`."""
    bits = max(0, (len(corpus) // in_memory).bit_length())

    def read(chunk: tuple[int, int]) -> Words:
        return hash_rows(corpus, chunk, *sequence)

    for records in prefetch(read, chunks(0, len(corpus)), READERS):
        # Shifting 64 bits by 64 is undefined; two shifts are not.
        _append(scratch, "hash", records, lambda r: r[:, 0] >> np.uint64(63 - bits) >> np.uint64(1))
        on_progress(len(records))
    return (_load(scratch / f"hash-{number}", 4) for number in range(1 << bits))


def _append(
    scratch: Path, kind: str, records: Words, place: Callable[[Words], npt.NDArray[np.integer]]
) -> None:
    """Append each record to the file of the number that `place` gives it."""
    numbers = place(records).astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    edges = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    for rows in np.split(order, edges[1:]) if len(order) else []:
        with (scratch / f"{kind}-{numbers[rows[0]]}").open("ab") as file:
            records[rows].tofile(file)


def _load(path: Path, width: int) -> Words:
    if not path.exists():
        return np.empty((0, width), np.uint64)
    return np.fromfile(path, np.uint64).reshape(-1, width)


def _table(start: int, stop: int, repeated: Words) -> pl.DataFrame:
    index = np.arange(start, stop, dtype=np.uint64)
    columns = np.column_stack((index, np.ones_like(index), index, index))
    columns[repeated[:, 0].astype(np.int64) - start] = repeated
    return pl.DataFrame(dict(zip(SCHEMA, columns.T, strict=True)), schema=SCHEMA)
