"""Do tests of order in likelihoods keep their size and intervals their coverage, and how fast?

    python -m benchmarks.likelihoods calibrate     its part of benchmarks/calibration.md
    python -m benchmarks.likelihoods scale         Pythia's size: a checkpoint and a baseline

Calibration takes the likelihoods of the demo suite and draws the positions of its rows anew: so
nothing depends on order, and values are as skewed as real ones. Everything is seeded; one thread.
"""

import argparse
import math
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

import memtrace
from benchmarks.statistics import PYTHIA_ROWS, PYTHIA_SHARD, SUMMARY, measure_command, write_section
from memtrace.likelihood import OrderFit, order_of_rows
from memtrace.likelihood.order.of_run import joined, once_only
from memtrace.likelihood.rows import Rows
from memtrace.manifests import find_model
from memtrace.runs.likelihoods import read_likelihoods
from memtrace.runs.run import Run
from memtrace.texts.find import find_texts
from memtrace.types import FloatArray, Interval

CONTEXT = multiprocessing.get_context("spawn")  # forked processes inherit locks of polars
TITLE = "## Order in likelihoods"
BASELINE, STEP = -5, -3
"""Which checkpoints of the demo suite, counted from the last."""
DESIGNS = {"10,000 rows": 10_000, "1,000 rows": 1000, "100 rows": 100}
LEVEL, EFFECT, FADES, MARGIN = 0.05, 2.0, 30.0, 0.05
"""Nats that exposure adds at first, steps in which it fades, and the margin of equivalence."""


def demo_rows(folder: Path) -> tuple[Rows, Run]:
    """Scan the demo, and return rows that occur once and that the baseline had not seen."""
    steps = find_model("demo")[0].steps
    baseline, run = (
        memtrace.scan("demo", steps[at], runs=folder, likelihood=True, include_unexposed=True)
        for at in (BASELINE, STEP)
    )
    first = baseline.exposed_rows
    both = joined(read_likelihoods(run, start=first), read_likelihoods(baseline, start=first))
    (rows,) = once_only(both, np.sort(find_texts(run).copies))
    return rows, run


def fit(index: FloatArray, y: FloatArray, b: FloatArray, run: Run, margin: float) -> OrderFit:
    """Test rows whose positions are drawn."""
    return order_of_rows(
        index.astype(np.int64),
        y,
        baseline=b,
        exposed_rows=run.exposed_rows,
        step=run.step,
        sequences_per_step=run.sequences_per_step,
        margin=margin,
    )


def draw(rows: Rows, run: Run, n: int, rng: np.random.Generator) -> dict[str, float]:
    """Return 1 for each test that rejects, and each interval that misses, in one random order."""
    assert rows.baseline is not None
    index = np.sort(rng.choice(rows.index, n, replace=False))
    chosen = rng.permutation(len(rows))[:n]
    y, b = rows.log_likelihood[chosen], rows.baseline[chosen]
    found = fit(index, y, b, run, MARGIN)
    p_values = {
        "exposed minus unexposed": found.raw.p_value,
        "the same, given the baseline": found.difference.p_value,
        "rank correlation": found.spearman.p_value,
        "partial rank correlation": found.order.p_value,
        "by age, any": found.recency.p_value,
        "control: unexposed rows": found.controls.unexposed.p_value,
        "control: order and baseline": found.controls.p_values[
            "rank correlation of order and baseline"
        ],
        "control: balance of the baseline": found.controls.balance or math.nan,
    }
    rejected = {name: float(p <= LEVEL) for name, p in p_values.items()}
    return rejected | effects(found, index, y, b, run)


def effects(
    null: OrderFit, index: FloatArray, y: FloatArray, b: FloatArray, run: Run
) -> dict[str, float]:
    """Return 1 for each interval that misses an effect which exposure has."""
    age = run.step - 1 - index // (run.sequences_per_step or 1)
    effect = np.where(age >= 0, EFFECT * np.exp(-np.maximum(age, 0) / FADES), 0.0)
    found = fit(index, y + effect, b, run, MARGIN)
    truth = float(effect[age >= 0].mean())
    bins = [
        (one.band95, float(effect[(one.steps_ago[0] <= age) & (age < one.steps_ago[1])].mean()))
        for one in found.recency.bins
    ]
    at_margin = replace(null.difference, nats=null.difference.nats + MARGIN * null.tokens)
    return {
        "interval of the raw difference": _misses(found.raw.interval(), truth),
        "interval given the baseline": _misses(found.difference.interval(), truth),
        "interval of the rank correlation": _misses(null.spearman.ci95, 0.0),
        "interval of the partial one": _misses(null.order.ci95, 0.0),
        "simultaneous band by age": float(any(_misses(*one) for one in bins)),
        "equivalence, at a difference of the margin": float(
            bool(at_margin.equivalence(MARGIN, null.tokens).equivalent)
        ),
    }


def _misses(ends: Interval, truth: float) -> float:
    return float(not ends[0] <= truth <= ends[1])


def measure(rows: Rows, run: Run, n: int, draws: int) -> dict[str, float]:
    """Return how often each test rejects and each interval misses, in many random orders."""
    rng = np.random.default_rng([draws, n])
    every = [draw(rows, run, n, rng) for _ in range(draws)]
    return {key: float(np.mean([one[key] for one in every])) for key in every[0]}


def calibrate(draws: int, workers: int) -> None:
    """Draw positions again and again, and write the section of the summary."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(workers, CONTEXT) as pool:
        rows, run = demo_rows(Path(folder))
        shares = pool.map(measure, repeat(rows), repeat(run), DESIGNS.values(), repeat(draws))
        found = dict(zip(DESIGNS, shares, strict=True))
    error = math.sqrt(LEVEL * (1 - LEVEL) / draws)
    low, high = LEVEL - 3 * error, LEVEL + 3 * error
    steps = find_model("demo")[0].steps
    lines = [
        TITLE,
        "",
        f"`python -m benchmarks.likelihoods calibrate --draws {draws}`: of the {len(rows):,}",
        f"sequences of the demo suite that occur once so many, at step {steps[STEP]} given step",
        f"{steps[BASELINE]}, with positions drawn anew {draws:,} times. Intervals and the band",
        f"are those of an effect of {EFFECT:g} nats that fades over {FADES:g} steps. How often",
        "tests and controls reject, intervals miss, and equivalence is claimed at a difference",
        "of the margin, where it is wrong. Three Monte Carlo errors around 5%:",
        f"{low:.2%} to {high:.2%}; what lies outside is in bold.",
        "",
        f"|  | {' | '.join(found)} |",
        "|---|" + "---|" * len(found),
    ]
    for name in found["1,000 rows"]:
        values = [one[name] for one in found.values()]
        cells = [f"{v:.2%}" if low <= v <= high else f"**{v:.2%}**" for v in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "Equivalence cannot be claimed of 100 rows: their interval is wider than the margin.",
    ]
    write_section(SUMMARY, lines)


def scale() -> None:
    """Time `test-order` and `extraction` on runs of Pythia's size."""
    with tempfile.TemporaryDirectory() as folder:
        for step in (1, 107_250):
            _write_run(Path(folder), step)
        order = ["test-order", folder, "--step", "107250", "--baseline", "1"]
        for command in (order, ["extraction", folder, "--step", "107250"]):
            wall, processor, peak = measure_command([sys.executable, "-m", "memtrace", *command])
            print(f"memtrace {command[0]}: {wall:.1f} s ({processor:.1f} s of processor), "
                  f"{peak:.2f} GiB")  # fmt: skip


def _write_run(runs: Path, step: int) -> None:
    """Write a finished run with likelihoods, of sequences in random order."""
    from memtrace.runs.configuration import Configuration
    from memtrace.runs.run import begin_run
    from memtrace.runs.scores import write_scores

    configuration = Configuration(
        suite="pythia",
        model="12b-deduped",
        step=step,
        start=0,
        stop=PYTHIA_ROWS,
        exposed_rows=1024 * step,
        corpus_rows=PYTHIA_ROWS,
        sequences_per_step=1024,
        shard_size=PYTHIA_SHARD,
        prompt_tokens=32,
        continuation_tokens=32,
        eos_rule="none",
        dtype="float32",
        weight_digest=str(step),
        corpus_digest="none",
        likelihood=True,
    )
    run = begin_run(runs, configuration, {"command": ["memtrace", "scan"]})
    for number, shard in enumerate(run.shards()):
        rng = np.random.default_rng(number)  # the same rows are hard at both checkpoints
        index = np.arange(shard.start, shard.stop)
        y = -rng.gamma(4, 15, len(index))
        rng = np.random.default_rng([number, step])
        y = y + rng.normal(0, 3, len(index)) + 0.1 * (index < 1024 * step)
        matched = np.minimum(rng.geometric(0.5, len(index)) - 1, 31).astype(np.uint8)
        y = np.minimum(y, -1e-3).astype(np.float32)
        matched[y > -0.5] = 32
        write_scores(run.path(shard), index, matched, configuration.metadata(), log_likelihood=y)


def main() -> None:
    """Run the benchmark that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("calibrate", "scale"))
    parser.add_argument("--draws", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.what == "calibrate":
        calibrate(given.draws, given.workers)
    else:
        scale()


if __name__ == "__main__":
    main()
