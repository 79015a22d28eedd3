"""What every source of token rows can do, however it stores them."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from memtrace.corpus.parts import Bytes, Part
from memtrace.types import Int64Array

Tokens = npt.NDArray[np.integer]


class Rows(Protocol):
    """Token rows of one length in training order; `Corpus` checks what it asks of them."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the files that the rows depend on: of tokens, and of their order."""

    @property
    def row_tokens(self) -> int:
        """Return the tokens of a row."""

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Return the type of a token on disk, with its byte order."""

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def read(self, start: int, stop: int, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the rows [start, stop), in native byte order."""

    def take(self, rows: Int64Array, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the given rows, in native byte order."""


def in_native_order(raw: Bytes, dtype: np.dtype[np.integer]) -> Tokens:
    """Return tokens as the machine computes with them, from their bytes on disk."""
    return raw.view(dtype).astype(dtype.newbyteorder("="), copy=False)
