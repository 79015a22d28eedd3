"""How a table is read on a page: text to the left, numbers to the right with points in a column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from memtrace.report.typeset import MINUS, NO_VALUE, TIMES, typeset

SHORT = 14
"""Characters of a text up to which it stays on one line."""
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_WORDS = "to|of|unbounded|at least|at most|points?|nats?|s|min|h"
_AROUND = re.compile(rf"(?:[\s,<>≤≥±+%()/{MINUS}{TIMES}]|\b(?:{_WORDS})\b)*")
"""What may stand around the digits of a number."""


@dataclass(frozen=True)
class Cell:
    """A cell, and digits behind it that take room and are not seen."""

    text: str
    room: str = ""


@dataclass(frozen=True)
class Column:
    """A column that has a value."""

    name: str
    numeric: bool
    cells: Sequence[Cell]

    @property
    def kind(self) -> str:
        """Return the class of its cells: numbers, text that may break, or short text."""
        if self.numeric:
            return "number"
        return "words" if max(len(cell.text) for cell in self.cells) > SHORT else ""


def checkpoint_column(labels: Sequence[str], name: str = "checkpoint") -> tuple[str, list[str]]:
    """Return the heading and the cells of a column of checkpoints: of one model its steps alone.

    Args:
        labels: Such as `demo/demo step 3072`.
        name: The heading where they are of several models, or of none that is named.
    """
    parts = [label.rpartition(" step ") for label in labels]
    steps = [step for *_, step in parts]
    if len({model for model, *_ in parts}) == 1 and parts[0][0] and all(map(str.isdecimal, steps)):
        return "step", [f"{int(step):,}" for step in steps]
    return name, list(labels)


def columns_of(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Return the first column, and those of the others that have a value in some row."""
    cells = [[typeset(row[place]) for row in rows] for place in range(len(names))]
    return [
        _column(name, column, first=not place)
        for place, (name, column) in enumerate(zip(names, cells, strict=True))
        if not place or any(map(_known, column))
    ]


def _known(cell: str) -> bool:
    return cell not in ("", NO_VALUE)


def _column(name: str, cells: Sequence[str], *, first: bool) -> Column:
    known = [cell for cell in cells if _known(cell)]
    numeric = not first and bool(known) and all(map(_is_number, known))
    filled = [cell or NO_VALUE for cell in cells]
    return Column(
        _heading(name), numeric, _aligned(filled) if numeric else [Cell(one) for one in filled]
    )


def _heading(name: str) -> str:
    """Return a heading in words: the terminal says `95%` of an interval."""
    return f"{name} interval" if re.fullmatch(r"\d+%", name) else name


def _is_number(cell: str) -> bool:
    left, found = _NUMBER.subn(" ", cell)
    return bool(found or cell == "unbounded") and _AROUND.fullmatch(left) is not None


def _aligned(cells: Sequence[str]) -> list[Cell]:
    """Return cells in which the points of numbers stand in a column; so do the words of ranges."""
    forms = [tuple(_NUMBER.split(cell)[1:]) for cell in cells]
    ends = [_NUMBER.findall(cell)[-1:] for cell in cells]
    widest: dict[tuple[str, ...], str] = {}
    for form, end in zip(forms, ends, strict=True):
        part = "".join(end) if len(form) > 1 else _decimals(end)
        widest[form] = max(widest.get(form, ""), part, key=len)
    return [
        Cell(cell, _room("".join(end) if len(form) > 1 else _decimals(end), widest[form]))
        for cell, form, end in zip(cells, forms, ends, strict=True)
    ]


def _decimals(number: Sequence[str]) -> str:
    return "".join("".join(one.partition(".")[1:]) for one in number)


def _room(part: str, widest: str) -> str:
    """Return what is as wide as the widest text is wider than a part: digits, points and commas."""
    points = sum(map(widest.count, ".,")) - sum(map(part.count, ".,"))
    digits = len(widest) - len(part) - points
    return "." * max(points, 0) + "0" * max(digits, 0)
