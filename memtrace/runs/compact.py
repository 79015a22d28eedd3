"""Merge the score files of a finished run into one, and prove it equal before the parts go.

It knows score files; it decides nothing and reads no corpus.

Killed at any moment, nothing is lost and no row is read twice: the merged file gets its name when
it is complete, on disk and compared with the parts, and readers prefer it to parts that are still
there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from memtrace.errors import RunError
from memtrace.runs.run import Run
from memtrace.runs.scores import extent, read_metadata
from memtrace.storage.checksum import BLANK_CHECKSUM, CHECKSUM_KEY, write_checksum
from memtrace.storage.store import remove, replace_atomically, source, sources


@dataclass(frozen=True)
class Compaction:
    """What merging a run has done."""

    parts: int
    """Files merged; 0 where they had been merged before."""
    bytes_before: int
    bytes_after: int


def compact(run: Run) -> Compaction:
    """Merge the shards of a finished run into one Parquet file, and delete them.

    Repeating it finishes what was interrupted; a run that is compact already is left as it is.

    Raises:
        RunError: The run is not finished, a file is damaged, or the folder cannot be written.
    """
    try:
        return _compact(run)
    except OSError as error:  # also where another process merges the same run
        raise RunError(
            f"cannot merge {run.folder}: {error.strerror or error}; no scores are lost: repeat the "
            "command"
        ) from error


def _compact(run: Run) -> Compaction:
    there = run.file_names()
    paths = [run.path(shard) for shard in run.shards() if shard.file_name in there]
    before = sum(path.stat().st_size for path in paths)
    if not run.is_merged():
        if left := len(run.shards_left()):
            raise RunError(
                f"{run.label} is not finished ({left} shards are left): {run.command}, then repeat"
            )
        if not paths:
            return Compaction(0, 0, 0)
        metadata = _shared_metadata(paths)
        replace_atomically(run.merged_path, lambda path: _merge(paths, path, metadata))
    elif not paths:
        before = run.merged_path.stat().st_size
    # Read again under its final name: only what is certainly there replaces the parts.
    if not run.is_merged():
        raise RunError(f"{run.merged_path} is damaged; its parts are kept: repeat the command")
    for path in paths:
        remove(path)
    return Compaction(len(paths), before, run.merged_path.stat().st_size)


def _merge(paths: Sequence[Path], target: Path, metadata: Mapping[str, str]) -> None:
    with target.open("wb") as file:
        pl.scan_parquet(sources(paths)).sink_parquet(
            file, compression="zstd", metadata={**metadata, CHECKSUM_KEY: BLANK_CHECKSUM}
        )
    write_checksum(target)
    _compare(paths, target, metadata)


def _compare(paths: Sequence[Path], merged: Path, metadata: Mapping[str, str]) -> None:
    """Compare the merged file with its parts, row by row.

    Raises:
        RunError: They differ.
    """
    found, done = read_metadata(merged), 0
    if found is None or not metadata.items() <= found.items():
        raise RunError(f"{merged} is not what was written into it; its parts are kept")
    rows = pl.scan_parquet(merged)
    for path in paths:
        part = pl.read_parquet(source(path))
        if not rows.slice(done, part.height).collect().equals(part):
            raise RunError(f"{merged} differs from {path}, which is kept with all other parts")
        done += part.height
    if rows.select(pl.len()).collect().item() != done:
        raise RunError(f"{merged} has not the {done} rows of its parts, which are kept")


def _shared_metadata(paths: Sequence[Path]) -> dict[str, str]:
    """Return what the parts say of themselves; versions that took part are all named."""
    every = [found for path in paths if (found := read_metadata(path))]
    if len(every) < len(paths):
        raise RunError(f"{paths[0].parent} is being changed by another process: repeat the command")
    versions = sorted({each["memtrace_version"] for each in every})
    dropped = (CHECKSUM_KEY, "ARROW:schema")  # of the file, not of the scores
    filled = [each["sequences"].split(":") for each in every if each["rows"] != "0"]
    start, stop = (filled[0][0], filled[-1][1]) if filled else (0, 0)
    rows = extent(start, stop, sum(int(each["rows"]) for each in every))
    first = {key: value for key, value in every[0].items() if key not in dropped}
    return {**first, "memtrace_version": ", ".join(versions), **rows}
