"""Rows of a run that is longer than its order of training, and begins that order again."""

from dataclasses import dataclass

import numpy as np

from memtrace.corpus.parts import Part
from memtrace.corpus.rows import Rows, Tokens
from memtrace.types import Int64Array


@dataclass(frozen=True)
class RepeatedRows:
    """Row r of training is row r mod `period` of the order."""

    source: Rows
    """The order."""
    period: int
    """Rows after which it begins again, at most all of `source`."""
    count: int
    """Rows that training consumed."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the files of the order."""
        return self.source.parts

    @property
    def row_tokens(self) -> int:
        """Return the tokens of a row."""
        return self.source.row_tokens

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Return the type of a token on disk."""
        return self.source.dtype

    @property
    def remote(self) -> bool:
        """Return whether reading needs a network."""
        return self.source.remote

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.count

    def read(self, start: int, stop: int, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the rows [start, stop), `(stop - start, tokens)`."""
        begin = start % self.period
        if begin + stop - start <= self.period:
            return self.source.read(begin, begin + stop - start, tokens)
        return self.take(np.arange(start, stop), tokens)

    def take(self, rows: Int64Array, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the given rows, `(len(rows), tokens)`."""
        return self.source.take(rows % self.period, tokens)
