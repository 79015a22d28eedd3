"""What every command shares at the terminal: results on stdout, progress and logs on stderr."""

import gc
import json
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from memtrace.storage.address import public_address

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

logger = logging.getLogger("memtrace")


@cache
def stderr() -> "Console":
    """Return the console of progress and logs; imported late, since `--help` needs none."""
    from rich.console import Console

    return Console(stderr=True)


def set_up(level: int) -> None:
    """Send the library's logs and warnings to stderr, in one line each."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logger.setLevel(level)
    # The Hub's client has a handler of its own: each of its lines would come twice.
    logging.getLogger("huggingface_hub").propagate = False

    def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
        from memtrace.report.text import printable

        logger.warning("%s: %s", category.__name__, printable(str(message)))

    warnings.showwarning = show  # type: ignore[assignment]  # where and when are left out


@contextmanager
def fast_imports() -> Iterator[None]:
    """Import without garbage collections, and leave what was imported out of later ones."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def one_or_list(documents: list[dict[str, Any]]) -> Any:
    """One result makes one document, several make a list."""
    return documents[0] if len(documents) == 1 else documents


def print_result(value: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print `value` as one JSON document, or else what `text()` makes of it, on stdout."""
    try:
        click.echo(json.dumps(value, indent=2, allow_nan=False) if as_json else text())
    except BrokenPipeError:  # the reader, such as `head`, has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(1) from None


def printed(*results: "RenderableType") -> str:
    """Return results as wide as the terminal, one below the other."""
    from memtrace.report.text import rendered, terminal_width

    # click removes the colours where stdout is no terminal.
    return "\n\n\n".join(rendered(one, width=terminal_width(), colour=True) for one in results)


def estimate_text(estimate: Mapping[str, Any]) -> str:
    """Say what a sample says of all sequences, in one line; the keys are those of CountEstimate."""
    from memtrace.report.numbers import percent

    (low, high), (least, most) = estimate["count_ci95"], estimate["rate_ci95"]
    return (
        f"Estimate for all {estimate['population']:,} sequences, from {estimate['sampled']:,} "
        f"drawn at random: {estimate['count']:,.0f} memorized (95%: {low:,.0f} to {high:,.0f}), "
        f"{percent(estimate['rate'])} ({percent(least)} to {percent(most)})"
    )


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """Say, where the work inside is interrupted, what of it is kept."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{kept}; repeat the command to go on") from error


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, with which schedulers preempt a job, end the work as Ctrl-C does."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def command_line(ctx: click.Context, without: Collection[str] = ()) -> list[str]:
    """Return the command with every argument and option that was given, typed or by environment.

    It is recorded and printed, so addresses come without passwords and signatures.

    `without` names parameters that are left out.
    """
    words = ["memtrace", ctx.info_name or ""]
    for param in ctx.command.params:
        name = param.name or ""
        if ctx.get_parameter_source(name) == ParameterSource.DEFAULT:
            continue
        if name in ("json", *without):
            continue
        value = ctx.params[name]
        if isinstance(param, click.Argument):
            words.append(str(value))
        elif value is True:
            words.append(param.opts[0])
        elif value is False:
            words += param.secondary_opts[:1]
        elif isinstance(value, tuple):
            words += [param.opts[0], ":".join(map(str, value))]
        elif value is not None:
            words += [param.opts[0], str(value)]
    return [public_address(word) for word in words]


@contextmanager
def show_progress(
    description: str, total: int | None = None, unit: str = "sequences"
) -> Iterator["_LoggedProgress | _Bar"]:
    """Show on stderr how far work is: a bar on a terminal, a log line a minute elsewhere.

    Where `total` is not known, the bar shows that work goes on, and for how long.

    Yields:
        A function to call with the number of units done since its last call. Its method `stage`
        takes the name of what is being done, which a bar shows beside the description.
    """
    if not logger.isEnabledFor(logging.INFO) or not stderr().is_terminal:
        yield _LoggedProgress(description, total, unit)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}")
    columns = (
        (text, BarColumn(), TimeElapsedColumn())
        if total is None
        else (
            SpinnerColumn(),
            *Progress.get_default_columns(),
            TextColumn(f"{{task.completed:,.0f}} {unit}"),
        )
    )
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield _Bar(progress, task, description)


class _Bar:
    """A bar on a terminal, described by the work and its stage."""

    def __init__(self, progress: "Progress", task: "TaskID", description: str) -> None:
        self._progress, self._task, self._description = progress, task, description

    def __call__(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def stage(self, name: str) -> None:
        self._progress.update(self._task, description=f"{self._description}, {name}")


class _LoggedProgress:
    """Counts, and logs at most once a minute: what a batch job's log can bear."""

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self._description, self._total, self._done = description, total, 0
        self._unit = unit
        self._next = time.monotonic() + 60

    def stage(self, name: str) -> None:
        """Pass over it: a log needs no label."""

    def __call__(self, count: int) -> None:
        self._done += count
        if time.monotonic() >= self._next:
            self._next += 60
            done = f"{self._done:,} {self._unit}"
            if self._total is not None:
                done = f"{self._done:,} of {self._total:,} {self._unit}"
            logger.info("%s: %s", self._description, done)
