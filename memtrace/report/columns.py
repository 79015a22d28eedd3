"""Tables for the terminal that break no number: one too wide is printed in several blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table

GAP = 2
"""Columns between two of a table."""
SHORT = 22
"""Characters of a cell up to which it stays on one line."""


def printable(text: str) -> str:
    r"""Return the text with control characters written out, as `\x1b`: they move no cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True)
class Columns:
    """Headings and rows of text, as rich prints them.

    Short cells stay on one line. Where the width does not do for all columns, the rest follow in
    blocks of their own, which begin with the same columns.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int
    """Columns that stand to the left; others stand to the right."""
    keys: int
    """Columns that every block begins with."""
    heads: bool = True
    """Whether headings are printed; without them the first column has names."""
    least: int = 0
    """Width of the first column, at least."""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> Iterator[Any]:
        """Yield one table, or one for each block."""
        for i, places in enumerate(self._blocks(options.max_width)):
            if i:
                yield ""
            yield self._table(places, options.max_width)

    def _blocks(self, width: int) -> list[list[int]]:
        needs = [self._need(place, width) for place in range(len(self.names))]
        keys = list(range(min(self.keys, len(needs))))
        blocks, taken = [list(keys)], _taken(needs, keys)
        for place in range(len(keys), len(needs)):
            if taken + GAP + needs[place] > width and blocks[-1] != keys:
                blocks.append(list(keys))
                taken = _taken(needs, keys)
            blocks[-1].append(place)
            taken += GAP + needs[place]
        return blocks

    def _need(self, place: int, width: int) -> int:
        """Return the columns that a column takes at least; a long word may take half the width."""
        words = [word for cell in self._cells(place) for word in cell.split()]
        short = [cell for cell in self._cells(place)[1:] if len(cell) <= SHORT]
        need = max(map(len, (*words, *short)), default=1)
        return min(max(need, 0 if place else self.least), width // 2)

    def _table(self, places: Sequence[int], width: int) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", show_header=self.heads)
        for place, wide in zip(places, self._widths(places, width), strict=True):
            side: Any = "left" if place < self.left else "right"
            style = "" if self.heads or place else "cyan"
            name = Text(self.names[place])
            table.add_column(name, justify=side, overflow="fold", width=wide, style=style)
        for row in self.rows:
            table.add_row(*(Text(row[place]) for place in places))
        return table

    def _widths(self, places: Sequence[int], width: int) -> list[int]:
        """Return what each column needs, and what is left for those that would take more."""
        widths = [self._need(place, width) for place in places]
        spare = max(width - sum(widths) - GAP * (len(places) - 1), 0)
        for i, place in enumerate(places):
            longest = max(len(cell) for cell in self._cells(place))
            more = min(max(longest - widths[i], 0), spare)
            widths[i] += more
            spare -= more
        return widths

    def _cells(self, place: int) -> list[str]:
        return [self.names[place], *(row[place] for row in self.rows)]


def _taken(needs: Sequence[int], places: Sequence[int]) -> int:
    return sum(needs[place] for place in places) + GAP * max(len(places) - 1, 0)


def columns(
    names: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1, keys: int = 1
) -> Columns:
    """Return a table with headings that breaks no number and cuts no value.

    Args:
        names: Headings.
        rows: Cells, as many as there are headings.
        left: How many columns stand to the left; others stand to the right.
        keys: How many columns are repeated where the table is printed in blocks.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    return Columns([printable(name) for name in names], cells, left, keys)


def named_values(rows: Iterable[tuple[str, str]], width: int = 28) -> Columns:
    """Return a table of names, at least `width` wide, and values, without headings."""
    return Columns(["", ""], list(rows), 2, 2, heads=False, least=width)
