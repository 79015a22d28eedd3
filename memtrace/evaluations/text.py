"""What was read of a folder of evaluations, as it is printed."""

from typing import TYPE_CHECKING

from memtrace.evaluations.folder import Evaluations
from memtrace.report.numbers import count
from memtrace.report.text import Columns, named_values, printable

if TYPE_CHECKING:
    pass

LISTED = 8
"""Files that are named; the document names all."""


def read_text(evaluations: Evaluations) -> str:
    """Return how many files and values were read."""
    done = len(evaluations.files) - len(evaluations.unread)
    values = count(evaluations.table.height, "value")
    return f"{done:,} of {len(evaluations.files):,} .json files, {values}"


def files_table(evaluations: Evaluations) -> Columns:
    """Return what was read and what not, with reasons."""
    rows = [("read", read_text(evaluations))]
    if evaluations.others:
        rows.append(("not opened", f"{count(evaluations.others, 'file')} of another kind"))
    for name, files in (("not read", evaluations.unread), ("in part", evaluations.noted)):
        rows += [(name, printable(f"{file.path}: {file.note}")) for file in files[:LISTED]]
        if len(files) > LISTED:
            rows.append((name, f"and {len(files) - LISTED} more (all in --json)"))
    return named_values(rows, 14)
