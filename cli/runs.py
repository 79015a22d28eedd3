"""`memtrace runs`: look after a folder of runs.

It chooses runs and prints sizes; the library merges and compares.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Store, json_option, print_answer, show_progress

if TYPE_CHECKING:
    from memtrace.runs.run import Run


@click.group()
def runs() -> None:
    """Look after a folder of runs.

    \b
    memtrace runs compact runs
    """


@runs.command()
@click.argument("runs", type=Store(), default="runs")
@click.option("--suite", help="Only this suite.")
@click.option("--model", help="Only this model.")
@click.option(
    "--step", help="Only these checkpoints: 1000 or 1000,2000 or 1000:143000:1000 (end included)."
)
@json_option
def compact(runs: Path, suite: str | None, model: str | None, step: str | None, json: bool) -> None:
    """Merge the score files of each finished checkpoint into one.

    The merged file is compared with its parts, row by row, before they are deleted. Unfinished
    checkpoints are left as they are. It may be interrupted and repeated at any moment.

    \b
    memtrace runs compact runs
    memtrace runs compact runs --model 1.4b --step 143000
    """
    from memtrace.runs.compact import compact as merge

    chosen = _choose(runs, suite, model, step)
    with show_progress("compact", len(chosen), "runs") as advance:
        documents = []
        for run in chosen:
            left = len(run.shards_left())
            sizes = dict.fromkeys(("parts", "bytes_before", "bytes_after"))
            documents.append(_document(run, left) | (sizes if left else vars(merge(run))))
            advance(1)
    print_answer(documents, json, lambda: _text(documents))


def _choose(runs: Path, suite: str | None, model: str | None, step: str | None) -> "list[Run]":
    from memtrace.manifests.steps import parse_steps
    from memtrace.runs.run import find_runs

    found = find_runs(runs, suite=suite, model=model)
    if step is None:
        return found
    try:
        wanted = parse_steps(step, [run.step for run in found])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--step") from error
    return [run for run in found if run.step in wanted]


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
    width = max(len(f"{d['suite']}/{d['model']}") for d in documents)
    lines = [f"{'model':<{width}} {'step':>8} {'files':>7} {'before':>12} {'after':>12}"]
    for d in documents:
        name = f"{d['suite']}/{d['model']}"
        if not d["finished"]:
            result = "not finished: left as it is"
        elif not d["parts"]:
            result = f"{'':>7} {'':>12} {_size(d['bytes_after']):>12}   compact already"
        else:
            sizes = (_size(d["bytes_before"]), _size(d["bytes_after"]))
            result = f"{d['parts']:>7,} {sizes[0]:>12} {sizes[1]:>12}"
        lines.append(f"{name:<{width}} {d['step']:>8} {result}")
    commands = dict.fromkeys(d["command"] for d in documents if d["command"])
    lines += [f"To finish: {command}" for command in commands]
    return "\n".join(lines)


def _size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    return f"{count / 1e6:,.2f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
