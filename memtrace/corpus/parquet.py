"""Parquet tables with a column of token ids, one row of training each, in the order of the table.

A block of rows is decoded at a time; the last one that was needed is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from memtrace.corpus.parts import FilePart, file_part
from memtrace.corpus.rows import Tokens
from memtrace.errors import CorpusError
from memtrace.types import Int64Array

_COLUMN = "input_ids"
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class ParquetRows:
    """Rows in the column of token ids of several files, one after another."""

    parts: tuple[FilePart, ...]
    counts: tuple[int, ...]
    """Rows of each file."""
    column: str
    row_tokens: int
    dtype: np.dtype[np.integer]
    remote = False

    @cached_property
    def _ends(self) -> Int64Array:
        return np.cumsum(np.array(self.counts, np.int64))

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(self.counts)

    def read(self, start: int, stop: int, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the rows [start, stop), `(stop - start, tokens)`."""
        return self.take(np.arange(start, stop), tokens)

    def take(self, rows: Int64Array, tokens: int) -> Tokens:
        """Return the first `tokens` tokens of the given rows, `(len(rows), tokens)`.

        Raises:
            CorpusError: A file cannot be decoded, or a row has another length.
        """
        out = np.empty((len(rows), tokens), self.dtype)
        file = np.searchsorted(self._ends, rows, side="right")
        within = rows - (self._ends - np.array(self.counts))[file]
        key = np.column_stack((file, within // _BLOCK_ROWS))
        for number, block in np.unique(key, axis=0).tolist():
            chosen = (key == (number, block)).all(axis=1)
            found = _block(self, number, block)
            out[chosen] = found[within[chosen] - block * _BLOCK_ROWS, :tokens]
        return out


@lru_cache(maxsize=4)
def _block(rows: ParquetRows, number: int, block: int) -> Tokens:
    """Return a block of whole rows of a file."""
    part = rows.parts[number]
    part.check_unchanged()
    start = block * _BLOCK_ROWS
    found = _collect(part.path, pl.scan_parquet(part.path).select(rows.column), start)
    lengths = found.list.len() if isinstance(found.dtype, pl.List) else None
    if found.null_count() or (lengths is not None and (lengths != rows.row_tokens).any()):
        raise CorpusError(
            f"{part.path} has rows in {rows.column} that have not {rows.row_tokens} tokens, as "
            "its first row has: a corpus has rows of one length, as they were trained on"
        )
    flat = found.explode()
    if flat.null_count():
        raise CorpusError(f"{part.path} has null in place of a token id in {rows.column}")
    return flat.to_numpy().reshape(-1, rows.row_tokens)


def _collect(path: Path, table: pl.LazyFrame, start: int, count: int = _BLOCK_ROWS) -> pl.Series:
    try:
        return table.slice(start, count).collect().to_series()
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = " ".join(str(error).split())
        raise CorpusError(f"{path} cannot be read as a Parquet table: {problem}") from error


def is_table(path: Path) -> bool:
    """Return whether a path is a Parquet file by its name, or a folder of them."""
    if path.is_dir():
        return any(path.glob("*.parquet"))
    return path.suffix == ".parquet" and path.is_file()


def parquet_rows(paths: Sequence[Path]) -> ParquetRows:
    """Open Parquet files, or the `.parquet` files of folders by name, as token rows.

    The column is `input_ids`, or the only one with lists of integers.

    Raises:
        CorpusError: A file is no such table, or they differ in column, type or length of rows.
    """
    files = [file for path in paths for file in _files(path)]
    parts = tuple(map(file_part, files))
    kinds = [_kind(file) for file in files]
    for file, kind in zip(files, kinds, strict=True):
        if kind != kinds[0]:
            raise CorpusError(
                f"{file} has rows of {kind[1]} {kind[2]} tokens in {kind[0]}, {files[0]} of "
                f"{kinds[0][1]} {kinds[0][2]} in {kinds[0][0]}: the files of a corpus are alike"
            )
    counts = tuple(_count(file) for file in files)
    return ParquetRows(parts, counts, *kinds[0])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if found := sorted(path.glob("*.parquet")):
        return found
    raise CorpusError(f"{path} has no .parquet file")


def _count(path: Path) -> int:
    return int(_collect(path, pl.scan_parquet(path).select(pl.len()), 0).item())


def _kind(path: Path) -> tuple[str, int, np.dtype[np.integer]]:
    """Return column, tokens of the first row, and type of a token."""
    table = pl.scan_parquet(path)
    try:
        schema = table.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = " ".join(str(error).split())
        raise CorpusError(f"{path} cannot be read as a Parquet table: {problem}") from error
    lists = {
        name: kind.inner
        for name, kind in schema.items()
        if isinstance(kind, pl.List | pl.Array) and kind.inner.is_integer()
    }
    named = [_COLUMN] if _COLUMN in lists else list(lists)
    texts = [name for name, type_ in schema.items() if type_ == pl.String]
    if not lists and texts:
        raise CorpusError(
            f"{path} is a table of text ({', '.join(texts[:4])}), not of token ids: tokenize it: "
            f"memtrace corpus tokenize {path} --field {texts[0]} --tokenizer MODEL --output PREFIX"
        )
    if len(named) != 1:
        raise CorpusError(
            f"{path} has {len(named)} columns with lists of integers ({', '.join(lists) or 'none'} "
            f"of {', '.join(schema)}): a corpus has one, or {_COLUMN}"
        )
    first = _collect(path, table.select(named[0]), 0, 1)
    if not len(first) or first[0] is None or not len(first[0]):
        raise CorpusError(f"{path} has no token in its first row of {named[0]}")
    return named[0], len(first[0]), first[0].to_numpy().dtype
