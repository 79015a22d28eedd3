"""A two-dimensional `.npy` array of token rows as a `Corpus`."""

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from memtrace.corpus.corpus import Corpus
from memtrace.corpus.parts import FilePart
from memtrace.errors import CorpusError


def open_array(path: Path, *, name: str | None = None) -> Corpus:
    """Open `path`, an integer array `(rows, row_tokens)` in C order.

    Raises:
        CorpusError: It is not such an array.
    """
    try:
        # Pickled objects are never loaded: a header of dtype object is refused below.
        array = npy.open_memmap(path, mode="r")
    except Exception as error:  # NumPy reads headers with Python's tokenizer and raises its errors
        raise CorpusError(f"cannot read {path} as an array: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "iu" or not array.flags.c_contiguous:
        raise CorpusError(
            f"{path} holds {array.dtype} of shape {array.shape}; "
            "a corpus is a two-dimensional integer array in C order, one token row per line"
        )
    rows, row_tokens = array.shape
    dtype: np.dtype[np.integer] = array.dtype
    part = FilePart(path, array.offset, rows * row_tokens * dtype.itemsize)
    return Corpus(name or str(path), (part,), row_tokens, dtype)
