"""A corpus: token rows of one length, in training order, read in place from one byte stream.

`parts` and `remote` give the bytes; `megatron`, `npy` and `prefix_pack` say which.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from memtrace.corpus.parts import Bytes, Part
from memtrace.errors import CorpusError

Tokens = npt.NDArray[np.integer]
J = TypeVar("J")
R = TypeVar("R")

_DIGEST_BLOCK = 1 << 16
_DIGEST_BLOCKS = 1024  # 64 MiB: corpora up to this size are hashed whole
# Over a network a request costs as much as a megabyte: near rows come in one, in parallel.
_REQUEST_BYTES = 1 << 22
_NEAR_BYTES = 1 << 18
_CONNECTIONS = 16
_READ_BYTES = 1 << 20  # of a local file at once: what fits into a cache of the processor


@dataclass(frozen=True)
class Corpus:
    """Rows of `row_tokens` tokens, one after another in the concatenation of `parts`.

    A row may straddle two parts. All arithmetic is on Python integers and int64, so that no
    product of rows and bytes can wrap. Indexing is NumPy's: an integer gives one row, a slice or
    an array of integers gives rows.
    """

    name: str
    """How the user named it."""
    parts: tuple[Part, ...]
    """The byte stream, in order."""
    row_tokens: int
    """Tokens in a row (Pythia: 2049)."""
    dtype: np.dtype[np.integer]
    """Type of a token on disk, with its byte order."""
    source_digest: str | None = None
    """For rows copied from another corpus, cut to their beginnings: the digest of that corpus."""

    def __post_init__(self) -> None:
        """Check that the bytes are a whole number of rows."""
        if not self.size or self.size % self.row_bytes:
            raise CorpusError(
                f"corpus {self.name} has {self.size} bytes, not a positive multiple of the "
                f"{self.row_bytes} bytes of a row ({self.row_tokens} {self.dtype} tokens): "
                "a file is truncated or of another layout; fetch it again"
            )

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row."""
        return self.row_tokens * self.dtype.itemsize

    @cached_property
    def size(self) -> int:
        """Return the bytes of all rows."""
        return sum(part.size for part in self.parts)

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""
        return any(part.remote for part in self.parts)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.size // self.row_bytes

    def __getitem__(
        self, key: SupportsIndex | slice | Sequence[int] | npt.NDArray[np.generic]
    ) -> Tokens:
        """Return whole rows: `(row_tokens,)` for an integer, else `(n, row_tokens)`.

        Raises:
            IndexError: A row is outside the corpus, or the key is neither integers nor a slice.
        """
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self.read(start, max(start, stop), self.row_tokens)
            return self.take(range(start, stop, step), self.row_tokens)
        rows = np.asarray(key)
        if (rows.size and rows.dtype.kind not in "iu") or rows.ndim > 1:
            raise IndexError(
                f"rows of a corpus are chosen by integers or a slice, not by {rows.dtype} of "
                f"{rows.ndim} dimensions"
            )
        rows = rows.astype(np.int64)
        outside = (rows < -len(self)) | (rows >= len(self))
        if outside.any():
            raise IndexError(f"row {rows[outside].flat[0]} is outside the {len(self)} rows")
        found = self.take(np.where(rows < 0, rows + len(self), rows).ravel(), self.row_tokens)
        return found if rows.ndim else found[0]

    def read(self, start: int, stop: int, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the rows [start, stop).

        Returns:
            `(stop - start, tokens)` token ids in native byte order.

        Raises:
            CorpusError: The range or the number of tokens is outside the corpus, or the bytes
                cannot be had.
        """
        start, stop = int(start), int(stop)
        if not 0 <= start <= stop <= len(self):
            raise CorpusError(
                f"rows [{start}, {stop}) are outside corpus {self.name} (0..{len(self)})"
            )
        out = np.empty((stop - start, self._width(tokens)), dtype=np.uint8)
        cut = max(1, _REQUEST_BYTES // self.row_bytes) if self.remote else stop - start
        self._each(
            lambda row: self._fill(out[row - start :][:cut], row), range(start, stop, cut or 1)
        )
        return self._tokens(out)

    def take(self, rows: Sequence[int] | Tokens, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the given rows, `(len(rows), tokens)`.

        Raises:
            CorpusError: As `read`.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        out = np.empty((len(wanted), tokens), dtype=self.dtype.newbyteorder("="))

        def copy(run: tuple[int, int]) -> None:
            chosen = ascending[slice(*run)]
            block = self.read(chosen[0], chosen[-1] + 1, tokens)
            out[order[slice(*run)]] = block[chosen - chosen[0]]

        self._each(copy, self._runs(ascending))
        return out

    def _runs(self, ascending: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        """Return the ranges of `ascending` that are read at once: neighbours, or nearly."""
        if not len(ascending):
            return []
        near = max(1, _NEAR_BYTES // self.row_bytes) if self.remote else 1
        span = max(1, _REQUEST_BYTES // self.row_bytes)
        begins = (np.diff(ascending) > near) | (np.diff(ascending // span) != 0)
        edges = [0, *(np.flatnonzero(begins) + 1).tolist(), len(ascending)]
        return list(pairwise(edges))

    def _each(self, work: Callable[[J], R], jobs: Sequence[J]) -> list[R]:
        """Return `work` of each job, in order; over a network many at a time."""
        if not self.remote or len(jobs) < 2:
            return [work(job) for job in jobs]
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            return list(pool.map(work, jobs))

    def _width(self, tokens: int) -> int:
        """Return the bytes of the first `tokens` tokens of a row."""
        if not 0 < tokens <= self.row_tokens:
            raise CorpusError(
                f"{tokens} tokens asked of corpus {self.name}, whose rows have {self.row_tokens}"
            )
        return tokens * self.dtype.itemsize

    @cached_property
    def _starts(self) -> list[int]:
        """Return the first byte of each part in the stream, and the end of the stream."""
        return [0, *accumulate(part.size for part in self.parts)]

    def _views(self, start: int, stop: int) -> Iterator[tuple[int, Bytes]]:
        """Yield bytes [start, stop) of the stream, part by part, and where in it they are."""
        for i in range(max(0, bisect_right(self._starts, start) - 1), len(self.parts)):
            if self._starts[i] >= stop:
                return
            low, high = max(start, self._starts[i]), min(stop, self._starts[i + 1])
            at_once = high - low if self.parts[i].remote else _READ_BYTES
            for cut in range(low, high, max(1, at_once)):
                end = min(cut + at_once, high)
                yield cut, self.parts[i].view(cut - self._starts[i], end - self._starts[i])

    def _fill(self, out: Bytes, first_row: int) -> None:
        """Fill `out`, `(n, width)`, with the beginnings of the n rows from `first_row` on."""
        if not len(out):
            return
        start = first_row * self.row_bytes
        stop = start + (len(out) - 1) * self.row_bytes + out.shape[1]
        for position, data in self._views(start, stop):
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

    def _tokens(self, raw: Bytes) -> Tokens:
        return raw.view(self.dtype).astype(self.dtype.newbyteorder("="), copy=False)

    @cached_property
    def digest(self) -> str:
        """Return the sha256 that identifies the corpus in every run.

        It covers the layout and the bytes: all of them up to 64 MiB, else 1,024 evenly spaced
        blocks of 64 KiB, since hashing 600 GB would cost more than the scan. Cutting the same
        stream into other files does not change it, and rows copied from a corpus keep its digest:
        a run that was begun on the corpus can be finished on its prefix pack.
        """
        return self.source_digest or self._content_digest()

    def check_unchanged(self, *, digest: bool = False) -> None:
        """Check that the files are still those that were opened: cheap enough for every shard.

        Args:
            digest: Compare the bytes that the digest covers too, not only size, time and inode.
                Not of remote files, nor of a pack, whose files are hashed before they are read.

        Raises:
            CorpusError: A file has changed; what was read since the last check may be wrong.
        """
        for part in self.parts:
            part.check_unchanged()
        if digest and not self.remote and not self.source_digest:
            found = self._content_digest()
            if found != self.digest:
                raise CorpusError(
                    f"corpus {self.name} has changed while it was in use: its digest was "
                    f"{self.digest[:12]}…, now {found[:12]}…; put the right files back and begin "
                    "a new run"
                )

    def _content_digest(self) -> str:
        layout = f"{self.row_tokens} {self.dtype.str} {self.size}"
        digest = hashlib.sha256(layout.encode())
        if self.size <= _DIGEST_BLOCKS * _DIGEST_BLOCK:
            starts = list(range(0, self.size, _DIGEST_BLOCK))
        else:
            last = self.size - _DIGEST_BLOCK
            starts = [last * i // (_DIGEST_BLOCKS - 1) for i in range(_DIGEST_BLOCKS)]
        for block in self._each(self._block, starts):
            digest.update(block)
        return digest.hexdigest()

    def _block(self, start: int) -> bytes:
        stop = min(start + _DIGEST_BLOCK, self.size)
        return b"".join(data.tobytes() for _, data in self._views(start, stop))
