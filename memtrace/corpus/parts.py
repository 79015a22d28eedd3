"""The parts of a corpus' byte stream: what each can do, and those that are local files.

Files are read, not mapped: a file that is cut while it is mapped ends the process (SIGBUS), and
one that is overwritten gives other tokens without a word.
"""

import os
import platform
import weakref
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from memtrace.errors import CorpusError
from memtrace.storage.problems import read_problem

Bytes = npt.NDArray[np.uint8]
_MOST_OPEN = 160  # macOS allows 256 in a process


class Stamp(NamedTuple):
    """What tells cheaply whether a file is still the same."""

    size: int
    """In bytes."""
    modified: int
    """Nanoseconds since 1970."""
    inode: int


class Part(Protocol):
    """A stretch of the byte stream, wherever it is kept."""

    @property
    def name(self) -> str:
        """Return what messages and records call it: a path or an address."""

    @property
    def size(self) -> int:
        """Return its bytes."""

    @property
    def remote(self) -> bool:
        """Return whether each view costs a round trip."""

    def view(self, start: int, stop: int) -> Bytes:
        """Return the bytes [start, stop) of the part; CorpusError where they cannot be had."""

    def check_unchanged(self) -> None:
        """Raise CorpusError if the file is not the one that was opened."""


@dataclass(frozen=True, eq=False)  # each opens the file by itself, and compares it with its stamp
class FilePart:
    """A stretch of a local file: `size` bytes from `offset` on."""

    path: Path
    offset: int
    size: int
    stamp: Stamp | None
    """The file when it was found; None where that was on another machine."""

    @property
    def name(self) -> str:
        """Return the path."""
        return str(self.path)

    @property
    def remote(self) -> bool:
        """Return False: views are cheap."""
        return False

    def view(self, start: int, stop: int) -> Bytes:
        """Return the bytes [start, stop).

        Raises:
            CorpusError: They cannot be read, or the file is not as long as it was.
        """
        opened = _opened(self)  # held, so that no other thread's file closes this one
        try:
            data = os.pread(opened.descriptor, stop - start, self.offset + start)
        except OSError as error:
            raise CorpusError(read_problem(self.path, error)) from error
        if len(data) != stop - start:
            raise CorpusError(f"{self.path} has become shorter while it was read: fetch it again")
        return np.frombuffer(data, np.uint8)

    def check_unchanged(self) -> None:
        """Compare the file at this path with the one that was found there first.

        Raises:
            CorpusError: It has another size, time of change or inode, or is gone.
        """
        first = self.stamp or self._first
        try:
            now = _stamp(self.path.stat())
        except OSError as error:
            raise CorpusError(read_problem(self.path, error)) from error
        self._compare(first, now)

    def _compare(self, first: Stamp, now: Stamp) -> None:
        if first != now:
            what = f"{first.size} bytes, now {now.size}" if first.size != now.size else "same size"
            raise CorpusError(
                f"{self.path} has changed while it was in use ({what}): a corpus must stay as it "
                "is until the command ends; put the right file back and repeat the command"
            )

    @cached_property
    def _first(self) -> Stamp:
        """Return what the file was when this process opened it first."""
        return _opened(self).stamp

    def open(self) -> "_Opened":
        """Open the file.

        Raises:
            CorpusError: It cannot be opened, or is another than it was.
        """
        try:
            opened = _Opened(self.path)
        except OSError as error:
            raise CorpusError(read_problem(self.path, error)) from error
        first = self.stamp or self.__dict__.get("_first", opened.stamp)
        self._compare(first, opened.stamp)
        return opened

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place: other processes open the file themselves."""
        return _unpickled, (platform.node(), self.path, self.offset, self.size, self.stamp)


class _Opened:
    """A descriptor, closed when nobody uses it any more, and the file when it was opened."""

    def __init__(self, path: Path) -> None:
        """Open the file; OSError where that fails."""
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
        self.stamp = _stamp(os.fstat(self.descriptor))


@lru_cache(maxsize=_MOST_OPEN)
def _opened(part: FilePart) -> _Opened:
    """Return the open file of a part: OLMo's corpora have more files than may be open at once."""
    return part.open()


def _unpickled(node: str, path: Path, offset: int, size: int, stamp: Stamp | None) -> FilePart:
    """Another machine may have a copy of its own, with a time and an inode of its own."""
    return FilePart(path, offset, size, stamp if node == platform.node() else None)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def file_part(path: Path, offset: int = 0, size: int | None = None) -> FilePart:
    """Return `size` bytes of a file from `offset` on, all of them by default.

    Raises:
        CorpusError: There is no such file.
    """
    try:
        stamp = _stamp(path.stat())
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error
    return FilePart(path, offset, stamp.size - offset if size is None else size, stamp)
