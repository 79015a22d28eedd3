"""What every command shares at the terminal: answers on stdout, progress and logs on stderr.

It knows nothing of what is being computed.
"""

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger("memtrace")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of text."
)
manifest_option = click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A manifest file of your own, in addition to those that come with memtrace.",
)


@cache
def stderr() -> "Console":
    """Return the console of progress and logs; imported late, since `--help` needs none."""
    from rich.console import Console

    return Console(stderr=True)


def set_up(level: int) -> None:
    """Send the library's logs and warnings to stderr, in one line each."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logger.setLevel(level)

    def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
        logger.warning("%s: %s", category.__name__, message)

    warnings.showwarning = show  # type: ignore[assignment]  # where and when are left out


def print_answer(value: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print `value` as one JSON document, or else what `text()` makes of it, on stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False) if as_json else text())


@contextmanager
def show_progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far a scan is: a bar on a terminal, a log line a minute elsewhere.

    Yields:
        A function to call with the number of sequences decided since its last call.
    """
    if not logger.isEnabledFor(logging.INFO) or not stderr().is_terminal:
        yield _LoggedProgress(description, total)
        return
    from rich.progress import Progress, TextColumn

    columns = (*Progress.get_default_columns(), TextColumn("{task.completed:,.0f} sequences"))
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


class _LoggedProgress:
    """Counts, and logs at most once a minute: what a batch job's log can bear."""

    def __init__(self, description: str, total: int) -> None:
        self._description, self._total, self._done = description, total, 0
        self._next = time.monotonic() + 60

    def __call__(self, count: int) -> None:
        self._done += count
        if time.monotonic() >= self._next:
            self._next += 60
            logger.info("%s: %s of %s sequences", self._description, self._done, self._total)
