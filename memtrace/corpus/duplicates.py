"""How often each 64-token prefix occurs in a corpus, and where first and last: out of core.

Prefixes are compared by 128 bits of hash: among the Pile's 146 million the odds of one false match
are 1 to 10^22.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.prefix_pack import PACK_TOKENS, ROWS_PER_FILE
from memtrace.corpus.rows import Tokens
from memtrace.errors import CorpusError
from memtrace.storage.prefetch import READERS, chunks, prefetch
from memtrace.storage.problems import write_problem
from memtrace.storage.store import replace_atomically

Words = npt.NDArray[np.uint64]

MULTIPLICITY_SCHEMA = pl.Schema(
    {
        "sequence_index": pl.UInt64,
        "multiplicity": pl.UInt32,
        "first_index": pl.UInt64,
        "last_index": pl.UInt64,
    }
)
_IN_MEMORY = 1 << 22  # records sorted at a time: 100 MB, and about four times that while sorting
# Two multipliers that are odd and have no pattern, and two starts: the fractions of pi.
_STARTS = np.array([0x243F6A8885A308D3, 0x13198A2E03707344], np.uint64)
_FACTORS = np.array([0xA4093822299F31D1, 0x082EFA98EC4E6C89], np.uint64)


def hash_prefixes(tokens: Tokens) -> Words:
    """Return 128 bits for each row of `tokens`, `(n, 2)`: equal rows, equal bits.

    Not for adversaries: who knows the constants can make two rows collide.
    """
    raw = np.ascontiguousarray(tokens).view(np.uint8)
    padded = np.pad(raw, ((0, 0), (0, -raw.shape[1] % 8)))
    words = np.ascontiguousarray(padded.view("<u8").T)
    hashes = np.tile(_STARTS[:, None], len(tokens))
    # Two words of zeros at the end spread the last bits over all others.
    for word in (*words, np.uint64(0), np.uint64(0)):
        hashes ^= word
        hashes *= _FACTORS[:, None]
        hashes ^= hashes >> np.uint64(32)
    return np.ascontiguousarray(hashes.T)


def write_multiplicity(
    corpus: Corpus,
    output: Path,
    *,
    rows_per_file: int = ROWS_PER_FILE,
    in_memory: int = _IN_MEMORY,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write a table of `MULTIPLICITY_SCHEMA`, one row a sequence, in Parquet files in row order.

    It joins with scores on `sequence_index`. The corpus is read once; records of 24 bytes a row
    are kept on disk, beside the output, meanwhile.

    Args:
        corpus: The rows, or their prefix pack.
        output: Folder of the table.
        rows_per_file: Rows in a file of the table.
        in_memory: Records sorted at a time.
        on_progress: Called with the number of rows read since the last call.

    Raises:
        CorpusError: The corpus cannot be read or the folder cannot be written.
    """
    scratch = output / ".buckets"
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        buckets = _spread(corpus, scratch, in_memory, on_progress)
        for bucket in buckets:
            _append(scratch, "range", _repeated(bucket), lambda found: found[:, 0] // rows_per_file)
        for number, start in enumerate(range(0, len(corpus), rows_per_file)):
            stop = min(start + rows_per_file, len(corpus))
            table = _table(start, stop, _load(scratch / f"range-{number}", 4))
            count = -(-len(corpus) // rows_per_file)
            path = output / f"multiplicity-{number:05d}-of-{count:05d}.parquet"
            replace_atomically(path, _writer(table, corpus), option="--output", raises=CorpusError)
    except OSError as error:
        room = f"; it takes 24 bytes for each of the {len(corpus)} rows, and the table"
        raise CorpusError(write_problem(output, error, "--output") + room) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def scan_multiplicity(folder: Path) -> pl.LazyFrame:
    """Return the table that `write_multiplicity` wrote, lazily."""
    return pl.scan_parquet(sorted(folder.glob("multiplicity-*.parquet")))


def count_repeated(folder: Path) -> dict[str, int]:
    """Return how many `sequences`, `distinct` and `repeated` ones there are, and the `largest`."""
    multiplicity, index = pl.col("multiplicity"), pl.col("sequence_index")
    found = scan_multiplicity(folder).select(
        sequences=pl.len(),
        distinct=(pl.col("first_index") == index).sum(),
        repeated=(multiplicity > 1).sum(),
        largest=multiplicity.max(),
    )
    row = found.collect(engine="streaming").row(0, named=True)
    return {name: int(value) for name, value in row.items()}


def _spread(
    corpus: Corpus, scratch: Path, in_memory: int, on_progress: Callable[[int], None]
) -> Iterator[Words]:
    """Write records `hash, hash, index` to buckets by hash; return each bucket's, `(n, 3)`."""
    tokens = min(PACK_TOKENS, corpus.row_tokens)
    bits = max(0, (len(corpus) // in_memory).bit_length())

    def read(chunk: tuple[int, int]) -> Words:
        hashes = hash_prefixes(corpus.read(*chunk, tokens))
        return np.column_stack((hashes, np.arange(*chunk, dtype=np.uint64)))

    for records in prefetch(read, chunks(0, len(corpus)), READERS):
        # Shifting 64 bits by 64 is undefined; two shifts are not.
        _append(scratch, "hash", records, lambda r: r[:, 0] >> np.uint64(63 - bits) >> np.uint64(1))
        on_progress(len(records))
    return (_load(scratch / f"hash-{number}", 3) for number in range(1 << bits))


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


def _repeated(records: Words) -> Words:
    """Return `index, multiplicity, first, last` of each record whose hash is not alone."""
    ordered = records[np.lexsort(records.T[::-1])]
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:, :2] != ordered[:-1, :2]).any(axis=1)
    begins = np.flatnonzero(new)
    counts = np.diff(begins, append=len(ordered))
    index = ordered[:, 2]
    groups = np.column_stack((counts, index[begins], index[begins + counts - 1])).astype(np.uint64)
    found = np.column_stack((index, np.repeat(groups, counts, axis=0)))
    return found[found[:, 1] > 1]


def _table(start: int, stop: int, repeated: Words) -> pl.DataFrame:
    index = np.arange(start, stop, dtype=np.uint64)
    columns = np.column_stack((index, np.ones_like(index), index, index))
    columns[repeated[:, 0].astype(np.int64) - start] = repeated
    return pl.DataFrame(
        dict(zip(MULTIPLICITY_SCHEMA, columns.T, strict=True)), schema=MULTIPLICITY_SCHEMA
    )


def _writer(table: pl.DataFrame, corpus: Corpus) -> Callable[[Path], None]:
    metadata = {
        "schema_version": "1",
        "corpus_digest": corpus.digest,
        "prefix_tokens": str(min(PACK_TOKENS, corpus.row_tokens)),
    }

    def write(path: Path) -> None:
        with path.open("wb") as file:
            table.write_parquet(file, compression="zstd", metadata=metadata)

    return write
