"""Validate score files: are they intact, of this run, and do they hold the expected rows?

A file is read and hashed once. What was found valid is a value (`ValidScores`) that is passed on,
so that nobody validates or downloads the same file again.
"""

import errno
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from memtrace.errors import DataWarning, RunError
from memtrace.runs.scores import SCHEMA, WITH_LIKELIHOOD, read_metadata, scan_scores
from memtrace.runs.shards import Shard
from memtrace.storage.problems import read_problem
from memtrace.storage.store import source

_GONE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_LEFT_OUT = {"offset": "0"}  # of the metadata, where it is usual
_READERS = 8  # hashing leaves the interpreter's lock, and stores answer several requests at once


@dataclass(frozen=True)
class ExpectedRows:
    """The rows that a score file has to hold: n sequences within [start, stop)."""

    start: int
    stop: int
    n: int
    partly: bool = False
    """Whether fewer will do: an imported evaluation need not cover all."""

    def __str__(self) -> str:
        """Return it as a message says it."""
        return f"{self.n} in {self.start}:{self.stop}"

    def fits(self, rows: "ExpectedRows") -> bool:
        """Return whether a file with these rows is as it has to be."""
        inside = rows.n == 0 or (self.start <= rows.start and rows.stop <= self.stop)
        return inside and (self.partly or rows.n == self.n)


@dataclass(frozen=True)
class ScoreFile:
    """A score file whose bytes are as they were written."""

    path: Path
    content: Path | BytesIO
    """What a reader of Parquet takes: the path, or the bytes of a remote file, fetched once."""
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class ValidScores:
    """The valid score files of a run, and what is left to do."""

    files: tuple[ScoreFile, ...]
    """In training order: one merged file, or those of finished shards."""
    left: tuple[Shard, ...]
    """Shards whose scores are missing or damaged."""
    merged: bool = False
    """Whether one file holds the scores of all shards."""
    likelihood: bool = False
    """Whether the tables have the column `log_likelihood`."""

    def scan(self) -> pl.LazyFrame:
        """Return the scores, lazily, in training order."""
        return scan_scores(self.contents, WITH_LIKELIHOOD if self.likelihood else SCHEMA)

    @property
    def contents(self) -> list[Any]:
        """Return what a reader of several Parquet files takes: all paths, or the bytes of all."""
        return [file.content for file in self.files]


def read_score_files(paths: Sequence[Path]) -> list[ScoreFile | None]:
    """Return each score file that is intact, None for one that is damaged or gone.

    Raises:
        RunError: One may not be read, or its store cannot be reached.
    """
    if not paths:
        return []
    with ThreadPoolExecutor(min(_READERS, len(paths))) as pool:
        return list(pool.map(_read, paths))


def _read(path: Path) -> ScoreFile | None:
    try:
        content = source(path)
        metadata = read_metadata(content)
    except OSError as error:
        if isinstance(error, _GONE) or error.errno == errno.EIO:
            return None
        raise RunError(read_problem(path, error)) from error
    return None if metadata is None else ScoreFile(path, content, metadata)


def is_valid(
    path: Path,
    file: ScoreFile | None,
    expected: ExpectedRows,
    metadata: Mapping[str, str],
    remedy: str,
) -> bool:
    """Return whether a score file is intact; warn of one that is not, with the remedy.

    Raises:
        RunError: It is intact, but another run's, or another shard's.
    """
    if file is None:
        if path.is_file():  # where it was not merged and deleted meanwhile
            warnings.warn(
                f"{path} is damaged (not the bytes that were written): it counts as not done; "
                f"{remedy}",
                DataWarning,
                stacklevel=5,
            )
        return False
    if wrong := foreign_key(file.metadata, metadata):
        raise _foreign(path, wrong, _value(file.metadata, wrong), _value(metadata, wrong))
    rows = _rows(file.metadata)
    if rows is None or not expected.fits(rows):
        raise _foreign(path, "sequences", str(rows), str(expected))
    return True


def foreign_key(found: Mapping[str, str], metadata: Mapping[str, str]) -> str | None:
    """Return a key in which a file's metadata are not those of a run, None where all agree.

    Another release may finish a run: the definition, not the version, fixes the result.
    """
    keys = (key for key in (*metadata, *_LEFT_OUT) if key != "memtrace_version")
    return next((key for key in keys if _value(found, key) != _value(metadata, key)), None)


def _value(metadata: Mapping[str, str], key: str) -> str | None:
    return metadata.get(key, _LEFT_OUT.get(key))


def _rows(found: Mapping[str, str]) -> ExpectedRows | None:
    try:
        start, stop = map(int, found["sequences"].split(":"))
        return ExpectedRows(start, stop, int(found["rows"]))
    except (KeyError, ValueError):
        return None


def _foreign(path: Path, key: str, found: str | None, expected: str | None) -> RunError:
    return RunError(
        f"{path} belongs to another run ({key}: {found}, expected {expected}); move it away and "
        "repeat the command"
    )
