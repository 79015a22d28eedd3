"""What the full job costs: every checkpoint of 16 Pythia models, by arithmetic on the manifest.

    python benchmarks/full_job.py
    python benchmarks/full_job.py --tflops 250 --gpus 8 64 512

GPU-hours are those of the fewest operations that decide every sequence (`minimum_flops`), at a
stated speed: a lower bound, to compare with what `memtrace status` measures. The rest is counted.
"""

import argparse
from collections.abc import Sequence

from memtrace.manifests import ModelManifest, Suite, find_suite
from memtrace.runs.status import SCORE_BYTES
from memtrace.scanning.plan import SHARD_SIZE

SIZES = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
PACKED_BYTES = 128  # the first 64 tokens of a row, as a prefix pack holds them
WEIGHT_BYTES = 2  # of a parameter: the checkpoints are in float16 or bfloat16
PROMPT_TOKENS = 32


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tflops", type=float, default=400.0, help="10^12 operations a second")
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 512], help="to divide it by")
    options = parser.parse_args()
    suite = find_suite("pythia")
    models = [model for model in suite.models if model.name.removesuffix("-deduped") in SIZES]
    rows = max(corpus.rows or 0 for corpus in suite.corpora.values())
    exposed = [suite.exposed_rows(step, rows) for step in suite.steps]
    for title, each in (
        ("the rows that each had seen", exposed),
        ("all rows at each", [rows] * len(exposed)),
    ):
        print(f"{len(models)} models, {len(each)} checkpoints of each, {title}:\n")
        _table(suite, models, each, options.tflops * 1e12, options.gpus)


def _table(
    suite: Suite, models: list[ModelManifest], rows: Sequence[int], speed: float, gpus: list[int]
) -> None:
    """Print a line for each size (two models), and one for all.

    `sequences/s` and `hours, last step` are of one model on one GPU, all else is of both models.
    """
    sequences = sum(rows)
    shards = sum(-(-n // SHARD_SIZE) for n in rows)
    heads = ["models", "sequences", "GFLOP each", "sequences/s", "hours, last step", "GPU-hours"]
    heads += [f"days on {n}" for n in gpus] + ["read", "scores", "files", "weights"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    total = [0.0, 0.0, 0.0]
    for size in SIZES:
        pair = [model for model in models if model.name.removesuffix("-deduped") == size]
        work = pair[0].minimum_flops(PROMPT_TOKENS)
        hours = len(pair) * sequences * work / speed / 3600
        weights = sum(m.parameters for m in pair) * WEIGHT_BYTES * len(suite.steps)
        cells = [f"{size}, {size}-deduped", f"{len(pair) * sequences / 1e9:,.1f} G"]
        last = rows[-1] * work / speed / 3600
        cells += [f"{work / 1e9:,.2f}", f"{speed / work:,.0f}", f"{last:,.2f}", f"{hours:,.0f}"]
        _row(cells, hours, gpus, len(pair) * sequences, len(pair) * shards, weights)
        total = [total[0] + hours, total[1] + len(pair), total[2] + weights]
    hours, count, weights = total
    cells = ["**all**", f"{count * sequences / 1e9:,.1f} G", "", "", "", f"{hours:,.0f}"]
    _row(cells, hours, gpus, count * sequences, count * shards, weights)
    print()


def _row(
    cells: list[str],
    hours: float,
    gpus: list[int],
    sequences: float,
    files: float,
    weights: float,
) -> None:
    days = [f"{hours / 24 / n:.3g}" for n in gpus]
    sizes = [
        f"{sequences * PACKED_BYTES / 1e12:,.2f} TB",
        f"{sequences * SCORE_BYTES / 1e9:,.0f} GB",
    ]
    print(
        "| "
        + " | ".join([*cells, *days, *sizes, f"{files:,.0f}", f"{weights / 1e12:,.2f} TB"])
        + " |"
    )


if __name__ == "__main__":
    main()
