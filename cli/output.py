"""Where a command writes its answer as files: a JSON document and a page of figures.

It knows nothing of what is in them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def output_option(name: str) -> Callable[..., Any]:
    """Return the option --output of a command that writes NAME.json, NAME.png and NAME.svg."""
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        help=f"Folder for {name}.json and the figures ({name}.png and {name}.svg).",
    )


def write_answer(folder: Path, name: str, document: dict[str, Any], figure: "Figure") -> None:
    """Write the document and the figures.

    Raises:
        RunError: The folder cannot be written.
    """
    import json

    from memtrace.errors import RunError
    from memtrace.plots import write_figure

    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        write_figure(figure, folder / name)
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --output"
        ) from error
