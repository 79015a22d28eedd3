"""`memtrace compare`: model sizes, checkpoints, seeds and corpora side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import print_result, show_progress
from .parameters import (
    Store,
    existing_folder,
    json_option,
    manifest_option,
    only_suite,
    step_option,
)
from .selection import last_finished, runs_at

if TYPE_CHECKING:
    from memtrace.runs.run import Run


@click.command()
@click.argument("runs", type=Store(), nargs=-1)
@only_suite
@click.option("--models", help="Only these models, separated by commas.  [default: all of them]")
@step_option(otherwise="the last finished one of each model")
@click.option(
    "--duplicates",
    type=existing_folder,
    multiple=True,
    help="Folder that `corpus duplicates` wrote, once for each corpus. Corpora of up to 2,000,000 "
    "rows need none.",
)
@manifest_option
@json_option
def compare(
    runs: tuple[Path, ...],
    suite: str | None,
    models: str | None,
    step: str | None,
    duplicates: tuple[Path, ...],
    manifest: Path | None,
    json: bool,
) -> None:
    """What do size, deduplication and early checkpoints say of memorization?

    RUNS are folders that `memtrace scan` wrote, one or several.

    \b
    memtrace compare runs
    memtrace compare runs --models 70m,1.4b,12b --step 143000
    """
    chosen = _chosen(runs or (Path("runs"),), suite, models, step)
    from memtrace.comparison import load_runs

    with show_progress("Reading", len(chosen), "runs") as advance:
        found = load_runs(chosen, duplicates=duplicates, manifest=manifest, on_progress=advance)
    documents = [
        {
            "suite": one.suite,
            "model": one.model,
            "step": one.step,
            "parameters": one.parameters,
            "scanned": one.events.scanned_sequences,
            "memorized": len(one.events.sequence_index),
        }
        for one in found
    ]
    print_result(documents, json, lambda: "\n".join(one.label for one in found))


def _chosen(
    folders: tuple[Path, ...], suite: str | None, models: str | None, step: str | None
) -> "list[Run]":
    """Return the runs of these models and steps in all folders.

    Raises:
        RunError: A folder has no run, or a model none.
    """
    from memtrace.errors import RunError
    from memtrace.runs.run import find_runs

    found = [run for folder in folders for run in find_runs(folder, suite=suite)]
    if models is not None:
        wanted = [name.strip() for name in models.split(",") if name.strip()]
        there = sorted({run.model for run in found})
        if unknown := [name for name in wanted if name not in there]:
            raise RunError(f"no run of model {unknown[0]!r}; there are runs of {', '.join(there)}")
        found = [run for run in found if run.model in wanted]
    return runs_at(found, step) if step else last_finished(found)
