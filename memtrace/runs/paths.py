"""Where runs lie: `RUNS/suite=pythia/model=1.4b/step=143000`. It knows names, and no records."""

import re
from pathlib import Path

from memtrace.errors import RunError
from memtrace.storage.store import list_names

LONGEST_NAME = 120
"""Bytes in the name of a suite or a model, which becomes the name of a folder."""


def run_folder(runs: Path, suite: str, model: str, step: int) -> Path:
    """Return where the run of this model and checkpoint lies.

    Raises:
        RunError: A name that is no name of a folder, or that would lead out of `runs`.
    """
    for name in (suite, model):
        if not _is_folder_name(name):
            raise RunError(
                f"{name[:LONGEST_NAME]!r} cannot be the name of a folder in {runs}: a suite or a "
                f"model has a name of 1 to {LONGEST_NAME} bytes without slashes; rename it"
            )
    if str(runs).encode(errors="replace").decode() != str(runs):
        raise RunError(
            f"{str(runs)!a} is no text in UTF-8, and Polars could not read from there: choose "
            "another --runs folder (where the locale is none of UTF-8, PYTHONUTF8=1 may do)"
        )
    return runs / f"suite={suite}" / f"model={model}" / f"step={step}"


def _is_folder_name(name: str) -> bool:
    """Return whether a suite or a model of this name has a folder, and in the folder of runs."""
    plain = name.isprintable() and name.strip(".") and not {"/", "\\"} & set(name)
    return bool(plain) and len(name.encode()) <= LONGEST_NAME


def run_folders(
    runs: Path, suite: str | None = None, model: str | None = None, step: int | None = None
) -> list[Path]:
    """Return the folders below `runs` that hold a run, of one suite, model or step, or of all.

    Raises:
        RunError: The folder cannot be read.
    """
    folders = step_folders(runs, suite, model, step)
    return [folder for folder in folders if "run.json" in list_names(folder)]


def step_folders(
    runs: Path, suite: str | None = None, model: str | None = None, step: int | None = None
) -> list[Path]:
    """Return the folders `suite=*/model=*/step=*` below `runs`, whether they hold a run or not.

    A copy such as `step=64.bak` is none of them.

    Raises:
        RunError: The folder cannot be read.
    """
    folders = [runs]
    for key, value in (("suite", suite), ("model", model), ("step", step)):
        named = "[0-9]+" if key == "step" else ".+"
        wanted = named if value in (None, "") else re.escape(str(value))
        folders = [
            folder / name
            for folder in folders
            for name in sorted(list_names(folder))
            if re.fullmatch(f"{key}={wanted}", name)
        ]
    return folders
