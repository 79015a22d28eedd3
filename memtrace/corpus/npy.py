"""A two-dimensional `.npy` array of token rows as a `Corpus`."""

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.parts import file_part
from memtrace.corpus.recognize import recognize
from memtrace.corpus.stream import RowStream
from memtrace.errors import CorpusError
from memtrace.storage.problems import read_problem

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def open_array(path: Path, *, name: str | None = None) -> Corpus:
    """Open `path`, an integer array `(rows, row_tokens)` in C order.

    Raises:
        CorpusError: It is not such an array, or has more or fewer bytes than its header says.
    """
    part = file_part(path)
    if foreign := _foreign(path):
        raise foreign
    try:
        shape, by_columns, dtype, offset = _read_header(path)
    except Exception as error:  # NumPy reads headers with Python's tokenizer and raises its errors
        raise CorpusError(f"cannot read {path} as an array: {error}") from error
    if len(shape) != 2 or dtype.kind not in "iu" or by_columns:
        order = " in Fortran order" if by_columns else ""
        raise CorpusError(
            f"{path} holds {dtype} of shape {shape}{order}; "
            "a corpus is a two-dimensional integer array in C order, one token row per line"
        )
    rows, row_tokens = shape
    size = rows * row_tokens * dtype.itemsize
    if part.size != offset + size:
        problem = "truncated" if part.size < offset + size else "something was added to it"
        raise CorpusError(
            f"{path} has {part.size} bytes, its header ({rows} rows of {row_tokens} {dtype} "
            f"tokens) needs {offset + size}: {problem}; write it again"
        )
    return Corpus(name or str(path), RowStream((file_part(path, offset, size),), row_tokens, dtype))


def _foreign(path: Path) -> CorpusError | None:
    """Return what a file is that does not begin as arrays do."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX
        return None if begins else recognize(path)
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error


def _read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[np.integer], int]:
    """Return shape, whether it is in Fortran order, type, and where the first element is."""
    with path.open("rb") as file:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"format {version[0]}.{version[1]}, which token arrays do not need")
        shape, by_columns, dtype = _HEADERS[version](file)
        return shape, by_columns, dtype, file.tell()
