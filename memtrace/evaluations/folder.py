"""A folder of evaluations as one table, with a list of what was read and what not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from memtrace.errors import FitError
from memtrace.evaluations.harness import Content, Row, UnreadError, read_file
from memtrace.manifests.lookup import load_suites

EVALUATIONS_SCHEMA = pl.Schema(
    {
        "model": pl.String,
        "run": pl.String,
        "step": pl.Int64,
        "shots": pl.Int64,
        "task": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "stderr": pl.Float64,
        "higher_is_better": pl.Boolean,
        "file": pl.String,
    }
)
PERPLEXITY = ("ppl", "perplexity", "word_perplexity")
"""Metrics of which the logarithm counts."""
KEY = ("model", "run", "step", "shots", "task", "metric")


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file."""

    path: str
    """Relative to the folder."""
    values: int
    """Values taken from it; 0 if it was not read."""
    note: str | None
    """Why it was not read, or what in it was passed over; None where all is well."""


@dataclass(frozen=True)
class Evaluations:
    """The values of a folder, and what was read of it and what not."""

    table: pl.DataFrame
    """One row a value, of `EVALUATIONS_SCHEMA`, sorted; no two rows agree in all of `KEY`."""
    files: tuple[FileReport, ...]
    """Every `.json` file, in the order of paths."""
    others: int
    """Files that are no `.json` and were not opened."""

    @property
    def unread(self) -> list[FileReport]:
        """Return the files of which nothing was read."""
        return [file for file in self.files if not file.values]

    @property
    def noted(self) -> list[FileReport]:
        """Return the files that were read with something passed over."""
        return [file for file in self.files if file.values and file.note]

    def document(self) -> dict[str, Any]:
        """Return what was read: counts, and each file of which that is not the whole story."""
        return {
            "json_files": len(self.files),
            "read": len(self.files) - len(self.unread),
            "values": self.table.height,
            "not_read": [{"path": f.path, "reason": f.note} for f in self.unread],
            "read_in_part": [asdict(file) for file in self.noted],
            "other_files": self.others,
        }


def read_evaluations(folder: str | Path) -> Evaluations:
    """Read every `.json` file below a folder.

    Step, model and shots come from a file's content, or else from its name and folders; where the
    two contradict each other about the step or the shots, it is not read. Of values that are there
    twice the one of the newest file counts, by the time in its name or its content; of files
    without a time the first path. What is said of the other file names it.

    Raises:
        FitError: The folder is missing, or nothing in it could be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FitError(f"{folder} is not a folder: pass the one that holds the evaluations (.json)")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    suites = load_suites()
    contents: list[Content] = []
    reports: dict[str, FileReport] = {}
    for path in (path for path in paths if path.suffix.lower() == ".json"):
        name = path.relative_to(folder)
        try:
            content = read_file(path, name, suites)
        except UnreadError as reason:
            reports[name.as_posix()] = FileReport(name.as_posix(), 0, str(reason))
            continue
        contents.append(content)
        reports[name.as_posix()] = FileReport(name.as_posix(), len(content.rows), content.note)
    found = _newest(contents, reports)
    if not found:
        raise FitError(f"no evaluation could be read from {folder}: {_why(list(reports.values()))}")
    table = pl.DataFrame(found, schema=EVALUATIONS_SCHEMA, orient="row")
    return Evaluations(table.sort(KEY), tuple(reports.values()), len(paths) - len(reports))


def _newest(contents: Sequence[Content], reports: dict[str, FileReport]) -> list[Row]:
    """Return one row for each key, and note in the reports of which files values are passed over.

    Args:
        contents: Of the files, in the order of paths.
        reports: By file.
    """
    found: dict[tuple[Any, ...], Row] = {}
    for content in sorted(contents, key=lambda one: one.written or datetime.min, reverse=True):
        file = content.rows[0].file
        older = [row for row in content.rows if row[: len(KEY)] in found]
        if older:
            other = found[older[0][: len(KEY)]].file
            note = f"passed over, since {other} has them too: {len(older)} values"
            report = reports[file]
            kept, notes = report.values - len(older), filter(None, (report.note, note))
            reports[file] = replace(report, values=kept, note="; ".join(notes))
        for row in content.rows:
            found.setdefault(row[: len(KEY)], row)
    return list(found.values())


def _why(reports: list[FileReport]) -> str:
    if not reports:
        return "there is no .json file below it"
    first = reports[0]
    files = (
        "the only .json file" if len(reports) == 1 else f"the first of {len(reports):,} .json files"
    )
    return f"{files} is {first.path}: {first.note}"
