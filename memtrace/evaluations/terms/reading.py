"""Tables of accuracy by term and of counts by checkpoint, as they are read."""

from pathlib import Path

import polars as pl

from memtrace.corpus.term_counts import COUNTS_SCHEMA
from memtrace.errors import FitError, first_line
from memtrace.evaluations.names import model_of

ACCURACY_SCHEMA = pl.Schema(
    {
        "model": pl.String,
        "step": pl.Int64,
        "task": pl.String,
        "term": pl.String,
        "shots": pl.Int64,
        "acc": pl.Float64,
        "acc_stderr": pl.Float64,
    }
)
_NAMES = {"checkpoint": "step", "fewshot": "shots", "accuracy": "acc", "stderr": "acc_stderr"}


def read_term_accuracy(path: str | Path) -> pl.DataFrame:
    """Read accuracy by term from a CSV file, or from all CSV files below a folder.

    Columns: `model`, `checkpoint` (or `step`), `task`, `fewshot` (or `shots`), `acc`, and, where
    there are, `acc_stderr` and `term`; without `term` it is what follows the last underscore of
    the task.

    Returns:
        A table of `ACCURACY_SCHEMA`, without rows that are there twice.

    Raises:
        FitError: There is no CSV file, or one lacks a column or holds something else in it.
    """
    path = Path(path)
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise FitError(f"no CSV file in {path}: pass a table of accuracy by term")
    return pl.concat(map(_read_csv, files)).unique(maintain_order=True)


def read_counts(path: str | Path) -> pl.DataFrame:
    """Read a table of counts, Parquet or CSV.

    Raises:
        FitError: It cannot be read, or has not the columns term, step and count.
    """
    path = Path(path)
    try:
        table = (
            pl.read_csv(path, schema_overrides={"term": pl.String})
            if (path.suffix == ".csv")
            else pl.read_parquet(path)
        )
        return table.select(COUNTS_SCHEMA.names()).cast(COUNTS_SCHEMA)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FitError(
            f"{path} is no table of term, step, count ({first_line(error)}): make one with "
            "`memtrace corpus count`"
        ) from error


def _read_csv(path: Path) -> pl.DataFrame:
    try:
        table = pl.read_csv(path, schema_overrides={"term": pl.String})
        table = table.rename({k: v for k, v in _NAMES.items() if k in table.columns})
        if "term" not in table.columns:
            parts = pl.col("task").str.extract_groups(r"^(?<task>.*)_(?<term>[^_]*)$")
            table = table.with_columns(parts.struct.unnest())
        if "acc_stderr" not in table.columns:
            table = table.with_columns(acc_stderr=pl.lit(None, pl.Float64))
        found = table.select(ACCURACY_SCHEMA.names()).cast(ACCURACY_SCHEMA)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FitError(
            f"{path} is no table of model, checkpoint, task, fewshot, acc ({first_line(error)})"
        ) from error
    return found.with_columns(
        pl.col("model").map_elements(lambda name: model_of(name).model, pl.String)
    )
