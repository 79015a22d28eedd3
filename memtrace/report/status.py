"""The state of a folder of runs on the terminal: checkpoints as symbols, sums, what is left."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from memtrace.report.numbers import DASH, count, duration, size
from memtrace.report.text import columns, printable, terminal_width
from memtrace.runs.status import MINIMUM_RATE, Hours, RunStatus, known_steps

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

SYMBOLS = {
    "done": ("#", "green"),
    "partial": ("+", "yellow"),
    "stale": ("~", "magenta"),
    "failed": ("!", "red"),
    "not begun": (".", "dim"),
}
LONGEST_LABEL = 30
"""Columns for the name of a model in front of its symbols; a longer one has a line of its own."""
MOST_COMMANDS = 20
Found = Sequence[tuple[RunStatus, Hours | None]]


def status_page(found: Found) -> "RenderableType":
    """Return the symbols of all checkpoints, a table of models, and a table of what is left."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for suite, group in groupby(found, lambda pair: pair[0].suite):
        parts += [*_matrix(suite, [run for run, _ in group]), Text("")]
    return Group(*parts, _legend(), Text(""), _models(found), *_notes(found), *_unfinished(found))


def commands(found: Found) -> list[str]:
    """Return the commands that finish the runs; one may have begun many checkpoints."""
    each = dict.fromkeys(printable(run.command) for run, _ in found if run.command)
    lines = [f"To finish: {command}" for command in list(each)[:MOST_COMMANDS]]
    if len(each) > MOST_COMMANDS:
        lines.append(f"and {count(len(each) - MOST_COMMANDS, 'other command')} (see --json)")
    return ["", *lines] if lines else []


def _matrix(suite: str, runs: Sequence[RunStatus]) -> "Iterable[RenderableType]":
    """Yield a row for each model with a symbol for each checkpoint, in lines that fit."""
    from rich.text import Text

    states = {(run.model, run.step): run.state for run in runs}
    models = list(dict.fromkeys(run.model for run in runs))
    steps = sorted({run.step for run in runs} | set(known_steps(suite)))
    longest = max(len(printable(name)) for name in (*models, suite))
    margin = min(longest, LONGEST_LABEL) + 2
    cells = terminal_width() - margin
    for start in range(0, len(steps), cells):
        block = steps[start : start + cells]
        ends = f"steps {block[0]:,} to {block[-1]:,}"
        heading = ends if len(block) > 1 else f"step {block[0]:,}"
        yield from _labelled(suite, margin, Text(heading), style="bold")
        for model in models:
            row = Text()
            for step in block:
                row.append(*SYMBOLS[states.get((model, step), "not begun")])
            yield from _labelled(model, margin, row)


def _labelled(name: str, margin: int, row: "Text", style: str = "") -> "Iterable[Text]":
    """Yield a row behind its name, or below it where the name is too long."""
    from rich.text import Text

    label = printable(name)
    if len(label) + 2 > margin:
        yield Text(label, style=style)
        label = ""
    yield Text(f"{label:<{margin}}", style=style) + row


def _legend() -> "Text":
    from rich.text import Text

    legend = Text()
    for state, (symbol, style) in SYMBOLS.items():
        legend.append(symbol, style).append(f" {state}   ")
    return legend


def _models(found: Found) -> "RenderableType":
    names = ("model", "done", "begun", "sequences", "left", "time left", "to read", "to write")
    rows = [
        (name, *_sums(list(group)))
        for name, group in groupby(found, lambda pair: f"{pair[0].suite}/{pair[0].model}")
    ]
    return columns(names, [*rows, ("all", *_sums(found))])


def _sums(found: Found) -> list[str]:
    runs = [run for run, _ in found]
    bytes_left = (sum(run.bytes_to_read for run in runs), sum(run.bytes_to_write for run in runs))
    return [
        f"{sum(run.state == 'done' for run in runs):,}",
        f"{len(runs):,}",
        f"{sum(run.sequences for run in runs):,}",
        f"{sum(run.sequences_left for run in runs):,}",
        _time([hours for _, hours in found]),
        *(size(each) if each else DASH for each in bytes_left),
    ]


def _time(each: Sequence[Hours | None]) -> str:
    """Return a sum of hours; `>` where some are a lower bound, `?` where some are unknown."""
    known = [hours for hours in each if hours]
    if len(known) < len(each):
        return "?"
    total = sum(hours.hours for hours in known)
    bound = "> " if any(hours.source == "minimum" for hours in known) else ""
    return f"{bound}{duration(total * 3600)}" if total else DASH


def _notes(found: Found) -> "list[RenderableType]":
    """Return what the times mean, where there are any left."""
    from rich.text import Text

    sources = {hours.source for _, hours in found if hours and hours.hours}
    notes = []
    if "measured" in sources:
        notes.append("Time of one device, at the measured speed of the scans of the model.")
    if "minimum" in sources:
        notes.append(
            f"> at least: the minimum FLOPs of the scan at {MINIMUM_RATE / 1e12:.0f} TFLOP/s "
            "(one H100)."
        )
    return [Text(note, style="dim") for note in notes]


def _unfinished(found: Found) -> "list[RenderableType]":
    from rich.text import Text

    runs = [run for run, _ in found if run.state != "done"]
    if not runs:
        return []
    # Those that need attention first.
    runs.sort(key=lambda run: ("failed", "stale", "partial").index(run.state))
    rows = [
        (model, state, *_steps_and_reason(list(group)))
        for (model, state), group in groupby(
            runs, lambda run: (f"{run.suite}/{run.model}", run.state)
        )
    ]
    return [Text(""), columns(("unfinished", "state", "steps", "why"), rows, left=4)]


def _steps_and_reason(runs: Sequence[RunStatus]) -> tuple[str, str]:
    reasons = list(dict.fromkeys(run.reason for run in runs if run.reason))
    others = len(reasons) - 1
    more = f" (and {count(others, 'other reason')})" if others > 0 else ""
    return _steps(runs), "".join(reasons[:1]) + more


def _steps(runs: Sequence[RunStatus]) -> str:
    """Return the steps of some runs of a model: all of three, else the ends and how many."""
    steps = [f"{run.step:,}" for run in runs]
    if len(steps) <= 3:
        return ", ".join(steps)
    return f"{steps[0]} to {steps[-1]} ({len(steps):,})"
