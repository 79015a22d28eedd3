"""`memtrace status`: what is done, what is left, and the commands that finish it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result
from .parameters import json_option, runs_argument

if TYPE_CHECKING:
    from memtrace.report.status import Found
    from memtrace.runs.status import Hours, RunStatus

INTERVAL = 5.0
"""Seconds between two updates of --watch."""


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
    from memtrace.runs.missing import no_run

    found = _survey(runs)
    if not found:
        raise no_run(runs)
    documents = [_document(run, hours) for run, hours in found]
    print_result(documents, json, lambda: _text(found))


def _survey(runs: Path) -> "Found":
    from memtrace.runs.status import hours_left, survey

    statuses = survey(runs)
    return list(zip(statuses, hours_left(statuses), strict=True))


def _text(found: "Found") -> str:
    from memtrace.report.status import commands, status_page
    from memtrace.report.text import rendered, terminal_width

    # click removes the colours where stdout is no terminal.
    page = rendered(status_page(found), width=terminal_width(), colour=True)
    # The commands are not broken over lines by rich: they are there to be copied.
    return "\n".join([page, *commands(found)])


def _watch(runs: Path) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from memtrace.report.status import commands, status_page
    from memtrace.report.text import terminal_width

    with Live(console=Console(width=terminal_width()), auto_refresh=False) as live:
        while True:
            found = _survey(runs)
            page = status_page(found) if found else Text(f"{runs} holds no run yet")
            live.update(Group(page, *map(Text, commands(found))), refresh=True)
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
