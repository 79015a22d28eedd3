"""Validate a score file: is it intact, of this run, and does it hold the expected rows?"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memtrace.errors import DataWarning, RunError
from memtrace.runs.scores import read_metadata


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


def is_valid(path: Path, expected: ExpectedRows, metadata: Mapping[str, str], remedy: str) -> bool:
    """Return whether a score file is intact; warn of one that is not, with the remedy.

    Raises:
        RunError: It is intact, but another run's, or another shard's.
    """
    found = read_metadata(path)
    if found is None:
        if path.is_file():  # where it was not merged and deleted meanwhile
            warnings.warn(
                f"{path} is damaged (not the bytes that were written): it counts as not done; "
                f"{remedy}",
                DataWarning,
                stacklevel=5,
            )
        return False
    for key, value in metadata.items():
        # Another release may finish a run: the definition, not the version, fixes the result.
        if key != "memtrace_version" and found.get(key) != value:
            raise _foreign(path, key, found.get(key), value)
    rows = _rows(found)
    if rows is None or not expected.fits(rows):
        raise _foreign(path, "sequences", str(rows), str(expected))
    return True


def _rows(found: Mapping[str, str]) -> ExpectedRows | None:
    try:
        start, stop = map(int, found["sequences"].split(":"))
        return ExpectedRows(start, stop, int(found["rows"]))
    except (KeyError, ValueError):
        return None


def _foreign(path: Path, key: str, found: str | None, expected: str) -> RunError:
    return RunError(
        f"{path} belongs to another run ({key}: {found}, expected {expected}); move it away and "
        "repeat the command"
    )
