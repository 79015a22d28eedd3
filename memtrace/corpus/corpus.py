"""A corpus: token rows of one length, in training order, wherever and however they are stored."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from memtrace.corpus.parts import Part
from memtrace.corpus.rows import Rows, Tokens
from memtrace.corpus.stream import in_parallel
from memtrace.errors import CorpusError
from memtrace.manifests.schedule import SequencesPerStep

_DIGEST_BLOCK = 1 << 16
_DIGEST_BLOCKS = 1024  # 64 MiB: corpora up to this size are hashed whole


@dataclass(frozen=True)
class Corpus:
    """Token rows under a name, with their digest.

    Indexing is NumPy's: an integer gives one row, a slice or an array of integers gives rows.
    """

    name: str
    """How the user named it."""
    source: Rows
    """Where the rows come from."""
    source_digest: str | None = None
    """For rows copied from another corpus, cut to their beginnings: the digest of that corpus."""
    sequences_per_step: SequencesPerStep | None = None
    """Rows that a step of training consumes, where a corpus file tells."""
    first_token: int = 0
    """Which token of a row is the first one here; not 0 only in packs of later tokens."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the files that the rows depend on: of tokens, and of their order."""
        return self.source.parts

    @property
    def row_tokens(self) -> int:
        """Return the tokens of a row that are here (Pythia: 2049; of a pack, those it keeps)."""
        return self.source.row_tokens

    @property
    def held(self) -> str:
        """Return which tokens are here: `rows of 2049 tokens`, `tokens 32-95 of each row`."""
        if not self.source_digest:
            return f"rows of {self.row_tokens} tokens"
        return f"tokens {self.first_token}-{self.first_token + self.row_tokens - 1} of each row"

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Return the type of a token on disk, with its byte order."""
        return self.source.dtype

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row."""
        return self.row_tokens * self.dtype.itemsize

    @property
    def size(self) -> int:
        """Return the bytes of all rows."""
        return len(self) * self.row_bytes

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""
        return self.source.remote

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.source)

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
                return self.read(start, max(start, stop), self.row_tokens, self.first_token)
            return self.take(range(start, stop, step), self.row_tokens, self.first_token)
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
        positive = np.where(rows < 0, rows + len(self), rows).ravel()
        found = self.take(positive, self.row_tokens, self.first_token)
        return found if rows.ndim else found[0]

    def read(self, start: int, stop: int, tokens: int, offset: int = 0) -> Tokens:
        """Return `tokens` tokens of the rows [start, stop), those from `offset` on.

        Returns:
            `(stop - start, tokens)` token ids in native byte order.

        Raises:
            CorpusError: The range or the number of tokens is outside the corpus, or the bytes
                cannot be had.
        """
        start, stop = int(start), int(stop)
        begin = self._check(start, stop, tokens, offset)
        return np.ascontiguousarray(self.source.read(start, stop, begin + tokens)[:, begin:])

    def take(self, rows: Sequence[int] | Tokens, tokens: int, offset: int = 0) -> Tokens:
        """Return `tokens` tokens of the given rows from `offset` on, `(len(rows), tokens)`.

        Raises:
            CorpusError: As `read`.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        ends = (int(wanted.min()), int(wanted.max()) + 1) if len(wanted) else (0, 0)
        begin = self._check(*ends, tokens, offset)
        return np.ascontiguousarray(self.source.take(wanted, begin + tokens)[:, begin:])

    def check_tokens(self, tokens: int, offset: int = 0) -> None:
        """Refuse sequences that the rows do not hold.

        Raises:
            CorpusError: Tokens [offset, offset + tokens) of a row are not all here.
        """
        stop = self.first_token + self.row_tokens
        if offset < self.first_token or offset + tokens > stop:
            raise CorpusError(
                f"corpus {self.name} has {self.held}, sequences take tokens {offset}-"
                f"{offset + tokens - 1}: choose shorter ones, another offset, or a corpus with "
                "longer rows"
            )

    def _check(self, start: int, stop: int, tokens: int, offset: int) -> int:
        """Return where in the rows that are here the tokens begin."""
        if not 0 <= start <= stop <= len(self):
            raise CorpusError(
                f"rows [{start}, {stop}) are outside corpus {self.name} (0..{len(self)})"
            )
        if tokens < 1:
            raise CorpusError(f"{tokens} tokens asked of corpus {self.name}: ask for 1 or more")
        self.check_tokens(tokens, offset)
        return offset - self.first_token

    @cached_property
    def digest(self) -> str:
        """Return the sha256 that identifies the corpus in every run.

        It covers the layout and the bytes: all of them up to 64 MiB, else 1,024 evenly spaced
        blocks of 64 KiB, since hashing 600 GB would cost more than the scan. The bytes are those
        of the rows in training order, so the same rows have the same digest in other files, or
        read by index maps; and rows copied from a corpus keep its digest: a run that was begun
        on the corpus can be finished on its prefix pack.
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
        for block in in_parallel(self._block, starts, self.remote):
            digest.update(block)
        return digest.hexdigest()

    def _block(self, start: int) -> bytes:
        """Return a block of the rows' bytes, as if they lay one after another."""
        stop = min(start + _DIGEST_BLOCK, self.size)
        first, last = start // self.row_bytes, -(-stop // self.row_bytes)
        rows = self.read(first, last, self.row_tokens).astype(self.dtype, copy=False).tobytes()
        return rows[start - first * self.row_bytes : stop - first * self.row_bytes]
