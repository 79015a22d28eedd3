"""The first of the memorized texts as a table for a notebook."""

from html import escape
from typing import Any

import polars as pl

MOST_SHOWN = 10
"""Texts that a notebook shows."""
WIDTH = 48
"""Characters of a prompt and of a continuation that are shown."""
COLUMNS = ("text", "copies", "first memorized at step", "label", "prompt | continuation")


def first_texts(table: pl.DataFrame) -> str:
    """Return the first texts as HTML: the end of each prompt, the beginning of its continuation.

    Control characters are shown as in a string of Python.

    Args:
        table: As `memorized_texts` makes it.
    """
    if not len(table):
        return ""
    rows = "".join(map(_row, table.head(MOST_SHOWN).iter_rows(named=True)))
    heads = "".join(f'<th style="text-align:left">{name}</th>' for name in COLUMNS)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _row(row: dict[str, Any]) -> str:
    copies = "-" if row["copies"] is None else f"{row['copies']:,}"
    numbers = (f"{row['text']:,}", copies, f"{row['first_checkpoint']:,}", row["label"] or "-")
    cells = "".join(f'<td style="text-align:left">{escape(one)}</td>' for one in numbers)
    prompt, rest = (repr(row[name])[1:-1] for name in ("prompt", "continuation"))
    before = f"…{prompt[-WIDTH:]}" if len(prompt) > WIDTH else prompt
    after = f"{rest[:WIDTH]}…" if len(rest) > WIDTH else rest
    text = f"<code>{escape(before)}<b> | </b>{escape(after)}</code>"
    return f'<tr>{cells}<td style="text-align:left">{text}</td></tr>'
