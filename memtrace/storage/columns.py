"""Whole numbers from a column of a table: Parquet, CSV (gzipped too) or a NumPy array."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl

from memtrace.errors import RunError, first_line
from memtrace.types import Int64Array

ENDINGS = (".parquet", ".csv", ".csv.gz", ".npy")
"""What the name of a table ends in."""
_MOST = 2**53  # up to here a float64 holds every whole number


def is_table(path: Path) -> bool:
    """Return whether a path is a table by its name."""
    return path.name.lower().endswith(ENDINGS)


def read_integers(path: Path, column: str | None = None) -> Int64Array:
    """Return one column of whole numbers, in the order of the file.

    Args:
        path: Parquet, CSV with or without a line of names, or a one-dimensional `.npy` array.
        column: Its name; by default the only column, or the only one of whole numbers, or `index`,
            or `sequence_index`.

    Raises:
        RunError: The file cannot be read, the column is not there or not the only one, or a value
            in it is no whole number.
    """
    try:
        table = _read(path)
        chosen = table[_choose(table, column)]
        return whole_numbers(chosen, chosen.name or "index")
    except (OSError, EOFError, pl.exceptions.PolarsError, ValueError, TypeError) as error:
        raise RunError(f"cannot read {path} as a table of indices: {first_line(error)}") from error


def whole_numbers(column: pl.Series, name: str) -> Int64Array:
    """Return a column of whole numbers, whatever numeric type it is kept in.

    Raises:
        ValueError: A value is missing, or no whole number.
    """
    if not column.dtype.is_numeric():
        raise ValueError(f"{name} is {column.dtype}, expected whole numbers")
    if column.null_count():
        raise ValueError(f"{name} is missing in {column.null_count()} of {len(column)} rows")
    if column.dtype.is_float():
        wrong = ~(column.is_finite() & (column.abs() < _MOST) & (column.floor() == column))
        if wrong.any():
            raise ValueError(f"{name} {column.filter(wrong)[0]} is no whole number")
    return column.cast(pl.Int64).to_numpy()


def _read(path: Path) -> pl.DataFrame:
    name = path.name.lower()
    if name.endswith(".npy"):
        array = np.load(path, allow_pickle=False)
        if array.ndim != 1:
            raise ValueError(f"an array of shape {array.shape}, expected one dimension")
        return pl.DataFrame({"index": array})
    if name.endswith((".csv", ".csv.gz")):
        return pl.read_csv(path, has_header=_has_names(path), glob=False, infer_schema_length=None)
    if name.endswith(".parquet"):
        return pl.read_parquet(path, glob=False)
    raise ValueError(f"its name does not end in {', '.join(ENDINGS)}")


def _has_names(path: Path) -> bool:
    """Return whether the first line of a CSV file holds names: none of its cells is a number."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        cells = file.readline().split(",")
    return not any(_is_number(cell) for cell in cells)


def _is_number(text: str) -> bool:
    try:
        float(text.strip().strip('"'))
    except ValueError:
        return False
    return True


def _choose(table: pl.DataFrame, column: str | None) -> str:
    """Return the name of the column that is meant."""
    names = table.columns
    if column is not None:
        if column not in names:
            raise ValueError(f"no column {column!r} among {', '.join(names[:8])}")
        return column
    integers = [name for name, kind in table.schema.items() if kind.is_integer()]
    named = [name for name in ("index", "sequence_index") if name in names]
    for found in (names, integers, named):
        if len(found) == 1:
            return found[0]
    raise ValueError(
        f"{len(integers)} columns of whole numbers among {', '.join(names[:8])}: name one with "
        "--column"
    )
