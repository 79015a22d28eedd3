"""`memtrace runs`: keep a folder of runs tidy."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result, resumable, show_progress
from .parameters import json_option, only_model, only_suite, runs_argument, step_option
from .selection import runs_at

if TYPE_CHECKING:
    from memtrace.runs.run import Run


@click.group()
def runs() -> None:
    """Keep a folder of runs tidy.

    \b
    memtrace runs compact runs
    """


@runs.command()
@runs_argument
@only_suite
@only_model
@step_option("all")
@json_option
def compact(runs: Path, suite: str | None, model: str | None, step: str, json: bool) -> None:
    """Merge the score files of each finished checkpoint into one.

    The merged file is compared with the files it replaces, row by row, before they are deleted.
    Unfinished checkpoints stay as they are. The command can be interrupted and repeated.

    \b
    memtrace runs compact runs
    memtrace runs compact runs --model 1.4b --step 143000
    """
    from memtrace.runs.compact import compact as merge
    from memtrace.runs.run import find_runs

    chosen = runs_at(find_runs(runs, suite=suite, model=model), step)
    kept = "every score is kept, merged or not"
    with resumable(kept), show_progress("Merging", len(chosen), "runs") as advance:
        documents = []
        for run in chosen:
            scores = run.valid_scores()
            left = len(scores.left)
            sizes = dict.fromkeys(("parts", "bytes_before", "bytes_after"))
            documents.append(_document(run, left) | (sizes if left else vars(merge(run, scores))))
            advance(1)
    print_result(documents, json, lambda: _text(documents))


def _document(run: "Run", left: int) -> dict[str, Any]:
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "run": str(run.folder),
        "finished": not left,
        "command": run.command if left else None,
    }


def _text(documents: list[dict[str, Any]]) -> str:
    from memtrace.report.numbers import size

    width = max(len(f"{d['suite']}/{d['model']}") for d in documents)
    lines = [f"{'model':<{width}} {'step':>8} {'files':>7} {'before':>12} {'after':>12}"]
    for d in documents:
        name = f"{d['suite']}/{d['model']}"
        if not d["finished"]:
            result = "not finished: left as it is"
        elif not d["parts"]:
            result = f"{'':>7} {'':>12} {size(d['bytes_after']):>12}   compact already"
        else:
            sizes = (size(d["bytes_before"]), size(d["bytes_after"]))
            result = f"{d['parts']:>7,} {sizes[0]:>12} {sizes[1]:>12}"
        lines.append(f"{name:<{width}} {d['step']:>8} {result}")
    commands = dict.fromkeys(d["command"] for d in documents if d["command"])
    lines += [f"To finish: {command}" for command in commands]
    return "\n".join(lines)
