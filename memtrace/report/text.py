"""Text for the terminal: a verdict in a panel, sections below it, tables that fit the width."""

import io
import shutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDTH = 100
NARROWEST, WIDEST = 60, 200
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


def printable(text: str) -> str:
    r"""Return the text with control characters written out, as `\x1b`: they move no cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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


def named_values(rows: Rows, width: int = 28) -> "Table":
    """Return a table of names, at least `width` wide, and values."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=width, style="cyan")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def columns(names: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> "Table":
    """Return a table with headings; the first `left` columns stand to the left, others right.

    Cells break over lines where the width does not do: no value is cut.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(names):
        table.add_column(Text(name), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
