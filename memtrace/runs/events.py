"""The events of a run: its memorized sequences, the hashes of their texts, and what was scanned.

    RUN/events.parquet       sequence_index UInt64 (ascending), text_hash UInt64

It is written when a run is complete, has the checksum and the metadata of a score file, and says
what was scanned. Statistics read it in place of scores that are a hundred times as large. It is
derived: where it is missing, damaged or another run's, it is made again from the scores.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.hashes import hash_prefixes
from memtrace.corpus.rows import Tokens
from memtrace.errors import DataWarning, RunError
from memtrace.runs.integrity import ValidScores, foreign_key
from memtrace.runs.memorized import Events, Hashes, find_events, ranges_of
from memtrace.runs.run import Run
from memtrace.storage.checksum import is_intact
from memtrace.storage.prefetch import CHUNK_ROWS, READERS, prefetch
from memtrace.storage.store import list_names
from memtrace.storage.tables import write_table
from memtrace.types import Int64Array

FILE_NAME = "events.parquet"
SCHEMA = pl.Schema({"sequence_index": pl.UInt64, "text_hash": pl.UInt64})
SAMPLED = "sample"
"""In place of ranges: the rows that the sample of the configuration draws."""
NO_CORPUS = "null: made again from scores, without the corpus; repeat the command of the run"
REMOTE = "null: the corpus is remote; repeat the scan with a local copy or a prefix pack to have it"
UNKNOWN_CORPUS = "null: imported without a corpus; import with --corpus to have it"
HASHED = "hash_texts of the prompt and the continuation"
MOST_RANGES = 1000
"""Scanned ranges that fit into the metadata; with more of them the file is not written."""


def hash_texts(tokens: Tokens) -> Hashes:
    """Return the hash of each text: the first 64 bits of `hash_prefixes` of its ids as uint32.

    It is the same on every machine and for every type in which a corpus stores its ids.

    Args:
        tokens: Token ids below 2^32, shape (n, k + l).

    Returns:
        Shape (n,).
    """
    return hash_prefixes(np.ascontiguousarray(tokens, dtype="<u4"))[:, 0]


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
    events = replace(_find(run, scores), note=NO_CORPUS)
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
    found, hashes = _find(run, scores), None
    note = UNKNOWN_CORPUS if corpus is None else REMOTE if corpus.remote else HASHED
    if corpus is not None and note == HASHED:
        hashes = _hash_rows(corpus, found.sequence_index, run)
    _write(run, replace(found, text_hash=hashes, note=note))


def are_events_written(run: Run, corpus: Corpus) -> bool:
    """Return whether `events.parquet` is there and intact, with the hashes that a corpus gives."""
    found = _read(run, hashes=False)
    return found is not None and (found.note == HASHED or corpus.remote)


def is_finished(run: Run) -> bool:
    """Return whether all of a run is done, by the names of its files; reads none."""
    return FILE_NAME in list_names(run.folder) or not run.shards_missing()


def _find(run: Run, scores: ValidScores) -> Events:
    """Find the events in scores that have been validated, or in the file that replaced them."""
    try:
        return find_events(scores.scan(), run.continuation_tokens)
    except FileNotFoundError:
        # Merged meanwhile, the parts are gone that were validated a moment ago.
        if (now := run.valid_scores([])).merged:
            return find_events(now.scan(), run.continuation_tokens)
        raise


def _hash_rows(corpus: Corpus, rows: npt.NDArray[np.integer], run: Run) -> Hashes:
    def read(part: npt.NDArray[np.integer]) -> Hashes:
        return hash_texts(corpus.take(part, run.sequence_tokens, run.offset))

    parts = [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]
    hashes = prefetch(read, parts, READERS)
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
        return ranges_of(c.sample.rows(c.start, c.stop))
    ranges = [part.split(":") for part in metadata["scanned_ranges"].split(",") if part]
    return np.array(ranges, np.int64).reshape(-1, 2)


def _warn(path: Path, error: Exception) -> None:
    warnings.warn(
        f"{path} cannot be used ({error}): events are read from the scores",
        DataWarning,
        stacklevel=4,
    )
