"""Memorized texts as one web page that needs nothing beside it: search, sort, filter, read."""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from memtrace.report.glossary import explained
from memtrace.report.html import render, script
from memtrace.report.numbers import count
from memtrace.report.typeset import sentence
from memtrace.texts.labels import LABELS, MOST_COPIES
from memtrace.texts.memorized import MemorizedTexts

MOST_INDICES = 100
"""Copies of a text of which the page has the place."""
MEANINGS = dict(
    zip(
        LABELS,
        (
            f"more than {MOST_COPIES} copies in the corpus",
            "its continuation goes on as its prompt repeats itself",
            "its numbers or letters count up",
            "the corpus has a text that is nearly the same",
            f"none of these, and at most {MOST_COPIES} copies",
        ),
        strict=True,
    )
)
"""Label -> when a text has it."""
_COLUMNS = (
    "text", "prompt", "continuation", "matched_tokens", "copies", "copies_exposed", "last_index",
    "first_step", "last_step", "first_checkpoint", "lost_checkpoint", "history", "log_likelihood",
    "file", "line", "labels", "copy_indices",
)  # fmt: skip


def texts_page(found: MemorizedTexts, links: Sequence[tuple[str, str]] = (), name: str = "") -> str:
    """Return the page; `#rows=A-B` in its address shows texts with a copy in rows A to B.

    Its data are compressed and in base64, so that nothing in them is markup; a script of its own
    writes them as text, with control characters shown, and draws the rows in sight only.

    Args:
        found: The texts.
        links: Pages of a report: address and short name.
        name: The short name of this page among them.
    """
    return render(
        "memtrace.report",
        "texts.html",
        scripts=[script("memtrace.report", "texts.js")],
        links=links,
        current=name,
        title=title_of(found),
        summary=_summary(found),
        notes=[parted_note(note) for note in found.notes],
        explained=explained(()),
        labels=MEANINGS,
        data=_packed(found),
    )


def title_of(found: MemorizedTexts) -> str:
    """Return the title of the page."""
    return f"Memorized texts of {found.label}"


def parted_note(note: str) -> tuple[str, str]:
    """Return a note as a sentence, and its cause, which stood in brackets, or nothing."""
    found = re.fullmatch(r"([^()]*) \((.*)\)([:,;.].*)?", note, re.DOTALL)
    said, cause = (f"{found[1]}{found[3] or ''}", found[2]) if found else (note, "")
    return _ended(f"{said[:1].upper()}{said[1:]}"), cause and _ended(sentence(cause))


def _ended(said: str) -> str:
    return f"{said.removesuffix('.')}."


def _summary(found: MemorizedTexts) -> str:
    what = count(len(found.table), "text")
    if found.at_least < found.continuation_tokens:
        what += f" with at least {found.at_least} of {found.continuation_tokens} tokens matched"
    return f"{what}, at {count(len(found.steps), 'checkpoint')}; {found.tested}."


def _packed(found: MemorizedTexts) -> str:
    """Return the columns as JSON, compressed, in base64."""
    indices = pl.col("copy_indices")
    several = pl.when(indices.list.len() > 1).then(indices.list.head(MOST_INDICES))
    table = found.table.with_columns(copy_indices=several)
    columns: dict[str, list[Any]] = {name: table[name].to_list() for name in _COLUMNS}
    columns["log_likelihood"] = table["log_likelihood"].round(3).to_list()
    document = {"steps": list(found.steps), "tokens": found.continuation_tokens, "columns": columns}
    raw = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # No time in the header: equal texts make equal pages.
    return base64.b64encode(gzip.compress(raw.encode(), 6, mtime=0)).decode("ascii")
