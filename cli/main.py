"""The `memtrace` command: its subcommands, and one place that turns failures into exit codes.

0 done, 1 failed (one line on stderr), 2 wrong usage, 130 interrupted.
"""

import logging
import os
import traceback
from typing import Any

import click

from memtrace.errors import MemtraceError, first_line
from memtrace.storage.address import public_address

from .compare import compare
from .console import ended_by_sigterm, set_up
from .corpus import corpus
from .emergence import emergence
from .extraction import extraction
from .fit_poisson import fit_poisson
from .import_runs import import_runs
from .intervention import intervention
from .models import models
from .report import report
from .runs import runs
from .scan import scan
from .simulate import simulate
from .status import status
from .term_frequency import term_frequency
from .test_order import test_order
from .texts import texts

DEBUG = "MEMTRACE_DEBUG"
"""Set to 1 in the environment: failures are printed with their traceback."""


class ErrorBoundary(click.Group):
    """A group that reports every failure in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; map its failures to exit codes."""
        try:
            with ended_by_sigterm():
                return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt as error:
            click.echo(f"Interrupted: {error}." if str(error) else "Interrupted.", err=True)
            ctx.exit(130)
        except Exception as error:
            if os.environ.get(DEBUG, "0") != "0":
                click.echo(public_address(traceback.format_exc()), err=True)
            from memtrace.report.text import printable

            message = printable(public_address(explain(error)))
            raise click.ClickException(message) from error


def explain(error: Exception) -> str:
    """Say in one line what went wrong and what to do."""
    if isinstance(error, MemtraceError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return missing_package(error.name.partition(".")[0])
    if isinstance(error, FileNotFoundError):
        return (
            f"{first_line(error)}; if the file was moved, merged or deleted while the command ran, "
            "repeat the command"
        )
    return (
        f"unexpected {type(error).__name__}: {first_line(error)}; set {DEBUG}=1 to see where, and "
        "please report it"
    )


def missing_package(name: str) -> str:
    """Say how to install a package that a command needs."""
    if name in ("torch", "transformers", "safetensors", "array_api_compat"):
        return "this needs torch and transformers: pip install 'memtrace-llm[scan]'"
    return f"this needs the module {name}, which is not there: install memtrace-llm again"


@click.group(
    cls=ErrorBoundary,
    context_settings={
        "auto_envvar_prefix": "MEMTRACE",
        "help_option_names": ["-h", "--help"],
        "show_default": True,
    },
)
@click.version_option(package_name="memtrace-llm", prog_name="memtrace")
@click.option("-v", "--verbose", is_flag=True, help="Log each step to stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors only: no progress, no logs.")
def main(verbose: bool, quiet: bool) -> None:
    """Which training sequences has a language model memorized, and when in training order?

    \b
    memtrace scan --model demo --step all       decide every sequence at every checkpoint
    memtrace fit-poisson runs                   is memorization a Poisson process in training order?
    memtrace emergence runs                     how early is a sequence memorized, and is it kept?
    """
    set_up(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)


for command in (
    scan,
    status,
    runs,
    fit_poisson,
    test_order,
    extraction,
    emergence,
    compare,
    texts,
    simulate,
    models,
    report,
    corpus,
    import_runs,
    intervention,
    term_frequency,
):
    main.add_command(command)
