"""The files of published evaluations: one table each, in CSV, Parquet or HDF5.

rank-0.csv …   lines `index,accuracy`, accuracy the share of 32 tokens that generation got right
NAME.hdf       the same as one table, as pandas writes it
NAME.parquet   `index`, `tokens` (64 ids): the memorized sequences and no others
NAME.*         one column of indices (Parquet, CSV or .npy): the same without tokens
"""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.errors import RunError, first_line
from memtrace.scanning.published_names import kind_of
from memtrace.storage.columns import read_integers, whole_numbers
from memtrace.types import Int64Array

_COLUMNS = ["index", "accuracy"]


@dataclass(frozen=True)
class Table:
    """What one file says, in its own order; tables of memorized sequences have accuracy 1."""

    index: Int64Array
    accuracy: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int64] | None = None
    memorized_only: bool = False
    """Whether sequences that are not in the table were evaluated and not memorized."""


def read_table(path: Path) -> Table:
    """Read one file.

    Raises:
        RunError: It is no table of an evaluation, or a value in it cannot be one; HDF5 needs h5py.
    """
    try:
        return _READERS[kind_of(path)](path)
    # As h5py and Polars raise them, and the checks below.
    except (
        OSError,
        EOFError,
        pl.exceptions.PolarsError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise RunError(f"cannot read {path} as an evaluation: {first_line(error)}") from error


def _read_csv(path: Path) -> Table:
    """Read `index,accuracy`, with or without a line of names; other columns are passed over."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        names = [name.strip().strip('"') for name in file.readline().split(",")]
    has_header = not all(_is_number(name) for name in names)
    if len(names) == 1:
        return _indices(path)
    if not has_header and len(names) != 2:
        raise ValueError(f"{len(names)} columns without names: expected index,accuracy")
    if has_header:
        _require(names, _COLUMNS)
    # Read as floats, which hold every index that a corpus can have, and checked to be whole.
    types = {name: pl.Float64() for name in _COLUMNS}
    named: dict[str, Any] = (
        {"schema_overrides": types, "columns": _COLUMNS} if has_header else {"schema": types}
    )
    return _table(pl.read_csv(path, has_header=has_header, glob=False, **named))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> Table:
    names = list(pl.read_parquet_schema(path))
    if "accuracy" in names:
        _require(names, _COLUMNS)
        return _table(pl.read_parquet(path, columns=_COLUMNS, glob=False))
    if len(names) == 1:
        return _indices(path)
    _require(names, ["index", "tokens"])
    table = pl.read_parquet(path, columns=["index", "tokens"], glob=False)
    index = whole_numbers(table["index"], "index")
    return _memorized(index, _token_rows(table["tokens"]))


def _indices(path: Path) -> Table:
    """Read the indices of the memorized sequences alone."""
    return _memorized(read_integers(path), None)


def _memorized(index: Int64Array, tokens: npt.NDArray[np.int64] | None) -> Table:
    return Table(index, np.ones(len(index), np.float32), tokens, memorized_only=True)


def _read_hdf(path: Path) -> Table:
    """Read a table that pandas wrote, in its `fixed` format, or data sets `index`, `accuracy`."""
    try:
        import h5py
    except ImportError:
        raise RunError(
            f"{path} is HDF5, which needs h5py: pip install 'memtrace-llm[import-hdf5]'"
        ) from None
    if not h5py.is_hdf5(path):
        raise ValueError("it is neither HDF5 nor named .csv, .csv.gz or .parquet")
    with h5py.File(path, "r") as file:
        for group in (file, *(item for item in file.values() if isinstance(item, h5py.Group))):
            columns = {**_blocks(group), **_datasets(group, h5py.Dataset)}
            if columns.keys() >= set(_COLUMNS):
                return _table(pl.DataFrame({name: columns[name] for name in _COLUMNS}))
    raise ValueError("no table with columns index and accuracy (pandas' format 'fixed')")


def _blocks(group: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a pandas table: blocks of columns of one type, each with its names."""
    columns = {}
    for key in group:
        if key.endswith("_items"):
            values = group[key.replace("_items", "_values")][...]
            for column, name in enumerate(group[key][...]):
                columns[name.decode() if isinstance(name, bytes) else str(name)] = values[:, column]
    return columns


def _datasets(group: Any, kind: type) -> dict[str, npt.NDArray[Any]]:
    return {name: group[name][...] for name in _COLUMNS if isinstance(group.get(name), kind)}


def _require(names: list[str], wanted: list[str]) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(
            f"no column {' nor '.join(missing)} among {', '.join(names[:8])}: expected index and "
            "accuracy, index and tokens, or one column of indices"
        )


def _table(table: pl.DataFrame) -> Table:
    """Return the two columns as numbers; an accuracy is a share."""
    index = whole_numbers(table["index"], "index")
    accuracy = table["accuracy"].cast(pl.Float32)
    wrong = ~accuracy.is_between(0, 1).fill_null(value=False)
    if wrong.any():
        raise ValueError(
            f"an accuracy is not within 0 to 1: {table['accuracy'].filter(wrong)[0]} of index "
            f"{table['index'].filter(wrong)[0]}"
        )
    return Table(index, accuracy.to_numpy())


def _token_rows(column: pl.Series) -> npt.NDArray[np.int64]:
    """Return lists of token ids, of fixed size or not, as one array."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if not isinstance(column.dtype, pl.List):
        raise ValueError(f"tokens are {column.dtype}, expected lists of token ids")
    if column.null_count():
        raise ValueError(f"tokens are missing in {column.null_count()} of {len(column)} rows")
    width = sorted(column.list.len().unique().to_list())
    if len(width) > 1:
        raise ValueError(f"its sequences have {width} tokens")
    flat = column.explode() if len(column) else pl.Series([], dtype=pl.Int64)
    return whole_numbers(flat, "a token id").reshape(len(column), width[0] if width else 0)


_READERS = {"csv": _read_csv, "parquet": _read_parquet, "hdf": _read_hdf, "npy": _indices}
