"""The arguments and options that several commands share, and the types that check their values.

A value is checked here, before a command imports anything heavy. Steps and ranges have one form:
a list of steps includes the ends of its ranges; `A:B` of sequences ends before B, as in Python.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from memtrace.storage.address import public_address

MOST = 2**63 - 1
"""The largest whole number that an index or a count can be."""
STEPS = "1000 or 1000,2000 or 1000:143000:1000 (ends included) or all or last"

Decorator = Callable[[Any], Any]
existing_folder = click.Path(exists=True, file_okay=False, path_type=Path)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


def _shown(value: str) -> str:
    """Return what was typed, short enough for a message of one line."""
    return repr(value if len(value) <= 40 else value[:40] + "…")


class LocalPath(click.Path):
    """A file or folder to write on this machine."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Refuse an address, of which a folder of that name would be made."""
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(value)):
            place = public_address(str(value))
            self.fail(
                f"{place} is an address: this is written to a local path; copy it from there",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


folder_type = LocalPath(file_okay=False, path_type=Path)
file_type = LocalPath(dir_okay=False, path_type=Path)


class Whole(click.IntRange):
    """A whole number in plain digits."""

    name = "integer"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the digits; Python itself takes `1_0`, and digits of any script."""
        if isinstance(value, str):
            if re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) is None:
                self.fail(f"{_shown(value)} is not a whole number, such as 1000", param, ctx)
            if len(value) > 30 or int(value) > MOST:
                self.fail(f"{_shown(value)} is too large: the largest is {MOST:,}", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number in plain digits."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the digits; Python itself takes `nan`, which lies in every range."""
        if isinstance(value, str) and re.fullmatch(r"[\s0-9.eE+-]+", value) is None:
            self.fail(f"{_shown(value)} is not a number, such as 1.05", param, ctx)
        number = super().convert(value, param, ctx)
        if isinstance(number, float) and not math.isfinite(number):
            self.fail(f"{_shown(str(value))} is too large", param, ctx)
        return number

    def _describe_range(self) -> str:
        """Return what `--help` says of the range: nothing where there is none."""
        return "" if self.min is None and self.max is None else super()._describe_range()


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers between two ends, separated by commas."""

    name = "numbers"

    def __init__(
        self, least: float, most: float = MOST, *, ends: bool = True, whole: bool = False
    ) -> None:
        """Take the ends, whether they are in the range, and whether numbers are whole."""
        self._one: click.ParamType[Any] = (
            Whole(int(least), int(most))
            if whole
            else Number(least, most, min_open=not ends, max_open=not ends)
        )

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Parse each of them."""
        if isinstance(value, tuple):
            return value
        return tuple(self._one.convert(one, param, ctx) for one in str(value).split(","))


class SequenceRange(click.ParamType[tuple[int, int]]):
    """`A:B`, from A up to but not including B."""

    name = "A:B"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the two numbers."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"\s*([0-9]{1,19}):([0-9]{1,19})\s*", value)
        if match is None:
            said = _shown(value)
            self.fail(f"{said} is not A:B with two whole numbers, such as 0:100000", param, ctx)
        start, stop = int(match[1]), int(match[2])
        if not start < stop <= MOST:
            self.fail(f"{value!r} holds nothing: B is above A, and not included", param, ctx)
        return start, stop


class Steps(click.ParamType[str]):
    """A list of steps and ranges of steps; which of them exist is asked later."""

    name = "steps"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Refuse what is no list of steps."""
        from memtrace.manifests.steps import check_steps

        try:
            return check_steps(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Store(click.ParamType[Path]):
    """A folder of runs: a local path, or an address such as `s3://bucket/runs`."""

    name = "folder"

    def __init__(self, *, or_table: bool = False) -> None:
        """Take a table of indices too, where `or_table` says so."""
        self._or_table = or_table

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Open the store, which fails where its address cannot be used."""
        from memtrace.storage.columns import is_table
        from memtrace.storage.store import open_store

        found = open_store(value)
        is_file = isinstance(param, click.Argument) and isinstance(found, Path) and found.is_file()
        if is_file and self._or_table:
            if not is_table(found):
                self.fail(
                    f"{found} is neither a folder of runs nor a table of indices (.parquet, .csv, "
                    ".csv.gz or .npy)",
                    param,
                    ctx,
                )
        elif is_file:
            self.fail(f"{found} is a file, and no folder of runs", param, ctx)
        return found


runs_argument = click.argument("runs", type=Store(), default="runs")
optional_runs = click.argument("runs", type=Store(), required=False)
runs_option = click.option(
    "--runs", type=Store(), default="runs", help="Folder of runs, or an address: s3://bucket/runs."
)
json_option = click.option(
    "--json", "json", is_flag=True, help="Print one JSON document instead of text."
)
manifest_option = click.option(
    "--manifest",
    type=existing_file,
    help="A manifest file of your own, in addition to those that come with memtrace.",
)
offset_option = click.option(
    "--offset", type=Whole(min=0), default=0, help="Tokens of a row before its sequence."
)
tokens_option = click.option(
    "--tokens",
    type=Whole(min=1),
    help="Tokens of a sequence, prompt and continuation.  [default: 64, or all of shorter rows]",
)
only_suite = click.option("--suite", help="Only this suite.")
only_model = click.option("--model", help="Only this model.  [default: all of them]")
model_suite = click.option("--suite", help="Suite of the model, where two have one of that name.")
window_option = click.option(
    "--window", type=Whole(min=1), default=512, help="Length of a window in sequences."
)
margin_option = click.option(
    "--margin",
    type=Number(min=1, min_open=True),
    default=1.05,
    help="Ratio of the rates at the end and the start of training from which a drift matters.",
)

min_probability_option = click.option(
    "--min-probability",
    type=Number(0, 1, min_open=True),
    help="Count a sequence as memorized if its continuation has at least this probability, in "
    "place of if greedy decoding returns it. Needs runs with likelihoods.",
)


def step_option(default: str | None = None, otherwise: str = "") -> Decorator:
    """Return the option --step; `otherwise` says what is taken where it is left out."""
    more = f"  [default: {otherwise}]" if otherwise else ""
    return click.option("--step", type=Steps(), default=default, help=f"Steps: {STEPS}.{more}")


def sequence_options(default: int | None = 32) -> Decorator:
    """Return --prompt-tokens, --continuation-tokens and --offset: which tokens make a sequence.

    Args:
        default: Tokens of prompt and continuation; None: 32, or half of those of shorter rows.
    """
    more = "" if default else "  [default: 32, or half of shorter rows]"

    def decorate(command: Any) -> Any:
        named = {
            "--prompt-tokens": (Whole(min=1), "Tokens that the model is given."),
            "--continuation-tokens": (
                Whole(min=1, max=255),
                "Tokens after the prompt that the model has to return.",
            ),
        }
        command = offset_option(command)
        for name, (type_, text) in reversed(named.items()):
            command = click.option(name, type=type_, default=default, help=text + more)(command)
        return command

    return decorate


def seed_option(of: str) -> Decorator:
    """Return the option --seed of a command that draws at random."""
    return click.option("--seed", type=Whole(min=0), default=0, help=f"Seed of {of}.")


def output_option(content: str, *, required: bool = False) -> Decorator:
    """Return the option --output of a command that writes a folder."""
    return click.option(
        "--output", type=folder_type, required=required, help=f"Folder for {content}."
    )
