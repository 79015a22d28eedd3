"""Two-dimensional `.npy` arrays of token rows as a `Corpus`."""

from collections.abc import Sequence
from pathlib import Path

from numpy.lib import format as npy

from memtrace.corpus.array_file import npy_part
from memtrace.corpus.corpus import Corpus
from memtrace.corpus.parts import file_part
from memtrace.corpus.recognize import recognize
from memtrace.corpus.stream import RowStream
from memtrace.errors import CorpusError
from memtrace.storage.problems import read_problem

_WHAT = "a corpus is a two-dimensional integer array in C order, one token row per line"


def open_array(path: Path, *, name: str | None = None) -> Corpus:
    """Open `path`, an integer array `(rows, row_tokens)` in C order.

    Raises:
        CorpusError: It is not such an array, or has more or fewer bytes than its header says.
    """
    return Corpus(name or str(path), array_rows([path]))


def array_rows(paths: Sequence[Path]) -> RowStream:
    """Return the rows of several arrays, one after another.

    Raises:
        CorpusError: One is no such array as `open_array` takes, or they differ in type or width.
    """
    streams = [_rows(path) for path in paths]
    first = streams[0]
    for path, stream in zip(paths, streams, strict=True):
        if (stream.row_tokens, stream.dtype) != (first.row_tokens, first.dtype):
            raise CorpusError(
                f"{path} has rows of {stream.row_tokens} {stream.dtype} tokens, {paths[0]} of "
                f"{first.row_tokens} {first.dtype}: the files of a corpus have one kind of rows"
            )
    parts = tuple(part for stream in streams for part in stream.parts)
    return RowStream(parts, first.row_tokens, first.dtype)


def _rows(path: Path) -> RowStream:
    file_part(path)
    if foreign := _foreign(path):
        raise foreign
    part, array, shape = npy_part(path, 2, _WHAT)
    return RowStream((part,), shape[1], array.dtype)


def _foreign(path: Path) -> CorpusError | None:
    """Return what a file is that does not begin as arrays do."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX
        return None if begins else recognize(path)
    except OSError as error:
        raise CorpusError(read_problem(path, error)) from error
