"""Arrays of integers in files, of which only the elements that are asked for are read."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from memtrace.corpus.parts import FilePart, Part, file_part
from memtrace.errors import CorpusError
from memtrace.types import Int64Array

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_PAGE_BYTES = 512  # read around an element: a request of the system costs more than so many bytes


@dataclass(frozen=True)
class ArrayFile:
    """Integers in a file, `(n,)`, or `(n, width)`; always read as int64, whatever their type."""

    part: Part
    dtype: np.dtype[np.integer]
    width: int = 1

    @property
    def name(self) -> str:
        """Return the path of the file."""
        return self.part.name

    @cached_property
    def _entry_bytes(self) -> int:
        return self.dtype.itemsize * self.width

    def __len__(self) -> int:
        """Return n."""
        return self.part.size // self._entry_bytes

    def read(self, start: int, stop: int) -> Int64Array:
        """Return the entries [start, stop)."""
        return self._shaped(self._raw(start, stop))

    def take(self, places: Int64Array, pointer: str) -> Int64Array:
        """Return the entries at the given places.

        Args:
            places: Which entries, in any order.
            pointer: What the places were read from, for the message.

        Raises:
            CorpusError: There is no such entry.
        """
        if not len(places):
            return self._shaped(np.empty(0, self.dtype))
        self._check(places, pointer)
        per_page = max(1, _PAGE_BYTES // self._entry_bytes)
        page = places // per_page
        pages = np.unique(page)
        edges = np.flatnonzero(np.diff(pages) != 1) + 1
        first, last = pages[np.r_[0, edges]], pages[np.r_[edges - 1, len(pages) - 1]]
        runs = zip(first.tolist(), last.tolist(), strict=True)
        # Only the last page of the file can be short, and it comes last.
        found = np.concatenate(
            [self._raw(a * per_page, min((b + 1) * per_page, len(self))) for a, b in runs]
        )
        where = np.searchsorted(pages, page) * per_page + places % per_page
        return self._shaped(found.reshape(-1, self.width)[where].ravel())

    def _check(self, places: Int64Array, pointer: str) -> None:
        low, high = int(places.min()), int(places.max())
        if low >= 0 and high < len(self):
            return
        overflow = "; a negative one is a 32-bit overflow of the trainer" if low < 0 else ""
        raise CorpusError(
            f"{pointer} points at entry {low if low < 0 else high} of {self.name}, which has "
            f"{len(self)}{overflow}: it is damaged or belongs to another corpus"
        )

    def _raw(self, start: int, stop: int) -> npt.NDArray[np.integer]:
        return self.part.view(start * self._entry_bytes, stop * self._entry_bytes).view(self.dtype)

    def _shaped(self, flat: npt.NDArray[np.integer]) -> Int64Array:
        wide = flat.astype(np.int64)
        return wide if self.width == 1 else wide.reshape(-1, self.width)


def npy_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[np.integer], int]:
    """Return shape, whether it is in Fortran order, type, and where the first element is.

    Raises:
        CorpusError: The file has no header of NumPy's.
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"format {version[0]}.{version[1]}, which integers do not need")
            shape, by_columns, dtype = _HEADERS[version](file)
            return shape, by_columns, dtype, file.tell()
    except Exception as error:  # NumPy reads headers with Python's tokenizer and raises its errors
        raise CorpusError(f"cannot read {path} as an array: {error}") from error


def npy_part(path: Path, dimensions: int, what: str) -> tuple[FilePart, ArrayFile, tuple[int, ...]]:
    """Return the elements of an `.npy` file of integers, unread, and its shape.

    Args:
        path: The file.
        dimensions: How many the array must have.
        what: What such an array is, for the message.

    Raises:
        CorpusError: It is no such array, or has more or fewer bytes than its header says.
    """
    whole = file_part(path)
    shape, by_columns, dtype, offset = npy_header(path)
    if len(shape) != dimensions or dtype.kind not in "iu" or by_columns:
        order = " in Fortran order" if by_columns else ""
        raise CorpusError(f"{path} holds {dtype} of shape {shape}{order}; {what}")
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if whole.size != offset + size:
        problem = "truncated" if whole.size < offset + size else "something was added to it"
        raise CorpusError(
            f"{path} has {whole.size} bytes, its header ({dtype} of shape {shape}) needs "
            f"{offset + size}: {problem}; write it again"
        )
    part = FilePart(path, offset, size, whole.stamp)
    return part, ArrayFile(part, dtype, shape[-1] if dimensions > 1 else 1), shape


def npy_map(path: Path, width: int = 1) -> ArrayFile:
    """Open an index map that NumPy wrote, `(n,)` or `(n, width)`.

    Raises:
        CorpusError: It is no such array, or has more or fewer bytes than its header says.
    """
    what = f"an index map is an integer array (n{f', {width}' if width > 1 else ','})"
    _, array, shape = npy_part(path, 1 if width == 1 else 2, what)
    if len(shape) > 1 and shape[1] != width:
        raise CorpusError(f"{path} holds an array of shape {shape}; {what}")
    return array
