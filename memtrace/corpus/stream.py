"""Token rows that lie one after another in a byte stream, read in place.

`parts` and `remote` give the bytes; `megatron`, `npy` and `prefix_pack` say which.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np

from memtrace.corpus.parts import Bytes, Part
from memtrace.corpus.rows import Tokens, in_native_order
from memtrace.errors import CorpusError
from memtrace.types import Int64Array

J = TypeVar("J")
R = TypeVar("R")

# Over a network a request costs as much as a megabyte: near rows come in one, in parallel.
_REQUEST_BYTES = 1 << 22
_NEAR_BYTES = 1 << 18
_CONNECTIONS = 16
_READ_BYTES = 1 << 20  # of a local file at once: what fits into a cache of the processor


@dataclass(frozen=True)
class ByteStream:
    """The concatenation of parts."""

    parts: tuple[Part, ...]

    @cached_property
    def size(self) -> int:
        """Return the bytes of all parts."""
        return self._starts[-1]

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""
        return any(part.remote for part in self.parts)

    def views(self, start: int, stop: int) -> Iterator[tuple[int, Bytes]]:
        """Yield bytes [start, stop) of the stream, part by part, and where in it they are."""
        for i in range(max(0, bisect_right(self._starts, start) - 1), len(self.parts)):
            if self._starts[i] >= stop:
                return
            low, high = max(start, self._starts[i]), min(stop, self._starts[i + 1])
            at_once = high - low if self.parts[i].remote else _READ_BYTES
            for cut in range(low, high, max(1, at_once)):
                end = min(cut + at_once, high)
                yield cut, self.parts[i].view(cut - self._starts[i], end - self._starts[i])

    @cached_property
    def _starts(self) -> list[int]:
        """Return the first byte of each part in the stream, and the end of the stream."""
        return [0, *accumulate(part.size for part in self.parts)]


@dataclass(frozen=True)
class RowStream:
    """Rows of `row_tokens` tokens, one after another in the concatenation of `parts`.

    A row may straddle two parts. All arithmetic is on Python integers and int64, so that no
    product of rows and bytes can wrap.
    """

    parts: tuple[Part, ...]
    """The byte stream, in order."""
    row_tokens: int
    """Tokens in a row (Pythia: 2049)."""
    dtype: np.dtype[np.integer]
    """Type of a token on disk, with its byte order."""

    def __post_init__(self) -> None:
        """Check that the bytes are a whole number of rows.

        Raises:
            CorpusError: They are not.
        """
        if not self.stream.size:
            raise CorpusError(f"{self.parts[0].name} holds no row: it is empty; write it again")
        if self.stream.size % self.row_bytes:
            raise CorpusError(
                f"{self.parts[0].name} and what follows it have {self.stream.size} bytes, no "
                f"multiple of the {self.row_bytes} bytes of a row ({self.row_tokens} "
                f"{self.dtype} tokens): a file is truncated or of another layout; fetch it again"
            )

    @cached_property
    def stream(self) -> ByteStream:
        """Return the bytes of all rows."""
        return ByteStream(self.parts)

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row."""
        return self.row_tokens * self.dtype.itemsize

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.stream.size // self.row_bytes

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""
        return self.stream.remote

    def read(self, start: int, stop: int, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the rows [start, stop), `(stop - start, tokens)`."""
        out = np.empty((stop - start, tokens * self.dtype.itemsize), dtype=np.uint8)
        cut = max(1, _REQUEST_BYTES // self.row_bytes) if self.remote else stop - start
        in_parallel(
            lambda row: self._fill(out[row - start :][:cut], row),
            range(start, stop, cut or 1),
            self.remote,
        )
        return in_native_order(out, self.dtype)

    def take(self, rows: Int64Array, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the given rows, `(len(rows), tokens)`."""
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        out = np.empty((len(rows), tokens), dtype=self.dtype.newbyteorder("="))

        def copy(run: tuple[int, int]) -> None:
            chosen = ascending[slice(*run)]
            block = self.read(int(chosen[0]), int(chosen[-1]) + 1, tokens)
            out[order[slice(*run)]] = block[chosen - chosen[0]]

        in_parallel(copy, self._runs(ascending), self.remote)
        return out

    def _runs(self, ascending: Int64Array) -> list[tuple[int, int]]:
        """Return the ranges of `ascending` that are read at once: neighbours, or nearly."""
        if not len(ascending):
            return []
        near = max(1, _NEAR_BYTES // self.row_bytes) if self.remote else 1
        span = max(1, _REQUEST_BYTES // self.row_bytes)
        begins = (np.diff(ascending) > near) | (np.diff(ascending // span) != 0)
        edges = [0, *(np.flatnonzero(begins) + 1).tolist(), len(ascending)]
        return list(pairwise(edges))

    def _fill(self, out: Bytes, first_row: int) -> None:
        """Fill `out`, `(n, width)`, with the beginnings of the n rows from `first_row` on."""
        if not len(out):
            return
        start = first_row * self.row_bytes
        stop = start + (len(out) - 1) * self.row_bytes + out.shape[1]
        for position, data in self.stream.views(start, stop):
            self._copy(data, position, first_row, out)

    def _copy(self, data: Bytes, position: int, first_row: int, out: Bytes) -> None:
        """Copy what `data`, the stream from `position` on, holds of the rows that `out` is for."""
        n, width = out.shape
        row_bytes, end = self.row_bytes, position + len(data)
        # Rows whose wanted bytes lie wholly inside the data form one strided view.
        inside = max(first_row, -(-position // row_bytes))
        beyond = min(first_row + n, (end - width) // row_bytes + 1)
        if inside < beyond:
            view = np.lib.stride_tricks.as_strided(
                data[inside * row_bytes - position :],
                shape=(beyond - inside, width),
                strides=(row_bytes, 1),
                writeable=False,
            )
            out[inside - first_row : beyond - first_row] = view
        # At most one row straddles each end of the data, unless they are shorter than a row.
        for row in {position // row_bytes, (end - 1) // row_bytes}:
            if first_row <= row < first_row + n and not inside <= row < beyond:
                low = max(row * row_bytes, position)
                high = min(row * row_bytes + width, end)
                if low < high:
                    offset = low - row * row_bytes
                    chunk = data[low - position : high - position]
                    out[row - first_row, offset : offset + high - low] = chunk


def in_parallel(work: Callable[[J], R], jobs: Sequence[J], remote: bool) -> list[R]:
    """Return `work` of each job, in order; over a network many at a time."""
    if not remote or len(jobs) < 2:
        return [work(job) for job in jobs]
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return list(pool.map(work, jobs))
