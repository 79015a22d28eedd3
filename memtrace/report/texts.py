"""Memorized texts as JSON and at the terminal: one line a text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from memtrace.report.numbers import DASH, count, number
from memtrace.report.text import printable, rendered
from memtrace.texts.memorized import MemorizedTexts

if TYPE_CHECKING:
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


def _table(found: MemorizedTexts, limit: int, width: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    rows = found.table.head(limit).to_dicts()
    cells = [_cells(row, found) for row in rows]
    names = [name for name in cells[0] if any(each[name] != DASH for each in cells)]
    taken = sum(max(len(name), *(len(each[name]) for each in cells)) + 2 for name in names)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        side = "left" if name in ("label", "document") else "right"
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("prompt | continuation", no_wrap=True)
    for row, values in zip(rows, cells, strict=True):
        shown = _shown(row, max(NARROWEST, width - taken))
        table.add_row(*(Text(values[name]) for name in names), shown)
    return table


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
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    prompt, rest = printable(row["prompt"]), printable(row["continuation"])
    room = (width - 3) // 2
    while cell_len(prompt) > room:
        prompt = "…" + prompt[max(2, cell_len(prompt) - room) :]
    left = width - 3 - cell_len(prompt)
    if cell_len(rest) > left:
        rest = set_cell_size(rest, left - 1).rstrip() + "…"
    return Text.assemble((prompt, "dim"), (" | ", "bold blue"), rest)
