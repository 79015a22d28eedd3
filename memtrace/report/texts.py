"""Memorized texts as JSON and at the terminal: one line a text."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memtrace.report.numbers import DASH, count, number
from memtrace.report.text import columns, printable, rendered
from memtrace.texts.memorized import MemorizedTexts

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NARROWEST = 24
"""Columns of the terminal that a text has at least."""


def texts_document(found: MemorizedTexts, limit: int | None = None) -> dict[str, Any]:
    """Return the JSON document of one model."""
    return {
        "suite": found.suite,
        "model": found.model,
        "tested": found.tested,
        "checkpoints": list(found.steps),
        "at_least": found.at_least,
        "count": len(found.table),
        "notes": list(found.notes),
        "texts": found.table.head(len(found.table) if limit is None else limit).to_dicts(),
    }


def texts_text(found: MemorizedTexts, limit: int, width: int) -> str:
    """Return a heading, a line for each text up to a limit, and what was left out.

    Args:
        found: The texts of one model.
        limit: Lines.
        width: Columns of the terminal.
    """
    n = len(found.table)
    some = " at some checkpoint" if len(found.steps) > 1 else ""
    what = count(n, "text") + (
        f" memorized{some}" if found.at_least == found.continuation_tokens
        else f" with at least {found.at_least} of {found.continuation_tokens} tokens matched"
    )  # fmt: skip
    parts = [f"{printable(found.label)}: {what}\n{found.tested}"]
    if n:
        parts.append(rendered(_table(found, limit, width), width=width, colour=True))
    if n > limit:
        parts.append(f"{n - limit:,} more: --limit {n}, or --output DIR for a page of all")
    parts += [f"Note: {printable(note)}" for note in found.notes]
    return "\n".join(parts)


def _table(found: MemorizedTexts, limit: int, width: int) -> "RenderableType":
    """Return a line for each text; where they do not fit, the texts follow in a block of their own.

    Both blocks begin with the names of the texts, as other tables that are printed in blocks.
    """
    from rich.console import Group

    rows = found.table.head(limit).to_dicts()
    cells = [_cells(row, found) for row in rows]
    names = [name for name in cells[0] if any(each[name] != DASH for each in cells)]
    if width - _taken(names, cells) >= NARROWEST:
        return _lines(names, cells, rows, width)
    numbers = columns(names, [[each[name] for name in names] for each in cells], left=0)
    return Group(numbers, "", _lines(names[:1], cells, rows, width))


def _lines(
    names: Sequence[str],
    cells: Sequence[Mapping[str, str]],
    rows: Sequence[Mapping[str, Any]],
    width: int,
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        side: Any = "left" if name in ("label", "document") else "right"
        table.add_column(name, justify=side, no_wrap=True)
    table.add_column("prompt | continuation", no_wrap=True)
    room = width - _taken(names, cells)
    for row, values in zip(rows, cells, strict=True):
        table.add_row(*(Text(values[name]) for name in names), _shown(row, room))
    return table


def _taken(names: Sequence[str], cells: Sequence[Mapping[str, str]]) -> int:
    """Return the columns of the terminal that these columns of the table take."""
    return sum(max(len(name), *(len(each[name]) for each in cells)) + 2 for name in names)


def _cells(row: Mapping[str, Any], found: MemorizedTexts) -> dict[str, str]:
    """Return the columns of a text; those that are unknown of every text are not printed."""
    copies = DASH if row["copies"] is None else f"{row['copies']:,}"
    if row["copies_exposed"] is not None:
        copies = f"{row['copies_exposed']:,}/{copies}"
    near = found.at_least < found.continuation_tokens
    steps = DASH if row["first_step"] is None else _range(row["first_step"], row["last_step"])
    return {
        "text": str(row["text"]),
        "copies": copies,
        "last": DASH if row["last_index"] == row["text"] else str(row["last_index"]),
        "steps": steps,
        "since": str(row["first_checkpoint"]),
        "lost": DASH if row["lost_checkpoint"] is None else str(row["lost_checkpoint"]),
        "matched": str(row["matched_tokens"]) if near else DASH,
        "nats": number(row["log_likelihood"], 3),
        "label": ", ".join(row["labels"]) or DASH,
        "document": DASH if row["file"] is None else _document(row),
    }


def _range(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _document(row: Mapping[str, Any]) -> str:
    name = printable(str(row["file"]).rpartition("/")[2])
    return f"{name if len(name) <= 20 else name[:19] + '…'}:{row['line']}"


def _shown(row: Mapping[str, Any], width: int) -> Any:
    """Return the end of the prompt and the beginning of the continuation, in so many columns."""
    from rich.cells import cell_len
    from rich.text import Text

    prompt, rest = row["prompt"], row["continuation"]
    # Of the texts themselves: what stands for a control character is shown whole or not at all.
    prompt = _cut(prompt, (width - 3) // 2, lambda text, n: text[n:], "…{}")
    rest = _cut(rest, width - 3 - cell_len(prompt), lambda text, n: text[: len(text) - n], "{}…")
    return Text.assemble((prompt, "dim"), (" | ", "bold blue"), rest)


def _cut(text: str, width: int, without: Callable[[str, int], str], mark: str) -> str:
    """Return it without so many characters that it fits, with a mark where some are missing."""
    from rich.cells import cell_len

    each = (mark.format(printable(without(text, n))) for n in range(1, len(text) + 1))
    whole = printable(text)
    return (
        whole if cell_len(whole) <= width else next(one for one in each if cell_len(one) <= width)
    )
