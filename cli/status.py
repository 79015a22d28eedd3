"""`memtrace status`: what is done, what is left, and the commands that finish it."""

import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result
from .parameters import json_option, runs_argument

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from memtrace.runs.status import Hours, RunStatus

WIDTH = 100
CELLS = 77
"""Checkpoints in a line of the matrix; Pythia's 154 make two."""
INTERVAL = 5.0
"""Seconds between two updates of --watch."""
SYMBOLS = {
    "done": ("#", "green"),
    "partial": ("+", "yellow"),
    "stale": ("~", "magenta"),
    "failed": ("!", "red"),
    "not begun": (".", "dim"),
}
Found = Sequence[tuple["RunStatus", "Hours | None"]]


@click.command()
@runs_argument
@click.option("--watch", is_flag=True, help="Update every few seconds, until Ctrl-C.")
@json_option
def status(runs: Path, watch: bool, json: bool) -> None:
    """Show what is done and what is left in a folder of runs.

    Each checkpoint is one symbol: done, partial, stale (unfinished, and nothing was written for a
    day), failed (its last scan ended with an error, or its record cannot be read). Hours are for
    one device, at the measured speed of the scans.

    \b
    memtrace status runs
    memtrace status runs --watch
    memtrace status runs --json
    """
    if watch and json:
        raise click.UsageError("--watch shows a page, --json prints one document: choose one")
    if watch:
        _watch(runs)
        return
    from memtrace.errors import RunError

    found = _survey(runs)
    if not found:
        raise RunError(f"{runs} holds no run at all: make one with `memtrace scan`")
    documents = [_document(run, hours) for run, hours in found]
    print_result(documents, json, lambda: _text(found))


def _survey(runs: Path) -> "Found":
    from memtrace.runs.status import hours_left, survey

    statuses = survey(runs)
    return list(zip(statuses, hours_left(statuses), strict=True))


def _text(found: "Found") -> str:
    from rich.console import Console

    # click removes the colours where stdout is no terminal.
    console = Console(width=WIDTH, color_system="standard", force_terminal=True)
    with console.capture() as capture:
        console.print(_page(found))
    # The commands last, and not by rich, which would break them: they are there to be copied.
    return "\n".join([*map(str.rstrip, capture.get().splitlines()), *_commands(found)])


def _watch(runs: Path) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(width=WIDTH), auto_refresh=False) as live:
        while True:
            found = _survey(runs)
            page = _page(found) if found else Text(f"{runs} holds no run yet")
            live.update(Group(page, *map(Text, _commands(found))), refresh=True)
            time.sleep(INTERVAL)


def _document(run: "RunStatus", hours: "Hours | None") -> dict[str, Any]:
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "run": str(run.folder),
        "state": run.state,
        "reason": run.reason,
        "shards": run.shards,
        "shards_left": run.shards_left,
        "sequences": run.sequences,
        "sequences_left": run.sequences_left,
        "sequences_per_second": run.speed,
        "hours_left": hours.hours if hours else None,
        "hours_from": hours.source if hours else None,
        "bytes_to_read": run.bytes_to_read,
        "bytes_to_write": run.bytes_to_write,
        "finished": run.state == "done",
        "command": run.command,
    }


def _page(found: "Found") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for suite, group in groupby(found, lambda pair: pair[0].suite):
        members = list(group)
        parts += [*_matrix(suite, [run for run, _ in members]), Text("")]
    parts += [_legend(), Text(""), _models(found), *_totals(found)]
    parts += _unfinished(found)
    return Group(*parts)


def _matrix(suite: str, members: "Sequence[RunStatus]") -> "list[RenderableType]":
    """Return one row for each model and one symbol for each checkpoint, in lines that fit."""
    from rich.text import Text

    from memtrace.runs.status import known_steps

    states = {(run.model, run.step): run.state for run in members}
    models = list(dict.fromkeys(run.model for run in members))
    steps = sorted({run.step for run in members} | set(known_steps(suite)))
    margin = max(len(model) for model in (*models, suite)) + 2
    cells = min(CELLS, WIDTH - margin)
    lines: list[RenderableType] = []
    for start in range(0, len(steps), cells):
        block = steps[start : start + cells]
        lines.append(Text(f"{suite:<{margin}}steps {block[0]:,} to {block[-1]:,}", style="bold"))
        for model in models:
            row = Text(f"{model:<{margin}}")
            for step in block:
                row.append(*SYMBOLS[states.get((model, step), "not begun")])
            lines.append(row)
    return lines


def _legend() -> "Text":
    from rich.text import Text

    legend = Text()
    for state, (symbol, style) in SYMBOLS.items():
        legend.append(symbol, style).append(f" {state}   ")
    return legend


def _models(found: "Found") -> "RenderableType":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (
        "model",
        "done",
        "begun",
        "sequences",
        "left",
        "hours left",
        "to read",
        "to write",
    ):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for name, group in groupby(found, lambda pair: f"{pair[0].suite}/{pair[0].model}"):
        table.add_row(name, *_row(list(group)))
    table.add_row("all", *_row(found), style="bold")
    return table


def _row(found: "Found") -> list[str]:
    runs = [run for run, _ in found]
    return [
        f"{sum(run.state == 'done' for run in runs):,}",
        f"{len(runs):,}",
        f"{sum(run.sequences for run in runs):,}",
        f"{sum(run.sequences_left for run in runs):,}",
        _hours([hours for _, hours in found]),
        _size(sum(run.bytes_to_read for run in runs)),
        _size(sum(run.bytes_to_write for run in runs)),
    ]


def _hours(each: "Sequence[Hours | None]") -> str:
    """Return a sum of hours; `>` where some are a floor, `?` where some are unknown."""
    known = [hours for hours in each if hours]
    unsure = "> " if any(hours.source == "floor" for hours in known) else ""
    if len(known) < len(each):
        return "?"
    total = sum(hours.hours for hours in known)
    return f"{unsure}{total:,.1f}" if total >= 0.1 or not total else f"{unsure}{total:.2g}"


def _totals(found: "Found") -> "list[RenderableType]":
    """Return what the hours mean, where there are any left."""
    from rich.text import Text

    from memtrace.runs.status import FLOOR_RATE

    sources = {hours.source for _, hours in found if hours and hours.hours}
    notes = []
    if "measured" in sources:
        notes.append("Hours of one device, at the speed that the scans of the model have measured.")
    if "floor" in sources:
        notes.append(
            f"> at least: the fewest operations that can decide it, at {FLOOR_RATE / 1e12:.0f} "
            "TFLOP/s (one H100)."
        )
    return [Text(note, style="dim") for note in notes]


def _unfinished(found: "Found") -> "list[RenderableType]":
    from rich.table import Table
    from rich.text import Text

    runs = [run for run, _ in found if run.state != "done"]
    if not runs:
        return []
    # Those that need attention first.
    runs.sort(key=lambda run: ("failed", "stale", "partial").index(run.state))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("unfinished", no_wrap=True)
    table.add_column("state")
    table.add_column("steps", max_width=30)
    table.add_column("why")
    for (model, state), group in groupby(runs, lambda r: (f"{r.suite}/{r.model}", r.state)):
        members = list(group)
        reasons = list(dict.fromkeys(run.reason for run in members if run.reason))
        more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        table.add_row(model, state, _steps(members), Text("".join(reasons[:1]) + more))
    return [Text(""), table]


def _commands(found: "Found") -> list[str]:
    """Return what finishes the runs; one command may have begun many checkpoints."""
    commands = dict.fromkeys(run.command for run, _ in found if run.command)
    return ["", *(f"To finish: {command}" for command in commands)] if commands else []


def _steps(runs: "Sequence[RunStatus]") -> str:
    """Return the steps of some runs of a model: the first few, the last, and how many."""
    steps = [f"{run.step:,}" for run in runs]
    if len(steps) <= 3:
        return ", ".join(steps)
    return f"{steps[0]} to {steps[-1]} ({len(steps)})"


def _size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count / 1e3:,.1f} kB" if count else "-"
