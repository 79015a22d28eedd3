"""Merge the score files of a finished run into one, and prove it equal before the parts go.

Killed at any moment, nothing is lost and no row is read twice: the merged file gets its name when
it is complete, on disk and compared with the parts, and readers prefer it to parts that are still
there. Of two processes that merge one run at once, one whose parts are gone goes on with the merged
file of the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from memtrace.errors import RunError
from memtrace.runs.integrity import ScoreFile, ValidScores
from memtrace.runs.run import Run
from memtrace.runs.scores import LIKELIHOOD_ERRORS, extent, read_metadata
from memtrace.storage.checksum import BLANK_CHECKSUM, CHECKSUM_KEY, write_checksum
from memtrace.storage.store import remove, replace_atomically


@dataclass(frozen=True)
class Compaction:
    """What merging a run has done."""

    parts: int
    """Files merged; 0 where they had been merged before."""
    bytes_before: int
    bytes_after: int


def compact(run: Run, scores: ValidScores | None = None) -> Compaction:
    """Merge the shards of a finished run into one Parquet file, and delete them.

    Repeating it finishes what was interrupted; a run that is compact already is left as it is.

    Args:
        run: A finished run.
        scores: Its score files, where they have been validated already.

    Raises:
        RunError: The run is not finished, a file is damaged, or the folder cannot be written.
    """
    try:
        return _compact(run, scores or run.valid_scores())
    except OSError as error:
        raise RunError(
            f"cannot merge {run.folder}: {error.strerror or error}; no scores are lost: repeat the "
            "command"
        ) from error


def _compact(run: Run, scores: ValidScores) -> Compaction:
    if left := len(scores.left):
        raise RunError(
            f"{run.label} is not finished ({left} shards are left): {run.command}, then repeat"
        )
    there = run.file_names()
    paths = [run.path(shard) for shard in run.shards() if shard.file_name in there]
    before = sum(map(_size, paths))
    if not scores.merged:
        if not scores.files:
            return Compaction(0, 0, 0)
        metadata = _shared_metadata(scores.files)
        try:
            replace_atomically(run.merged_path, lambda path: _merge(scores, path, metadata))
        except RunError:
            # Merged meanwhile by another process, the parts are gone that are read here.
            if (now := run.valid_scores([])).merged:
                return _compact(run, now)
            raise
        # Read again under its final name: only what is certainly there replaces the parts.
        if not run.valid_scores([]).merged:
            raise RunError(f"{run.merged_path} is damaged; its parts are kept: repeat the command")
    elif not paths:
        before = run.merged_path.stat().st_size
    for path in paths:
        remove(path)
    return Compaction(len(paths), before, run.merged_path.stat().st_size)


def _size(part: Path) -> int:
    """Return the size of a part in bytes, 0 where another process has deleted it meanwhile."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _merge(scores: ValidScores, target: Path, metadata: Mapping[str, str]) -> None:
    with target.open("wb") as file:
        pl.scan_parquet(scores.contents).sink_parquet(
            file, compression="zstd", metadata={**metadata, CHECKSUM_KEY: BLANK_CHECKSUM}
        )
    write_checksum(target)
    _compare(scores.files, target, metadata)


def _compare(parts: Sequence[ScoreFile], merged: Path, metadata: Mapping[str, str]) -> None:
    """Compare the merged file with its parts, row by row.

    Raises:
        RunError: They differ.
    """
    found, done = read_metadata(merged), 0
    if found is None or not metadata.items() <= found.items():
        raise RunError(f"{merged} is not what was written into it; its parts are kept")
    rows = pl.scan_parquet(merged)
    for part in parts:
        table = pl.read_parquet(part.content)
        if not rows.slice(done, table.height).collect().equals(table):
            raise RunError(f"{merged} differs from {part.path}, which is kept with all other parts")
        done += table.height
    if rows.select(pl.len()).collect().item() != done:
        raise RunError(f"{merged} has not the {done} rows of its parts, which are kept")


def _shared_metadata(parts: Sequence[ScoreFile]) -> dict[str, str]:
    """Return what the parts say of themselves; versions that took part are all named."""
    every = [part.metadata for part in parts]
    versions = sorted({each["memtrace_version"] for each in every})
    dropped = (CHECKSUM_KEY, "ARROW:schema")  # of the file, not of the scores
    filled = [each["sequences"].split(":") for each in every if each["rows"] != "0"]
    start, stop = (filled[0][0], filled[-1][1]) if filled else (0, 0)
    rows = extent(start, stop, sum(int(each["rows"]) for each in every))
    first = {key: value for key, value in every[0].items() if key not in dropped}
    # Parts from several machines: what is said of the error holds for all of them.
    errors = {
        key: max((each[key] for each in every if key in each), key=float)
        for key in LIKELIHOOD_ERRORS
        if key in first
    }
    return {**first, "memtrace_version": ", ".join(versions), **errors, **rows}
