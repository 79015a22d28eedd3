"""The parts of a corpus' byte stream: what each can do, and those that are local files."""

import os
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memtrace.errors import CorpusError

Bytes = npt.NDArray[np.uint8]
_FEW = 1 << 17  # bytes


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


@dataclass(frozen=True)
class FilePart:
    """A stretch of a local file: `size` bytes from `offset` on, mapped into memory."""

    path: Path
    offset: int
    size: int

    @property
    def name(self) -> str:
        """Return the path."""
        return str(self.path)

    @property
    def remote(self) -> bool:
        """Return False: views are free."""
        return False

    def view(self, start: int, stop: int) -> Bytes:
        """Return the bytes [start, stop), without a copy unless they are few.

        Few are read, not mapped: around a page that is touched in a map the system reads ahead, up
        to megabytes for each row of a sample.
        """
        if stop - start > _FEW:
            return self._mapped[start:stop]
        try:
            data = os.pread(self._descriptor, stop - start, self.offset + start)
        except OSError as error:
            raise CorpusError(f"cannot read {self.path}: {error.strerror}") from error
        if len(data) != stop - start:
            raise CorpusError(f"{self.path} has become shorter while it was read: fetch it again")
        return np.frombuffer(data, np.uint8)

    def __reduce__(self) -> tuple[type["FilePart"], tuple[Path, int, int]]:
        """Pickle the place, not the maps: other processes open the file themselves."""
        return FilePart, (self.path, self.offset, self.size)

    @cached_property
    def _mapped(self) -> Bytes:
        try:
            return np.memmap(self.path, np.uint8, "r", self.offset, (self.size,))
        except (OSError, ValueError) as error:
            raise CorpusError(f"cannot read {self.path}: {error}") from error

    @cached_property
    def _descriptor(self) -> int:
        descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        return descriptor


def whole_file(path: Path) -> FilePart:
    """Return a file as one part.

    Raises:
        CorpusError: There is no such file.
    """
    try:
        return FilePart(path, 0, path.stat().st_size)
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error
