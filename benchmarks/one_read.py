"""How fast are statistics of a full checkpoint, and how much of that was reading its scores?

    python benchmarks/one_read.py [--before CHECKOUT] [--rounds 3]

A run of Pythia's size is written, with its events. `fit-poisson` and the reading of checkpoints for
`emergence` are timed on it. With --before the same is done by an older checkout, which has its own
`.venv`, in turns with this one: other work on the machine then slows both.
"""

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from memtrace.emergence.text_events import blocks, read_text_events
from memtrace.runs.events import write_events
from memtrace.runs.run import find_runs

BENCHMARKS = Path(__file__).resolve().parent
CHECKPOINTS = 154
BLOCK = 1 << 20
WRITE = """
import pathlib, runpy, sys
runpy.run_path(sys.argv[1])["_write_run"](pathlib.Path(sys.argv[2]))
"""
OLD_READING = """
import importlib, pathlib, sys, time
import numpy as np
from memtrace.runs import find_runs
histories = importlib.import_module("memtrace.emergence.intervals")
(run,) = find_runs(pathlib.Path(sys.argv[1]))
start = time.process_time(), time.perf_counter()
files = histories._files(run)
events = 0
for first, stop in histories._blocks([run], [files], histories.BLOCK):
    rows, hit = histories._read(run, files, first, stop)
    events += int(np.count_nonzero(hit))
print(time.process_time() - start[0], time.perf_counter() - start[1], events)
"""


class RandomTexts:
    """In place of a corpus: texts that are different in every row."""

    remote = False

    def take(self, rows: np.ndarray, tokens: int, offset: int) -> np.ndarray:
        """Return random token ids."""
        return np.random.default_rng([int(rows[0]), offset]).integers(
            0, 50_000, (len(rows), tokens)
        )


def fit(python: Path, checkout: Path, runs: Path) -> tuple[float, float, float]:
    """Return seconds, processor seconds and peak GiB of `fit-poisson` in a process of its own."""
    measure = runpy.run_path(str(BENCHMARKS / "statistics.py"))["measure_command"]
    found: tuple[float, float, float] = measure(
        [str(python), "-m", "memtrace", "fit-poisson", str(runs.resolve())], checkout
    )
    return found


def read(runs: Path) -> tuple[float, float, int]:
    """Read a checkpoint block by block, as `emergence` does; processor seconds, seconds, events."""
    (run,) = find_runs(runs)
    start = time.process_time(), time.perf_counter()
    (found,), events = read_text_events([run], None), 0
    for first, stop in blocks([run], [found], BLOCK):
        events += int(np.count_nonzero(found.between(first, stop)[1]))
    return time.process_time() - start[0], time.perf_counter() - start[1], events


def read_before(python: Path, runs: Path) -> tuple[float, float, int]:
    """Read a checkpoint's scores as the older checkout does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}
    done = subprocess.run(
        [str(python), "-c", OLD_READING, str(runs)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=python.parents[2],
    )
    processor, wall, events = done.stdout.split()
    return float(processor), float(wall), int(events)


def write(python: Path, statistics: Path, runs: Path) -> None:
    """Write the run with the code of a checkout."""
    command = [str(python), "-c", WRITE, str(statistics), str(runs)]
    subprocess.run(command, check=True, cwd=statistics.parents[1])


def main() -> None:
    """Write the runs, time both in turns, print the least of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="An older checkout with its .venv.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Keep the runs here, and use those there are.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measured = compare(options.folder or Path(scratch), options.before, options.rounds)
    print(json.dumps(measured, indent=2))


def compare(folder: Path, before: Path | None, rounds: int) -> dict[str, Any]:
    """Return the least of the times of each side."""
    runs = {"after": folder / "after", "before": folder / "before"}
    pythons, checkouts = {"after": Path(sys.executable)}, {"after": BENCHMARKS.parent}
    if before:
        checkouts["before"] = before.resolve()
        pythons["before"] = checkouts["before"] / ".venv" / "bin" / "python"
    for side, python in pythons.items():
        if not runs[side].is_dir():
            write(python, checkouts[side] / "benchmarks" / "statistics.py", runs[side])
    (run,) = find_runs(runs["after"])
    write_events(run, run.valid_scores(), RandomTexts())  # type: ignore[arg-type]
    fits: dict[str, list[tuple[float, float, float]]] = {side: [] for side in pythons}
    reads: dict[str, list[tuple[float, float, int]]] = {side: [] for side in pythons}
    for _ in range(rounds):
        for side, python in pythons.items():
            fits[side].append(fit(python, checkouts[side], runs[side]))
            reads[side].append(
                read(runs[side]) if side == "after" else read_before(python, runs[side])
            )
    least: dict[str, Any] = {}
    for side in pythons:
        processor, wall, events = (min(each) for each in zip(*reads[side], strict=True))
        least[side] = {
            "fit-poisson": dict(
                zip(
                    ("seconds", "processor seconds", "GiB"),
                    [round(min(each), 2) for each in zip(*fits[side], strict=True)],
                    strict=True,
                )
            ),
            "reading one checkpoint": {
                "seconds": round(wall, 3),
                "processor seconds": round(processor, 3),
                "events": events,
            },
            f"reading {CHECKPOINTS} checkpoints, scaled": {"seconds": round(wall * CHECKPOINTS, 1)},
        }
    return least


if __name__ == "__main__":
    main()
