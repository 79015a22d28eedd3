"""How long does it take to set many full checkpoints side by side?

    python benchmarks/compare.py [--steps 2] [--rows 146432000] [--events 2000000] [--folder DIR]

Runs of sixteen models, evenly over training, are written as what a finished scan leaves for
statistics: the record and the events with the hashes of their texts. With two steps a run has as
many events as the other; with more of them, as its share of training. A table of duplicates stands
beside them, of 12 million copies and near-copies. `memtrace compare --json` is timed in a process
of its own, with the table and without.
"""

import argparse
import json
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from memtrace.corpus.copies import Copies, write_copies, write_near_copies
from memtrace.runs.configuration import Configuration
from memtrace.runs.events import HASHED, _write
from memtrace.runs.memorized import Events
from memtrace.runs.run import begin_run

BENCHMARKS = Path(__file__).resolve().parent
STEP_ROWS = 1024
SIZES = tuple(
    name + twin
    for name in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
    for twin in ("", "-seed1")
)
COPIES, GROUPS, NEAR = 12_000_000, 1_500_000, 200_000
DIGEST = "benchmark"


def write_runs(folder: Path, steps: int, rows: int, events: int) -> None:
    """Write runs whose memorized rows overlap as those of models of one suite do."""
    last, runs = rows // STEP_ROWS, len(SIZES) * steps
    rng = np.random.default_rng(0)
    # Of three times as many candidates each run takes those that it finds easiest.
    candidates = np.unique(rng.integers(0, rows, 3 * events))
    ease = rng.normal(size=len(candidates)).astype(np.float32)
    hashes = rng.integers(0, 2**63, len(candidates), dtype=np.int64).astype(np.uint64)
    for number in range(runs):
        model, part = SIZES[number // steps], number % steps + 1
        step = last * part // steps
        own = ease + rng.normal(size=len(candidates)).astype(np.float32)
        share = events / len(candidates) * (0.9 + 0.2 * (number + 1) / runs)
        share *= part / steps if steps > 2 else 1
        chosen = own > np.quantile(own[::100], 1 - share)
        exposed = step * STEP_ROWS
        run = begin_run(folder / "runs", _configuration(model, step, exposed, rows), {})
        _write(run, Events(candidates[chosen], np.array([[0, rows]]), hashes[chosen], HASHED))
    _write_table(folder / "duplicates", rows, rng)


def _configuration(model: str, step: int, exposed: int, rows: int) -> Configuration:
    return Configuration(
        suite="pythia", model=model, step=step, start=0, stop=rows, exposed_rows=exposed,
        corpus_rows=rows, sequences_per_step=STEP_ROWS, shard_size=131_072, prompt_tokens=32,
        continuation_tokens=32, eos_rule="none", dtype="float16", weight_digest="w",
        corpus_digest=DIGEST,
    )  # fmt: skip


def _write_table(folder: Path, rows: int, rng: np.random.Generator) -> None:
    """Write a table of duplicates: texts of two copies and more, and near-copies of some."""
    copies = np.unique(rng.integers(0, rows, min(COPIES, rows // 3)))
    group = np.sort(rng.integers(0, min(GROUPS, len(copies) // 4), len(copies)))
    order = np.lexsort((copies := rng.permutation(copies), group))
    copies, begins = copies[order], np.flatnonzero(np.diff(group, prepend=-1))
    names = np.repeat(copies[begins], np.diff(begins, append=len(copies)))
    sizes = np.repeat(np.diff(begins, append=len(copies)), np.diff(begins, append=len(copies)))
    names, copies = names[sizes > 1], copies[sizes > 1]
    order = np.lexsort((copies, names))
    some = np.sort(rng.choice(np.unique(names), min(NEAR, len(np.unique(names)) // 2), False))
    passages = np.repeat(some[: len(some) // 2 * 2 : 2], 2)
    table = Copies(
        DIGEST, rows, 64, 32, names[order], copies[order], some[: len(passages)], passages
    )
    write_near_copies(folder, table)
    write_copies(folder, 0, 1, table)


def measure(folder: Path, *more: str) -> dict[str, Any]:
    """Return the time and the memory of one comparison."""
    command = [sys.executable, "-m", "memtrace", "-q", "compare", str(folder / "runs"), "--step"]
    command += ["all", "--json", *more]
    timed = runpy.run_path(str(BENCHMARKS / "statistics.py"))["measure_command"]
    seconds, processor, peak = timed(command, BENCHMARKS.parent)
    return {"seconds": seconds, "processor_seconds": processor, "peak_gib": peak}


def report(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield what is measured."""
    if not (folder / "runs").exists():
        write_runs(folder, options.steps, options.rows, options.events)
    files = list(folder.rglob("events.parquet"))
    yield "runs", len(files)
    yield "events_gb", sum(file.stat().st_size for file in files) / 1e9
    yield "with_table", measure(folder, "--duplicates", str(folder / "duplicates"))
    yield "without_table", measure(folder)


def main() -> None:
    """Write the runs, compare them, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rows", type=int, default=146_432_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, help="Keep the runs here, and use those there are.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(dict(report(options.folder or Path(scratch), options)), indent=2))


if __name__ == "__main__":
    main()
