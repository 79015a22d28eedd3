"""The parts of a corpus' byte stream: what each can do, and those that are local files.

Files are read, not mapped: a file that is cut while it is mapped ends the process (SIGBUS), and
one that is overwritten gives other tokens without a word.
"""

import os
import platform
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from memtrace.errors import CorpusError
from memtrace.storage.problems import read_problem

Bytes = npt.NDArray[np.uint8]


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


@dataclass(frozen=True)
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
        descriptor, _ = self._opened
        try:
            data = os.pread(descriptor, stop - start, self.offset + start)
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
        first = self.stamp or self._opened[1]
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
    def _opened(self) -> tuple[int, Stamp]:
        """Return a descriptor of the file, and what the file was when it was opened."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
            weakref.finalize(self, os.close, descriptor)
            opened = _stamp(os.fstat(descriptor))
        except OSError as error:
            raise CorpusError(read_problem(self.path, error)) from error
        self._compare(self.stamp or opened, opened)
        return descriptor, opened

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place: other processes open the file themselves."""
        return _unpickled, (platform.node(), self.path, self.offset, self.size, self.stamp)


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
