"""Why no run was found, in one line: what was asked for, what the folder holds, where to look."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path

from memtrace.errors import RunError
from memtrace.runs.paths import run_folders
from memtrace.storage.store import list_names

MOST = 8
"""Models that a message names."""
_LOOKED_AT = 100
"""Folders in a folder without runs that may hold them."""


def no_run(
    runs: Path, suite: str | None = None, model: str | None = None, step: int | None = None
) -> RunError:
    """Return the error that says why no run below `runs` fits.

    Args:
        runs: The folder.
        suite: The suite that was asked for; None: any.
        model: The model.
        step: The step.
    """
    there = [_keys(folder) for folder in run_folders(runs)]
    if there:
        asked = {"suite": suite or None, "model": model or None, "step": step}
        said = ", ".join(f"{key} {each!r}" for key, each in asked.items() if each is not None)
        return RunError(
            f"no run of {said} in {runs}{_near(there, suite, model)}; it holds {_held(there)}: "
            "choose one of them, or scan that one"
        )
    if isinstance(runs, Path) and not runs.exists():
        return RunError(f"'{runs}' does not exist: name the folder that `memtrace scan` wrote")
    if other := _elsewhere(runs):
        return RunError(f"{runs} is no folder of runs, {other} is: give that one")
    return RunError(f"{runs} holds no run: make one with `memtrace scan`")


def _keys(folder: Path) -> tuple[str, str, int]:
    suite, model, step = (part.partition("=")[2] for part in folder.parts[-3:])
    return suite, model, int(step)


def _near(there: Sequence[tuple[str, str, int]], suite: str | None, model: str | None) -> str:
    """Return the names that may have been meant by one that no run has."""
    near = [
        other
        for asked, names in (
            (suite, {suite for suite, *_ in there}),
            (model, {model for _, model, _ in there}),
        )
        if asked and asked not in names
        for other in get_close_matches(asked.lower(), sorted(names))
    ]
    return f" (near it: {', '.join(near)})" if near else ""


def _held(there: Sequence[tuple[str, str, int]]) -> str:
    """Return the models that have runs, with their steps."""
    held = []
    for (suite, model), group in groupby(sorted(there), lambda keys: keys[:2]):
        steps = [step for *_, step in group]
        if len(steps) > 3:
            held.append(f"{suite}/{model} ({len(steps):,} steps, {steps[0]} to {steps[-1]})")
        else:
            plural = "s" if len(steps) > 1 else ""
            held.append(f"{suite}/{model} (step{plural} {', '.join(map(str, steps))})")
    more = f" and {len(held) - MOST:,} models more" if len(held) > MOST else ""
    return ", ".join(held[:MOST]) + more


def _elsewhere(runs: Path) -> Path | None:
    """Return a folder of runs above or in a folder that is none."""
    parts = runs.parts
    keys = [i for i, part in enumerate(parts) if part.startswith("suite=")]
    above = [Path(*parts[: keys[0]])] if keys and isinstance(runs, Path) else []
    below = [runs / name for name in sorted(list_names(runs))[:_LOOKED_AT]]
    return next((folder for folder in (*above, *below) if run_folders(folder)), None)
