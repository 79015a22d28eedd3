"""The grammar of steps: `1000,2000`, `0:512`, `1000:143000:1000`, `all`, `last`."""

import re
import reprlib
from collections.abc import Sequence
from typing import Any

from memtrace.errors import ManifestError

MOST_STEPS = 1_000_000
"""Checkpoints of a suite: a manifest that lists more is wrong, and would not fit into memory."""
LARGEST_STEP = 10**12
"""A larger one is a mistake: no optimizer has made so many steps."""
# Python's int takes `1_0`, a sign, and digits of any script.
_STEPS = re.compile(r"([0-9]+)(?::([0-9]+)(?::([0-9]+))?)?")
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
"""A number as tables show it; as a list of steps it means others."""
_WORDS = ("all", "last")


def check_steps(text: str) -> str:
    """Return the text if it is a list of steps, whichever of them exist.

    Raises:
        ValueError: It is not.
    """
    for item in _items(text):
        if item not in _WORDS:
            step_range(item)
    return text


def _items(text: str) -> list[str]:
    return [item.strip().lower() for item in text.split(",")]


def parse_steps(text: str, steps: Sequence[int]) -> list[int]:
    """Return the steps that a text asks for, ascending and unique.

    Args:
        text: Comma-separated: `1000`, `0:512` (the checkpoints within), `1000:143000:1000` (every
            one of these), ends included; `all`; `last`.
        steps: The steps that have a checkpoint.

    Raises:
        ValueError: The text is not of that form.
        ManifestError: A step that it asks for has no checkpoint.
    """
    available = sorted(set(steps))
    words = dict(zip(_WORDS, (available, available[-1:]), strict=True))
    grouped = text.strip().replace(",", "")
    is_grouped = _GROUPED.fullmatch(text.strip()) and int(grouped) in available
    hint = f" (a step has no comma: {grouped})" if is_grouped else ""
    asked: set[int] = set()
    for item in _items(text):
        asked.update(words[item] if item in words else _checkpoints(item, available, hint))
    return sorted(asked)


def _checkpoints(item: str, available: list[int], hint: str) -> list[int]:
    """Return the steps of one item; only a range without an increment passes over steps."""
    asked = step_range(item)
    found = [step for step in available if step in asked]
    known = set(found)
    missing = next((step for step in asked if step not in known), None)
    if missing is None or (found and item.count(":") == 1):
        return found
    before = [step for step in available if step < missing][-1:]
    after = [step for step in available if step > missing][:1]
    nearest = " and ".join(map(str, before + after))
    raise ManifestError(f"no checkpoint at step {missing}; the nearest: {nearest}{hint}")


def step_range(text: str) -> range:
    """Read `1000`, `0:512` or `1000:143000:1000`, ends included.

    Raises:
        ValueError: It is none of these, descends, or has a number above `LARGEST_STEP`.
    """
    match = _STEPS.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{reprlib.repr(text)} is not a step: write 1000, 0:512 or 1000:143000:1000 (ends "
            "included, digits 0 to 9 alone); a command also takes all and last"
        )
    if any(len(digits or "") > 30 or int(digits or 0) > LARGEST_STEP for digits in match.groups()):
        raise ValueError(f"{reprlib.repr(text)} is too large: the last step is {LARGEST_STEP:,}")
    first, last, increment = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
    if last < first or increment == 0:
        raise ValueError(f"{reprlib.repr(text)} holds no step: a range ascends, by at least 1")
    return range(first, last + 1, increment)


def step_text(item: Any) -> str:
    """Accept a step or a range as YAML gives it; raise ValueError where it is neither."""
    if isinstance(item, bool) or not isinstance(item, int | str):
        raise ValueError(f"{reprlib.repr(item)} is not a step or a range of steps")
    step_range(str(item))
    return str(item)


def expand_steps(items: Any) -> tuple[int, ...]:
    """Return the steps of a YAML list, ascending and unique."""
    if not isinstance(items, list):
        raise ValueError("expected a list of steps and ranges")
    ranges = [step_range(step_text(item)) for item in items]
    for steps in ranges:
        if steps[-1] - steps[0] >= MOST_STEPS * steps.step:
            raise ValueError(f"more than {MOST_STEPS:,} steps from {steps[0]} to {steps[-1]}")
    return tuple(sorted({step for steps in ranges for step in steps}))
