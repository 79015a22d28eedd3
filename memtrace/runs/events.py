"""The events of a run: its memorized sequences, the hashes of their texts, and what was scanned.

    RUN/events.parquet       sequence_index UInt64 (ascending), text_hash UInt64

It is written when a run is complete, has the checksum and the metadata of a score file, and says
what was scanned. Statistics read it in place of scores that are a hundred times as large. It is
derived: where it is missing, damaged or another run's, it is made again from the scores.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.corpus import Corpus, Tokens
from memtrace.corpus.duplicates import hash_prefixes
from memtrace.errors import DataWarning, FitError, RunError
from memtrace.runs.integrity import ValidScores, foreign_key
from memtrace.runs.run import Run
from memtrace.runs.scores import write_table
from memtrace.storage.checksum import is_intact
from memtrace.storage.prefetch import CHUNK_ROWS, READERS, prefetch
from memtrace.storage.store import list_names
from memtrace.types import Int64Array

FILE_NAME = "events.parquet"
SCHEMA = pl.Schema({"sequence_index": pl.UInt64, "text_hash": pl.UInt64})
SAMPLED = "sample"
"""In place of ranges: the rows that the sample of the configuration draws."""
NO_CORPUS = "null: made again from scores, without the corpus; repeat the scan to have it"
REMOTE = "null: the corpus is remote; repeat the scan with a local copy or a prefix pack to have it"
UNKNOWN_CORPUS = "null: imported without a corpus; import with --corpus to have it"
HASHED = "hash_texts of the prompt and the continuation"
MOST_RANGES = 1000
"""Scanned ranges that fit into the metadata; with more of them the file is not written."""

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Events:
    """The memorized sequences of a run and what was scanned."""

    sequence_index: npt.NDArray[np.integer]
    """Index of each memorized sequence, ascending, shape (n,)."""
    scanned: Int64Array
    """Half-open ranges of indices that were scanned, ascending and disjoint, shape (r, 2)."""
    text_hash: Hashes | None = None
    """64-bit hash of the text of each, shape (n,); None where it is not known, or was not read."""
    note: str = NO_CORPUS
    """What the hashes are of, or why there are none."""

    @property
    def scanned_sequences(self) -> int:
        """Return how many sequences were scanned."""
        return int(np.diff(self.scanned, axis=1).sum())

    def scanned_rows(self) -> Int64Array:
        """Return the index of every scanned sequence, ascending."""
        return _rows_in(self.scanned)

    def between(self, start: int, stop: int) -> tuple[Int64Array, npt.NDArray[np.bool_]]:
        """Return which sequences of [start, stop) were scanned, and which of these memorized.

        Returns:
            Their indices minus `start`, ascending, and a mask of them. The first may be shared:
            it is not to be written to.
        """
        # Of the same type: else all of the index would be copied.
        ends = np.array([start, stop], self.sequence_index.dtype)
        low, high = np.searchsorted(self.sequence_index, ends)
        events = self.sequence_index[low:high].astype(np.int64) - start
        first = np.searchsorted(self.scanned[:, 1], start, side="right")
        last = np.searchsorted(self.scanned[:, 0], stop, side="left")
        inside = np.clip(self.scanned[first:last], start, stop) - start
        if inside.tolist() == [[0, stop - start]]:  # all of it, as nearly always
            rows, places = _first_rows(stop - start), events
        else:
            rows = _rows_in(inside)
            places = np.searchsorted(rows, events)
        memorized = np.zeros(len(rows), bool)
        memorized[places] = True
        return rows, memorized

    def count(self, exposed_rows: int) -> dict[str, int]:
        """Return how many sequences were scanned and memorized, exposed and unexposed.

        Returns:
            `sequences`, `memorized` (both exposed), `unexposed_sequences`, `unexposed_memorized`.
        """
        sequences = int(np.diff(np.minimum(self.scanned, exposed_rows), axis=1).sum())
        memorized = int(np.searchsorted(self.sequence_index, exposed_rows))
        return {
            "sequences": sequences,
            "memorized": memorized,
            "unexposed_sequences": self.scanned_sequences - sequences,
            "unexposed_memorized": len(self.sequence_index) - memorized,
        }


def hash_texts(tokens: Tokens) -> Hashes:
    """Return the hash of each text: the first 64 bits of `hash_prefixes` of its ids as uint32.

    It is the same on every machine and for every type in which a corpus stores its ids.

    Args:
        tokens: Token ids below 2^32, shape (n, k + l).

    Returns:
        Shape (n,).
    """
    return hash_prefixes(np.ascontiguousarray(tokens, dtype="<u4"))[:, 0]


def find_events(scores: pl.LazyFrame, continuation_tokens: int) -> Events:
    """Find the events in a score table, read as a stream: memory grows with events and gaps only.

    Raises:
        FitError: Indices are not ascending and unique, or more tokens match than there are.
    """
    index, matched = pl.col("sequence_index").cast(pl.Int64), pl.col("matched_tokens")
    # Two streams: collected together, the shared columns would be held in memory.
    hits = (
        scores.filter(matched >= continuation_tokens)
        .select(index, matched)
        .collect(engine="streaming")
    )
    gaps = (
        scores.select(index, before=index.shift(1))
        .filter(pl.col("before").is_null() | (pl.col("sequence_index") - pl.col("before") != 1))
        .collect(engine="streaming")
    )
    rows = scores.select(pl.len()).collect(engine="streaming").item()
    if excess := (hits["matched_tokens"] > continuation_tokens).sum():
        raise FitError(
            f"{excess} sequences match more than {continuation_tokens} tokens; pass the "
            "continuation_tokens with which they were scanned"
        )
    return Events(hits["sequence_index"].to_numpy(), _ranges_from_gaps(gaps, rows))


def read_events(run: Run, *, hashes: bool = False) -> Events:
    """Return the events of a run: from `events.parquet`, else from the scores that are done.

    Where the run is complete, the file that was missing is written again, if that is possible.

    Args:
        run: The run.
        hashes: Also read the hashes of the texts, which are most of the file.

    Raises:
        RunError: The folder cannot be read, or score files of another run lie there.
        FitError: As `find_events`.
    """
    if (found := _read(run, hashes)) is not None:
        return found
    scores = run.valid_scores()
    events = find_events(scores.scan(), run.continuation_tokens)
    if not scores.left:
        # A folder that only can be read is read from its scores each time.
        try:
            _write(run, events)
        except RunError:
            return events
    return events


def write_events(run: Run, scores: ValidScores, corpus: Corpus | None) -> None:
    """Write `events.parquet` of a complete run.

    Args:
        run: A run of which no shard is left.
        scores: Its score files.
        corpus: Where the texts of its sequences are; None where it is not at hand.

    Raises:
        CorpusError: The corpus cannot be read.
        RunError: The file cannot be written.
        FitError: As `find_events`.
    """
    found, hashes = find_events(scores.scan(), run.continuation_tokens), None
    note = UNKNOWN_CORPUS if corpus is None else REMOTE if corpus.remote else HASHED
    if corpus is not None and note == HASHED:
        tokens = run.prompt_tokens + run.continuation_tokens
        hashes = _hash_rows(corpus, found.sequence_index, tokens)
    _write(run, replace(found, text_hash=hashes, note=note))


def are_events_written(run: Run, corpus: Corpus) -> bool:
    """Return whether `events.parquet` is there and intact, with the hashes that a corpus gives."""
    found = _read(run, hashes=False)
    return found is not None and (found.note == HASHED or corpus.remote)


def is_finished(run: Run) -> bool:
    """Return whether all of a run is done, by the names of its files; reads none."""
    return FILE_NAME in list_names(run.folder) or not run.shards_missing()


@lru_cache(maxsize=2)
def _first_rows(n: int) -> Int64Array:
    """Return 0, 1, ..., n - 1, once for all blocks and checkpoints."""
    rows = np.arange(n)
    rows.flags.writeable = False
    return rows


def _rows_in(ranges: Int64Array) -> Int64Array:
    """Return every index in half-open ranges, in order, shape (rows,)."""
    lengths = np.diff(ranges, axis=1).ravel()
    first = np.repeat(ranges[:, 0] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    return first + np.arange(len(first))


def _ranges_of(rows: Int64Array) -> Int64Array:
    """Return the half-open ranges that ascending rows make, shape (r, 2)."""
    if not len(rows):
        return np.empty((0, 2), np.int64)
    ends = np.flatnonzero(np.diff(rows) != 1)
    start, stop = rows[np.append(0, ends + 1)], rows[np.append(ends, len(rows) - 1)] + 1
    return np.column_stack((start, stop)).astype(np.int64)


def _hash_rows(corpus: Corpus, rows: npt.NDArray[np.integer], tokens: int) -> Hashes:
    parts = [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]
    hashes = prefetch(lambda part: hash_texts(corpus.take(part, tokens)), parts, READERS)
    return np.concatenate([np.empty(0, np.uint64), *hashes])


def _write(run: Run, events: Events) -> None:
    scanned = _scanned_text(run, events)
    if scanned is None:
        return
    table = pl.DataFrame(
        {"sequence_index": events.sequence_index, "text_hash": events.text_hash}, schema=SCHEMA
    )
    metadata = {
        **run.configuration.metadata(),
        "scanned_ranges": scanned,
        "scanned_sequences": str(events.scanned_sequences),
        "memorized_sequences": str(len(events.sequence_index)),
        "text_hash": events.note,
    }
    write_table(run.folder / FILE_NAME, table, metadata)


def _scanned_text(run: Run, events: Events) -> str | None:
    """Return the scanned ranges as the metadata have them, None where they are too many."""
    if run.configuration.sample is not None:
        return SAMPLED
    if len(events.scanned) > MOST_RANGES:
        return None
    return ",".join(f"{start}:{stop}" for start, stop in events.scanned.tolist())


def _read(run: Run, hashes: bool) -> Events | None:
    """Return what `events.parquet` says, None where there is none of this run."""
    if FILE_NAME not in list_names(run.folder):
        return None
    path = run.folder / FILE_NAME
    try:
        content = BytesIO(path.read_bytes())  # read once: hashed, then parsed
        if not is_intact(content):
            raise ValueError("not the bytes that were written")
        metadata = pl.read_parquet_metadata(content)
        if foreign_key(metadata, run.configuration.metadata()):
            return None
        if pl.read_parquet_schema(content) != SCHEMA:
            return None
        table = pl.read_parquet(content, columns=SCHEMA.names()[: 1 + hashes])
        return _checked(run, table, metadata)
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        _warn(path, error)
        return None


def _checked(run: Run, table: pl.DataFrame, metadata: Mapping[str, str]) -> Events | None:
    """Return the events, None where they are not those of all that the run scans."""
    c = run.configuration
    index = table["sequence_index"].to_numpy().view(np.int64)  # no copy: none reaches 2^63
    note = metadata["text_hash"]
    known = note == HASHED and "text_hash" in table.columns
    hashes = table["text_hash"].to_numpy() if known else None
    events = Events(index, _scanned(run, metadata), hashes, note)
    sequences = events.scanned_sequences
    planned = sequences == c.sequences or "import" in run.record
    inside = not sequences or (c.start <= events.scanned[0, 0] and events.scanned[-1, 1] <= c.stop)
    counted = str(sequences) == metadata["scanned_sequences"] and sequences <= c.sequences
    return events if planned and inside and counted else None


def _scanned(run: Run, metadata: Mapping[str, str]) -> Int64Array:
    c = run.configuration
    if metadata["scanned_ranges"] == SAMPLED and c.sample is not None:
        return _ranges_of(c.sample.rows(c.start, c.stop))
    ranges = [part.split(":") for part in metadata["scanned_ranges"].split(",") if part]
    return np.array(ranges, np.int64).reshape(-1, 2)


def _warn(path: Path, error: Exception) -> None:
    warnings.warn(
        f"{path} cannot be used ({error}): events are read from the scores",
        DataWarning,
        stacklevel=4,
    )


def _ranges_from_gaps(gaps: pl.DataFrame, rows: int) -> Int64Array:
    """Turn the first row after each gap, the row before it and their number into ranges."""
    if rows == 0:
        return np.empty((0, 2), dtype=np.int64)
    start = gaps["sequence_index"].to_numpy()
    before = gaps["before"].to_numpy()[1:].astype(np.int64)
    disorder = np.flatnonzero(start[1:] <= before)
    if len(disorder):
        here, there = start[1:][disorder[0]], before[disorder[0]]
        raise FitError(
            f"sequence_index {here} follows {there}; scores must be ascending and unique, "
            "so sort them and drop repeated rows"
        )
    others = int((before + 1 - start[:-1]).sum())
    ranges: Int64Array = np.column_stack((start, np.append(before + 1, start[-1] + rows - others)))
    return ranges
