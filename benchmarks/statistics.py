"""Do the tests keep their size and the intervals their coverage, and how fast is a whole fit?

    python benchmarks/statistics.py calibrate [--draws 2000]   writes benchmarks/calibration.md
    python benchmarks/statistics.py verdict [--draws 500]      adds the verdict's part to it
    python benchmarks/statistics.py scale       Pythia's size, with copies, against pandas

Everything is seeded; one thread.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from memtrace.corpus.copies import Copies, write_copies, write_near_copies
from memtrace.point_process import EventSequence
from memtrace.point_process.contrasts import halves_and_ends
from memtrace.point_process.diagnostics.checks import check
from memtrace.point_process.diagnostics.dispersion import dispersion
from memtrace.point_process.models.change_point import change_point
from memtrace.point_process.models.constant import binomial_interval, garwood_interval, homogeneous
from memtrace.point_process.models.piecewise import piecewise_constant, tenths
from memtrace.point_process.models.recency import recency
from memtrace.point_process.models.spline import spline
from memtrace.point_process.models.trend import log_linear
from memtrace.point_process.order import examine_order
from memtrace.point_process.power import order_p_values
from memtrace.point_process.simulate import from_rate, random_order
from memtrace.point_process.texts.text_order import text_order
from memtrace.runs.memorized import Events
from memtrace.texts.groups import Texts

SEQUENCES, WINDOW, STEP, LEVEL = 20_000, 256, 64, 0.05
SHARES = (0.01, 0.1, 0.6)
RATIO = {0.01: 1.5, 0.1: 1.3, 0.6: 1.2}
PYTHIA_ROWS, PYTHIA_EVENTS, PYTHIA_SHARD = 146_432_000, 2_382_326, 131_072
GATES = ("full", "sampled", "with gaps", "with copies")
GATE_EVENTS = 400
GATE_TITLE = "## A departure named in random order"
SUMMARY = Path(__file__).with_name("calibration.md")


def p_values(events: EventSequence, rng: np.random.Generator) -> dict[str, float]:
    """Return the p-value of every test, slow ones too, and what intervals of the truth say."""
    found = order_p_values(events, WINDOW, rng)
    steady = homogeneous(events.n_events, events.exposure)
    checks = check(events, events.windows(WINDOW), steady, STEP, rng)
    found |= {
        "change point (permutation)": change_point(events, rng).p_value,
        "recency (Monte Carlo)": recency(events, STEP, rng).p_value or math.nan,
        "spline": spline(events, rng).model.p_value or math.nan,
        "rescaled gaps, KS": checks.rescaling.p_value,
        "rescaled gaps, lag 1": checks.rescaling.autocorrelation_p_value,
    }
    for name, compared in halves_and_ends(events).items():
        found[f"{name} (Fisher)"] = compared.p_value
    return found


def missed(share: float, rng: np.random.Generator) -> dict[str, float]:
    """Return 1 for each 95% interval that misses the truth of one draw with a drift."""
    ratio = RATIO[share]
    theta = math.log(ratio)
    start = share * theta / math.expm1(theta)
    events = from_rate(lambda u: start * np.exp(theta * u), SEQUENCES, rng)
    steady = from_rate(lambda u: np.full(np.shape(u), share), SEQUENCES, rng)
    low, high = log_linear(events).interval(0.95)
    curve = spline(events, rng)
    truth = start * np.exp(theta * curve.u)
    inside = bool(((curve.low <= truth) & (truth <= curve.high)).all())
    binomial = binomial_interval(steady.n_events, SEQUENCES)
    garwood = garwood_interval(steady.n_events, SEQUENCES)
    # The mean rate of each half of a log-linear rate.
    halves = math.exp(theta / 2)
    contrast = halves_and_ends(events)["second half against first"].ratio_ci95
    parts = piecewise_constant(steady, tenths(steady), "tenths", rng)
    tenth = next(iter(parts.intervals.values()))
    index = dispersion(steady.windows(WINDOW)).binomial.ci95
    return {
        f"rate ratio end/start (true {ratio:g})": not low <= ratio <= high,
        "spline, simultaneous band": not inside,
        "rate, Clopper-Pearson (exact)": not binomial[0] <= share <= binomial[1],
        "rate, Garwood (exact, too wide)": not garwood[0] <= share <= garwood[1],
        "ratio of halves": not contrast[0] <= halves <= contrast[1],
        "rate of a tenth, Clopper-Pearson (exact)": not tenth[0] <= share <= tenth[1],
        "dispersion index": not index[0] <= 1 <= index[1],
    }


def shares(draw: Callable[[int], dict[str, float]], draws: int) -> dict[str, float]:
    """Return the mean of each of the named results over all draws."""
    found = [draw(i) for i in range(draws)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def measure(share: float, draws: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return by name how often tests reject random order and how often intervals miss."""
    rng = np.random.default_rng([draws, round(1000 * share)])
    n = round(share * SEQUENCES)

    def rejected(_: int) -> dict[str, float]:
        found = p_values(random_order(SEQUENCES, n, rng), rng)
        return {name: float(p <= LEVEL) for name, p in found.items()}

    sizes = shares(rejected, draws)
    misses = shares(lambda _: missed(share, rng), draws)
    return sizes, {name.split(" (true")[0]: value for name, value in misses.items()}


def calibrate(draws: int, workers: int) -> None:
    """Measure size and coverage and write the summary; it does not depend on the workers."""
    with ProcessPoolExecutor(workers) as pool:
        found = dict(zip(SHARES, pool.map(measure, SHARES, repeat(draws)), strict=True))
    sizes, misses = ({p: one[i] for p, one in found.items()} for i in (0, 1))
    verdict = SUMMARY.read_text(encoding="utf-8").partition(GATE_TITLE)
    text = _summary(draws, sizes, misses) + "\n" + "".join(verdict[1:])
    SUMMARY.write_text(text.rstrip() + "\n", encoding="utf-8")


def _summary(draws: int, sizes: dict[float, Any], misses: dict[float, Any]) -> str:
    error = math.sqrt(LEVEL * (1 - LEVEL) / draws)
    low, high = LEVEL - 3 * error, LEVEL + 3 * error
    command = f"python benchmarks/statistics.py calibrate --draws {draws}"
    lines = [
        "# Calibration",
        "",
        f"`{command}`: {draws:,} draws of {SEQUENCES:,} sequences, of which a share p are events,",
        f"in windows of {WINDOW} and steps of {STEP}. Three Monte Carlo errors around 5%:",
        f"{low:.2%} to {high:.2%}. An exact test of a discrete statistic, or exact interval, may",
        "err less often; a value outside that range is in bold.",
        "",
    ]
    titles = ("Rejected at 5% in random order", "Missed by 95% intervals")
    for title, table in zip(titles, (sizes, misses), strict=True):
        lines += [f"## {title}", "", _row("", [f"p = {p:g}" for p in SHARES]), "|---|---|---|---|"]
        for name in table[SHARES[0]]:
            values = [table[p][name] for p in SHARES]
            cells = [f"{v:.2%}" if low <= v <= high else f"**{v:.2%}**" for v in values]
            lines.append(_row(name, cells))
        lines.append("")
    return "\n".join(lines)


def copied_order(rng: np.random.Generator) -> tuple[Texts, Events]:
    """Draw texts with Pareto counts of copies, some near-copies of others, in a random order.

    Copies have one fate, and so have near-copies: a sixth of the texts, 6 to a passage.
    """
    counts = np.minimum(np.ceil(rng.pareto(1.5, SEQUENCES // 5) + 1e-9), 1000).astype(int)
    repeated = np.repeat(np.arange(len(counts)), counts)[: SEQUENCES // 2]
    texts = len(counts) + SEQUENCES - len(repeated)
    once = np.arange(len(counts), texts)
    labels = rng.permutation(np.concatenate((repeated, once)))
    passage = np.arange(texts)
    near = rng.permutation(texts)[: texts // 36 * 6].reshape(-1, 6)
    passage[near] = near[:, :1]
    fate = rng.random(texts) < GATE_EVENTS / SEQUENCES
    held = np.flatnonzero(fate[passage[labels]])
    found = Texts.from_labels(labels, passage[labels])
    return found.merged, Events(held, np.array([[0, SEQUENCES]]))


def scanned_order(design: str, rng: np.random.Generator) -> EventSequence:
    """Draw a random order of all rows, of a sample of a tenth, or of three ranges with gaps."""
    ranges = np.array([[0, SEQUENCES]])
    if design == "sampled":
        rows = np.sort(rng.choice(SEQUENCES, SEQUENCES // 10, replace=False))
        ranges = np.stack((rows, rows + 1), axis=1)
    if design == "with gaps":
        ranges = np.array([[0, 3000], [5000, 9000], [15_000, SEQUENCES]])
    seen = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    positions = rng.choice(seen, GATE_EVENTS, replace=False)
    return EventSequence.from_positions(
        positions, n=SEQUENCES, observed=ranges, sequences_per_step=STEP
    )


def gate(design: str, draws: int) -> dict[str, float]:
    """Return how often the gate names a departure in random orders, and each test alone at 1%."""
    rng = np.random.default_rng([draws, GATES.index(design)])
    found: list[dict[str, float]] = []
    for i in range(draws):
        if design == "with copies":
            departures = text_order(
                *copied_order(rng), SEQUENCES, window=WINDOW, seed=i
            ).once.departures
        else:
            seed = np.random.SeedSequence(i)
            events = scanned_order(design, rng)
            departures = examine_order(events, window=WINDOW, seed=seed).departures
        alone = {f"{one.name}, alone at 1%": one.p_value <= 0.01 for one in departures.tests}
        found.append({"any departure is named": bool(departures.found), **alone})
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def calibrate_verdict(draws: int, workers: int) -> None:
    """Measure the size of the verdict's gate and write its part of the summary."""
    with ProcessPoolExecutor(workers) as pool:
        found = dict(zip(GATES, pool.map(gate, GATES, repeat(draws)), strict=True))
    total = float(np.mean([one["any departure is named"] for one in found.values()]))
    lines = [
        GATE_TITLE,
        "",
        f"`python benchmarks/statistics.py verdict --draws {draws}`: {draws:,} random orders of",
        f"each design, of {SEQUENCES:,} sequences, of which about {GATE_EVENTS} are events; the",
        "sample is of a tenth; copies have Pareto counts, near-copies share a continuation, both",
        "have one fate, and their tests are those by text.",
        f"Of all {draws * len(GATES):,}: {total:.2%}.",
        "",
        _row("", list(GATES)),
        "|---|" + "---|" * len(GATES),
    ]
    for name in found["with copies"]:
        shown = [f"{one[name]:.2%}" if name in one else "-" for one in found.values()]
        lines.append(_row(name, shown))
    write_section(SUMMARY, lines)


def write_section(path: Path, lines: list[str]) -> None:
    """Write the section that begins with the first of the lines, in its place or at the end."""
    before, _, old = path.read_text(encoding="utf-8").partition(lines[0] + "\n")
    after = old.partition("\n## ")
    rest = f"\n{after[1].strip()} {after[2].lstrip()}" if after[1] else ""
    path.write_text(f"{before.rstrip()}\n\n" + "\n".join(lines) + "\n" + rest, encoding="utf-8")


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def scale() -> None:
    """Time `fit-poisson` on a run of Pythia's size, and the reference notebook's loop beside it."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        _write_run(runs)
        _write_copies(runs / "duplicates")
        report = ["-m", "memtrace", "fit-poisson", folder]
        commands = {
            "memtrace fit-poisson, the whole report, copies unknown": report,
            "the same, with the table of duplicates": [
                *report,
                "--duplicates",
                str(runs / "duplicates"),
            ],
            "pandas, counts window by window": [str(Path(__file__).resolve()), "pandas", folder],
        }
        for name, command in commands.items():
            wall, processor, peak = measure_command([sys.executable, *command])
            print(f"{name}: {wall:.1f} s ({processor:.1f} s of processor), {peak:.2f} GiB")


def _write_run(runs: Path) -> None:
    """Write a finished run with events in random order, shard by shard."""
    from memtrace.runs.run import Configuration, begin_run
    from memtrace.runs.scores import write_scores

    configuration = Configuration(
        suite="pythia",
        model="12b-deduped",
        step=143_000,
        start=0,
        stop=PYTHIA_ROWS,
        exposed_rows=PYTHIA_ROWS,
        corpus_rows=PYTHIA_ROWS,
        sequences_per_step=1024,
        shard_size=PYTHIA_SHARD,
        prompt_tokens=32,
        continuation_tokens=32,
        eos_rule="none",
        dtype="float32",
        weight_digest="none",
        corpus_digest="none",
    )
    run = begin_run(runs, configuration, {"command": ["memtrace", "scan"]})
    rng = np.random.default_rng(0)
    events = np.sort(rng.choice(PYTHIA_ROWS, PYTHIA_EVENTS, replace=False))
    for shard in run.shards():
        index = np.arange(shard.start, shard.stop)
        matched = np.minimum(rng.geometric(0.5, len(index)) - 1, 31).astype(np.uint8)
        inside = slice(*np.searchsorted(events, [shard.start, shard.stop]))
        matched[events[inside] - shard.start] = 32
        write_scores(run.path(shard), index, matched, configuration.metadata())


def _write_copies(folder: Path) -> None:
    """Write the repeated rows of a corpus of which a tenth are copies, with Pareto counts."""
    rng = np.random.default_rng(1)
    rows = rng.choice(PYTHIA_ROWS, PYTHIA_ROWS // 10, replace=False)
    counts = np.minimum(2 + rng.pareto(1.3, len(rows) // 2), 20_000).astype(np.int64)
    counts = counts[: np.searchsorted(np.cumsum(counts), len(rows))]
    text = np.repeat(np.arange(len(counts)), counts)
    rows = rows[: len(text)]
    names = np.minimum.reduceat(rows, np.cumsum(counts) - counts)[text]
    order = np.lexsort((rows, names))
    # Every hundredth text has a near-copy: another repeated text with the same continuation.
    every = np.unique(names)
    near = every[: len(every) // 100 * 2]
    passages = np.minimum(near[0::2], near[1::2]).repeat(2)
    folder.mkdir()
    table = Copies("none", PYTHIA_ROWS, 64, 32, names[order], rows[order], near, passages)
    write_copies(folder, 0, 1, table)
    write_near_copies(folder, table)


def measure_command(command: list[str], checkout: Path | None = None) -> tuple[float, float, float]:
    """Return seconds, processor seconds and peak GiB of a command, which has its own process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}
    program = (
        "import json, resource, subprocess, sys; "
        "subprocess.run(json.loads(sys.argv[1]), check=True, stdout=subprocess.DEVNULL); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(command)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=checkout,
    )
    wall = time.perf_counter() - start
    processor, peak = map(float, done.stdout.split())
    return wall, processor, peak / 2**20


def reference_loop(folder: str) -> None:
    """Count as the reference notebook does: one slice of a data frame for each window of 512."""
    import pandas as pd
    import polars as pl

    from memtrace.runs.run import find_runs

    (run,) = find_runs(Path(folder))
    memorized = run.scores().select(pl.col("matched_tokens") == 32).collect()
    evals = pd.DataFrame({"accuracy": memorized["matched_tokens"].to_numpy().astype("float32")})
    counts = []
    for i in range(0, PYTHIA_ROWS, 512):
        counts.append((evals.iloc[i : i + 512]["accuracy"] == 1).sum())
    print(len(counts), sum(counts), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Run the benchmark that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("calibrate", "verdict", "scale", "pandas"))
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.what == "calibrate":
        calibrate(given.draws, given.workers)
    elif given.what == "verdict":
        calibrate_verdict(given.draws, given.workers)
    elif given.what == "scale":
        scale()
    else:
        reference_loop(given.folder)


if __name__ == "__main__":
    main()
