"""Evaluations that others have published: what their files say, and what is wrong in them.

It reads files and resolves what contradicts itself; it does not know runs.

    rank-0.csv …   lines `index,accuracy`, accuracy the share of 32 tokens that generation got right
    NAME.hdf       the same as one table, as pandas writes it
    NAME.parquet   `index`, `tokens` (64 ids): the memorized sequences and no others
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.errors import RunError
from memtrace.types import Int64Array

_ENDINGS = (".csv", ".parquet", ".hdf", ".h5", ".hdf5")


@dataclass(frozen=True)
class Findings:
    """What was wrong in the files, and is resolved: by index, never by position."""

    rows_read: int
    duplicates: int
    """Rows that repeat an index with the same result: ranks that overlap."""
    conflicts: int
    """Rows that repeat an index with another result; the lower accuracy is kept."""
    shifted: int
    """Rows of a last, partial batch that was labelled one too high; they are moved back."""
    out_of_order: int
    """Rows whose index is not above that of the row before: position says nothing."""
    unexposed: int
    """Rows that the checkpoint had not seen; left out."""
    missing: int
    """Exposed rows of which the files say nothing; they do not count as looked at."""


@dataclass(frozen=True)
class Evaluation:
    """Published results, one row an index."""

    index: Int64Array
    """Ascending and unique."""
    memorized: npt.NDArray[np.bool_]
    accuracy: npt.NDArray[np.float32] | None
    """None for a table of memorized sequences only."""
    tokens: npt.NDArray[np.int64] | None
    """`(n, 64)` where the file has them."""
    findings: Findings

    @property
    def memorized_only(self) -> bool:
        """Return whether sequences that are not in the table were looked at and not memorized."""
        return self.accuracy is None


@dataclass(frozen=True)
class _Rows:
    """What one file says, in its own order; tables of memorized rows have accuracy 1."""

    index: Int64Array
    accuracy: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int64] | None
    shifted: int = 0


def read_evaluation(source: Path, *, corpus_rows: int, exposed_rows: int) -> Evaluation:
    """Read a file, or all files of a folder, and resolve what contradicts itself.

    Args:
        source: A `.csv`, `.hdf` or `.parquet` file, or a folder of files of one kind.
        corpus_rows: Rows of the corpus; no index can be as large, but for one known fault.
        exposed_rows: Rows that the checkpoint had seen.

    Raises:
        RunError: There is nothing to read, or the rows cannot be of this corpus.
    """
    parts = [_read(path, corpus_rows) for path in _files(source)]
    index = np.concatenate([part.index for part in parts])
    accuracy = np.concatenate([part.accuracy for part in parts])
    with_tokens = [part.tokens for part in parts if part.tokens is not None]
    if with_tokens and len(with_tokens) != len(parts):
        raise RunError(f"{source} mixes tables of memorized sequences with others: import one kind")
    tokens = np.concatenate(with_tokens) if with_tokens else None
    if len(index) and not 0 <= index.min() <= index.max() < corpus_rows:
        wrong = index[(index < 0) | (index >= corpus_rows)][0]
        raise RunError(
            f"{source} has index {wrong}, the corpus has rows 0 to {corpus_rows - 1}: "
            "is it another model's or another corpus'?"
        )
    # Of equal indices the lowest accuracy comes first: memorized is what every copy says.
    order = np.lexsort((accuracy, index))
    new = np.diff(index[order], prepend=-1) != 0
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    again, kept = order[~new], order[new]
    same = accuracy[again] == accuracy[order[first[~new]]]
    if tokens is not None:
        same &= (tokens[again] == tokens[order[first[~new]]]).all(axis=1)
    exposed = kept[index[kept] < exposed_rows]
    findings = Findings(
        rows_read=len(index),
        duplicates=int(same.sum()),
        conflicts=int((~same).sum()),
        shifted=sum(part.shifted for part in parts),
        out_of_order=int((np.diff(index) <= 0).sum()),
        unexposed=len(kept) - len(exposed),
        missing=0 if with_tokens else exposed_rows - len(exposed),
    )
    return Evaluation(
        index=index[exposed],
        memorized=accuracy[exposed] == 1,
        accuracy=None if with_tokens else accuracy[exposed],
        tokens=None if tokens is None else tokens[exposed],
        findings=findings,
    )


def describe(findings: Findings) -> list[str]:
    """Return one line for each thing that was found, with what was done about it."""
    said = {
        "duplicates": "rows repeat an index with the same result: kept once",
        "conflicts": "rows repeat an index with another result: the lower one is kept",
        "shifted": "rows of a last batch were labelled one too high: moved back by one",
        "out_of_order": "rows are out of order: sorted by index",
        "unexposed": "rows are of sequences that the checkpoint had not seen: left out",
        "missing": "sequences that it had seen are not in the files: they count as not looked at",
    }
    counts = {field.name: getattr(findings, field.name) for field in fields(findings)}
    return [f"{counts[name]:,} {text}" for name, text in said.items() if counts[name]]


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = [path for path in sorted(source.glob("*")) if path.suffix in _ENDINGS]
    if not found:
        raise RunError(
            f"{source} has no evaluations: expected a file or a folder of {', '.join(_ENDINGS)}; "
            "get a data set of the Hub with `hf download --repo-type dataset` first"
        )
    if len({path.suffix for path in found}) > 1:
        raise RunError(
            f"{source} has files of several kinds: name one file or a folder of one kind"
        )
    return found


def _read(path: Path, corpus_rows: int) -> _Rows:
    readers: dict[str, Callable[[Path], _Rows]] = {".csv": _read_csv, ".parquet": _read_parquet}
    try:
        rows = readers.get(path.suffix, _read_hdf)(path)
    except (OSError, pl.exceptions.PolarsError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"cannot read {path} as an evaluation: {reason}") from error
    return rows if rows.tokens is not None else _move_back(rows, corpus_rows)


def _move_back(rows: _Rows, corpus_rows: int) -> _Rows:
    """Correct the label of a last, partial batch, which the script that wrote it gave one too high.

    It is known by an index that no corpus has: `corpus_rows`, one past the last. The batch is the
    stretch of consecutive indices that ends there.
    """
    (past,) = np.nonzero(rows.index == corpus_rows)
    if not len(past):
        return rows
    end = past[-1] + 1
    breaks = np.flatnonzero(np.diff(rows.index[:end]) != 1) + 1
    start = breaks[-1] if len(breaks) else 0
    index = rows.index.copy()
    index[start:end] -= 1
    return _Rows(index, rows.accuracy, None, int(end - start))


def _read_csv(path: Path) -> _Rows:
    """Read `index,accuracy`, with or without a line of names; other columns are passed over."""
    with path.open(encoding="utf-8") as file:
        head = file.readline()
    if "index" in head:
        table = pl.read_csv(path, columns=["index", "accuracy"])
    else:
        table = pl.read_csv(path, has_header=False, new_columns=["index", "accuracy"])
    return _checked(table)


def _read_parquet(path: Path) -> _Rows:
    names = pl.read_parquet_schema(path).keys()
    if "accuracy" in names:
        return _checked(pl.read_parquet(path, columns=["index", "accuracy"]))
    table = pl.read_parquet(path, columns=["index", "tokens"])
    width = table["tokens"].list.len().unique().to_list()
    if len(width) != 1:
        raise ValueError(f"its sequences have {sorted(width)} tokens")
    tokens = table["tokens"].list.to_array(width[0]).to_numpy()
    index = table["index"].to_numpy().astype(np.int64)
    return _Rows(index, np.ones(len(table), np.float32), tokens.astype(np.int64))


def _read_hdf(path: Path) -> _Rows:
    """Read a table that pandas wrote, in its `fixed` format, or data sets `index`, `accuracy`."""
    try:
        import h5py
    except ImportError:
        raise RunError(
            f"{path} is HDF5, which needs h5py: pip install 'memtrace-llm[import-hdf5]'"
        ) from None
    with h5py.File(path, "r") as file:
        for group in (file, *(item for item in file.values() if isinstance(item, h5py.Group))):
            columns = {**_blocks(group), **_datasets(group, h5py.Dataset)}
            if {"index", "accuracy"} <= columns.keys():
                return _checked(pl.DataFrame({k: columns[k] for k in ("index", "accuracy")}))
    raise ValueError("no table with columns index and accuracy (pandas' format 'fixed')")


def _blocks(group: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a pandas table: blocks of columns of one type, each with its names."""
    columns = {}
    for key in group:
        if key.endswith("_items"):
            values = group[key.replace("_items", "_values")][...]
            for place, name in enumerate(group[key][...]):
                columns[name.decode() if isinstance(name, bytes) else str(name)] = values[:, place]
    return columns


def _datasets(group: Any, kind: type) -> dict[str, npt.NDArray[Any]]:
    names = ("index", "accuracy")
    return {name: group[name][...] for name in names if isinstance(group.get(name), kind)}


def _checked(table: pl.DataFrame) -> _Rows:
    """Return the two columns as numbers; an accuracy is a share."""
    index = table["index"].cast(pl.Int64).to_numpy()
    accuracy = table["accuracy"].cast(pl.Float32).to_numpy()
    if not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise ValueError("an accuracy is not within 0 to 1")
    return _Rows(index, accuracy, None)
