"""Text for the terminal: a verdict in a panel, sections below it, tables that fit the width."""

import io
import shutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from memtrace.report.columns import Columns, columns, named_values, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 100
NARROWEST, WIDEST = 60, 200
__all__ = [
    "Columns",
    "columns",
    "named_values",
    "printable",
    "rendered",
    "sections",
    "terminal_width",
]
Rows = Sequence[tuple[str, str]]
"""Names and values."""


def terminal_width() -> int:
    """Return the columns to print in: those of the terminal between 60 and 200, or else 100."""
    return min(max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST), WIDEST)


def rendered(renderable: "RenderableType", *, width: int = WIDTH, colour: bool = False) -> str:
    """Return what rich would print, without blanks at the ends of lines."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        color_system="standard" if colour else None,
        force_terminal=colour,
        force_jupyter=False,
        legacy_windows=False,
    )
    console.print(renderable)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def sections(
    title: str, verdict: str, blocks: Iterable[tuple[str, "RenderableType"]], source: str = ""
) -> "RenderableType":
    """Return the verdict in a panel, then each block under its heading, then the source."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    head = Text(printable(title))
    parts: list[Any] = [Panel(Text(verdict), title=head, title_align="left", border_style="blue")]
    for heading, block in blocks:
        parts += [Text(""), Text(heading, style="bold"), Padding(block, (0, 0, 0, 2))]
    if source:
        parts += [Text(""), Text(f"From {printable(source)}", style="dim")]
    return Group(*parts)
