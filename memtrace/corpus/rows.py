"""A corpus: token rows of one length, in training order, read in place from one byte stream.

It does not know which format the files have: `megatron` and `arrays` say where the bytes are.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memtrace.errors import CorpusError

_DIGEST_BLOCK = 1 << 16
_DIGEST_BLOCKS = 1024  # 64 MiB: corpora up to this size are hashed whole


@dataclass(frozen=True)
class Part:
    """A piece of the byte stream: `size` bytes of a file, from `offset` on."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Corpus:
    """Rows of `row_tokens` tokens, one after another in the concatenation of `parts`.

    A row may straddle two parts. All arithmetic is on Python integers, so that no product of rows
    and bytes can wrap.
    """

    name: str
    """How the user named it."""
    parts: tuple[Part, ...]
    """The byte stream, in order."""
    row_tokens: int
    """Tokens in a row (Pythia: 2049)."""
    dtype: np.dtype[np.integer]
    """Type of a token on disk, with its byte order."""

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

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.size // self.row_bytes

    def read(self, start: int, stop: int, tokens: int) -> npt.NDArray[np.integer]:
        """Return the first `tokens` tokens of the rows [start, stop).

        Returns:
            `(stop - start, tokens)` token ids in native byte order.

        Raises:
            CorpusError: The range or the number of tokens is outside the corpus.
        """
        start, stop = int(start), int(stop)
        if not 0 <= start <= stop <= len(self):
            raise CorpusError(
                f"rows [{start}, {stop}) are outside corpus {self.name} (0..{len(self)})"
            )
        if not 0 < tokens <= self.row_tokens:
            raise CorpusError(
                f"{tokens} tokens asked of corpus {self.name}, whose rows have {self.row_tokens}"
            )
        width = tokens * self.dtype.itemsize
        out = np.empty((stop - start, width), dtype=np.uint8)
        for part_start, data in self._mapped_parts():
            self._copy(data, part_start, start, out)
        return self._tokens(out)

    def take(
        self, rows: Sequence[int] | npt.NDArray[np.integer], tokens: int
    ) -> npt.NDArray[np.integer]:
        """Return the first `tokens` tokens of the given rows, `(len(rows), tokens)`."""
        if not len(rows):
            return np.empty((0, tokens), dtype=self.dtype.newbyteorder("="))
        return np.concatenate([self.read(int(row), int(row) + 1, tokens) for row in rows])

    def _mapped_parts(self) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Yield each part's first byte in the stream and its bytes, mapped into memory."""
        position = 0
        for part, mapped in zip(self.parts, self._maps, strict=True):
            yield position, mapped
            position += part.size

    @cached_property
    def _maps(self) -> tuple[npt.NDArray[np.uint8], ...]:
        return tuple(_map(part) for part in self.parts)

    def _copy(
        self,
        data: npt.NDArray[np.uint8],
        part_start: int,
        first_row: int,
        out: npt.NDArray[np.uint8],
    ) -> None:
        """Copy what this part holds of the beginnings of the rows from `first_row` on."""
        n, width = out.shape
        row_bytes, end = self.row_bytes, part_start + len(data)
        # Rows whose wanted bytes lie wholly inside the part form one strided view.
        inside = max(first_row, -(-part_start // row_bytes))
        beyond = min(first_row + n, (end - width) // row_bytes + 1)
        if inside < beyond:
            view = np.lib.stride_tricks.as_strided(
                data[inside * row_bytes - part_start :],
                shape=(beyond - inside, width),
                strides=(row_bytes, 1),
                writeable=False,
            )
            out[inside - first_row : beyond - first_row] = view
        # At most one row straddles each end of the part, unless the part is shorter than a row.
        for row in {part_start // row_bytes, (end - 1) // row_bytes}:
            if first_row <= row < first_row + n and not inside <= row < beyond:
                low = max(row * row_bytes, part_start)
                high = min(row * row_bytes + width, end)
                if low < high:
                    offset = low - row * row_bytes
                    piece = data[low - part_start : high - part_start]
                    out[row - first_row, offset : offset + high - low] = piece

    def _tokens(self, raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.integer]:
        return raw.view(self.dtype).astype(self.dtype.newbyteorder("="), copy=False)

    @cached_property
    def digest(self) -> str:
        """Return the sha256 that identifies the corpus in every run.

        It covers the layout and the bytes: all of them up to 64 MiB, else 1,024 evenly spaced
        blocks of 64 KiB, since hashing 600 GB would cost more than the scan. Cutting the same
        stream into other files does not change it.
        """
        layout = f"{self.row_tokens} {self.dtype.str} {self.size}"
        digest = hashlib.sha256(layout.encode())
        if self.size <= _DIGEST_BLOCKS * _DIGEST_BLOCK:
            starts = list(range(0, self.size, _DIGEST_BLOCK))
        else:
            last = self.size - _DIGEST_BLOCK
            starts = [last * i // (_DIGEST_BLOCKS - 1) for i in range(_DIGEST_BLOCKS)]
        for start in starts:
            digest.update(self._stream(start, min(start + _DIGEST_BLOCK, self.size)))
        return digest.hexdigest()

    def _stream(self, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of the stream."""
        pieces = []
        for position, data in self._mapped_parts():
            low, high = max(start, position), min(stop, position + len(data))
            if low < high:
                pieces.append(data[low - position : high - position].tobytes())
        return b"".join(pieces)


def _map(part: Part) -> npt.NDArray[np.uint8]:
    try:
        return np.memmap(
            part.path, dtype=np.uint8, mode="r", offset=part.offset, shape=(part.size,)
        )
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot read {part.path}: {error}") from error
