"""The `memtrace` command: wires the subcommands together and turns errors into exit codes.

It knows no command's work: 0 done, 1 failed (one line on stderr), 2 usage, 130 interrupted.
"""

import logging
from typing import Any

import click

from memtrace.errors import MemtraceError, first_line

from .console import ended_by_sigterm, set_up
from .corpus import corpus
from .emergence import emergence
from .fit_poisson import fit_poisson
from .import_runs import import_runs
from .intervention import intervention
from .models import models
from .runs import runs
from .scan import scan
from .simulate import simulate
from .status import status
from .term_frequency import term_frequency


class ErrorBoundary(click.Group):
    """A group that reports every expected failure in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; map its failures to exit codes."""
        try:
            with ended_by_sigterm():
                return super().invoke(ctx)
        except MemtraceError as error:
            raise click.ClickException(str(error)) from error
        except FileNotFoundError as error:
            if "scores" not in str(error):
                raise
            raise click.ClickException(
                f"{first_line(error)}: score files were merged or deleted while they were read; "
                "repeat the command"
            ) from error
        except KeyboardInterrupt:
            click.echo(
                "Interrupted: finished shards are kept; repeat the command to go on.", err=True
            )
            ctx.exit(130)


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
@click.option("-q", "--quiet", is_flag=True, help="No progress and no logs; errors only.")
def main(verbose: bool, quiet: bool) -> None:
    """Which training sequences has a language model memorized, and when in training order?

    \b
    memtrace scan --model demo --step all       decide every sequence at every checkpoint
    memtrace fit-poisson runs                   is memorization a Poisson process in training order?
    memtrace emergence runs                     how early is a sequence memorized, and is it kept?
    """
    set_up(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)


main.add_command(scan)
main.add_command(status)
main.add_command(runs)
main.add_command(fit_poisson)
main.add_command(emergence)
main.add_command(simulate)
main.add_command(models)
main.add_command(corpus)
main.add_command(import_runs)
main.add_command(intervention)
main.add_command(term_frequency)
