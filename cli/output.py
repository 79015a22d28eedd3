"""Where a command writes its result as files: a JSON document, figures and a page."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from memtrace.report.page import Page


def write_result(folder: Path, name: str, document: dict[str, Any], figure: "Figure") -> None:
    """Write the document and the figures.

    Raises:
        RunError: The folder cannot be written.
    """
    from memtrace.report.figures import write_figure

    with writing_to(folder):
        write_document(folder / f"{name}.json", document)
        write_figure(figure, folder / name)


def write_page(folder: Path, page: "Page") -> None:
    """Write a page as report.html.

    Raises:
        RunError: The folder cannot be written.
    """
    from memtrace.report.page import page_html

    with writing_to(folder):
        (folder / "report.html").write_text(page_html(page), encoding="utf-8")


def write_document(path: Path, document: Any) -> None:
    """Write a JSON document, in which nothing is NaN."""
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_table(path: Path, table: "pl.DataFrame") -> None:
    """Write a Parquet file.

    Raises:
        OSError: It cannot be written; polars by itself has an error of its own for a full disk.
    """
    content = io.BytesIO()
    table.write_parquet(content)
    path.write_bytes(content.getvalue())


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make the folder, and tell in one line what goes wrong while it is written to.

    Raises:
        RunError: The folder cannot be written.
    """
    from memtrace.errors import RunError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --output"
        ) from error
