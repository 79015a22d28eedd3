"""`memtrace fit-poisson TABLE`: a table of indices in place of a folder of runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from memtrace.point_process import EventSequence

_OF_A_TABLE = {"sequences", "column"}
_OF_RUNS = {
    "suite",
    "model",
    "step",
    "duplicates",
    "row_interval",
    "time_scale",
    "min_probability",
    "full",
}


def is_indices(source: Path) -> bool:
    """Return whether the source is a table of indices, and no folder of runs."""
    return isinstance(source, Path) and source.is_file()


def check_options(ctx: click.Context, source: Path) -> None:
    """Refuse options that have no meaning for what was given, and ask for those that are needed.

    Raises:
        click.UsageError: An option does not fit, or is missing.
    """
    given = {
        name for name in ctx.params if ctx.get_parameter_source(name) != ParameterSource.DEFAULT
    }
    table = is_indices(source)
    if foreign := sorted(given & (_OF_RUNS if table else _OF_A_TABLE)):
        names = ", ".join("--" + name.replace("_", "-") for name in foreign)
        what, other = ("a table of indices", "runs") if table else ("a folder of runs", "a table")
        raise click.UsageError(f"{source} is {what}, and {names} is an option of {other}")
    if table and "sequences" not in given:
        raise click.UsageError(
            f"{source} says which sequences are memorized, and not of how many: add --sequences N"
        )
    if table and "cuts" in given and "sequences_per_step" not in given:
        raise click.UsageError("--cuts are steps: add --sequences-per-step B")


def read_indices(
    source: Path, sequences: int, sequences_per_step: int | None, column: str | None
) -> "EventSequence":
    """Return the events of a table.

    Raises:
        RunError: It cannot be read.
        FitError: An index occurs twice, or is outside 0 to `sequences` - 1.
    """
    from memtrace.errors import FitError
    from memtrace.point_process import EventSequence
    from memtrace.storage.columns import read_integers

    try:
        return EventSequence.from_positions(
            read_integers(source, column),
            n=sequences,
            sequences_per_step=sequences_per_step,
            label=source.name,
        )
    except FitError as error:
        advice = str(error).replace("give the length of the axis as n", "check --sequences")
        raise FitError(f"{source}: {advice}") from error
