"""Token rows that are put together from stretches of token files, as an order of training says."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from memtrace.corpus.parts import Part
from memtrace.corpus.rows import Tokens, in_native_order
from memtrace.corpus.stream import ByteStream
from memtrace.types import Int64Array

_AT_ONCE = 8192  # rows whose places are looked up together: a few megabytes of maps


class Stretches(NamedTuple):
    """Which tokens of the stream go where, four arrays of one shape `(n,)`."""

    row: Int64Array
    """Number within the rows that were asked for."""
    column: Int64Array
    """Place of the first token in its row."""
    start: Int64Array
    """First byte in the stream."""
    tokens: Int64Array
    """How many tokens."""


class Order(Protocol):
    """An order of training over a stream of tokens."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the files that it was read from."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def stretches(self, rows: Int64Array, tokens: int) -> Iterator[Stretches]:
        """Yield where the first `tokens` tokens of the given rows lie; what is left out is 0."""


@dataclass(frozen=True)
class GatheredRows:
    """Rows of `row_tokens` tokens, each in one stretch of the stream or in several."""

    stream: ByteStream
    """The token files, one after another."""
    order: Order
    row_tokens: int
    dtype: np.dtype[np.integer]
    """Type of a token on disk, with its byte order."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the token files and the maps."""
        return (*self.stream.parts, *self.order.parts)

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""
        return self.stream.remote

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.order)

    def read(self, start: int, stop: int, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the rows [start, stop), `(stop - start, tokens)`."""
        return self.take(np.arange(start, stop), tokens)

    def take(self, rows: Int64Array, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the given rows, `(len(rows), tokens)`."""
        out = np.zeros((len(rows), tokens * self.dtype.itemsize), np.uint8)
        for start in range(0, len(rows), _AT_ONCE):
            self._fill(out[start : start + _AT_ONCE].reshape(-1), rows[start:][:_AT_ONCE], tokens)
        return in_native_order(out, self.dtype)

    def _fill(
        self, out: np.ndarray[tuple[int], np.dtype[np.uint8]], rows: Int64Array, tokens: int
    ) -> None:
        itemsize = self.dtype.itemsize
        for found in self.order.stretches(rows, tokens):
            order = np.argsort(found.start, kind="stable")  # disks read forwards
            place = (found.row * tokens + found.column)[order] * itemsize
            sizes = (found.tokens * itemsize)[order]
            columns = (column.tolist() for column in (place, found.start[order], sizes))
            for to, start, size in zip(*columns, strict=True):
                for position, data in self.stream.views(start, start + size):
                    at = to + position - start
                    out[at : at + len(data)] = data
