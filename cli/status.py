"""`memtrace status`: what is done, what is left, and the command that finishes it.

It reads run records and file names; it decides nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import json_option, print_answer

if TYPE_CHECKING:
    from memtrace.runs import Run


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), default="runs")
@json_option
def status(runs: Path, as_json: bool) -> None:
    """Show what is done and what is left in a folder of runs.

    \b
    memtrace status runs
    """
    from memtrace.runs import find_runs

    documents = [_document(run) for run in find_runs(runs)]
    print_answer(documents, as_json, lambda: _text(documents))


def _document(run: "Run") -> dict[str, Any]:
    shards, left = run.shards(), run.shards_left()
    sequences = sum(shard.sequences for shard in shards)
    sequences_left = sum(shard.sequences for shard in left)
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "run": str(run.folder),
        "shards": len(shards),
        "shards_left": len(left),
        "sequences": sequences,
        "sequences_left": sequences_left,
        "finished": not left,
        "command": run.command if left else None,
    }


def _text(documents: list[dict[str, Any]]) -> str:
    width = max(len(f"{d['suite']}/{d['model']}") for d in documents)
    lines = [f"{'model':<{width}} {'step':>8} {'shards':>12} {'sequences':>27}   state"]
    for d in documents:
        shards = f"{d['shards'] - d['shards_left']}/{d['shards']}"
        sequences = f"{d['sequences'] - d['sequences_left']:,}/{d['sequences']:,}"
        state = "done" if d["finished"] else "unfinished"
        name = f"{d['suite']}/{d['model']}"
        lines.append(f"{name:<{width}} {d['step']:>8} {shards:>12} {sequences:>27}   {state}")
    # One command may have begun many checkpoints.
    commands = dict.fromkeys(d["command"] for d in documents if d["command"])
    lines += [f"To finish: {command}" for command in commands]
    return "\n".join(lines)
