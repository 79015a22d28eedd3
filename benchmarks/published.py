"""Are the published counts those that come out of an import? All models of `pythia.yaml` at once.

    python benchmarks/published.py [--models 70m,12b] [--folder DIR]

For each checkpoint with a published count a table is written in the published form, with as many
memorized rows as were published; which rows is drawn, a smaller model's among a larger one's for
the most part. Tables are imported with `memtrace import` and compared with `memtrace compare`:
counts and shares of the comparison must be the published ones, to the last digit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from memtrace.manifests import ModelManifest, load_suites

TOKENS = 64
INSIDE = 0.9
"""Of a smaller model's rows, those that the next larger one of its corpus has too."""
MEMTRACE = [sys.executable, "-m", "memtrace", "-q"]


def write_tables(folder: Path, models: list[ModelManifest], step_rows: int) -> Iterator[list[str]]:
    """Write a table for each published count; yield what imports it."""
    rng = np.random.default_rng(0)
    last: dict[str | None, Any] = {}
    for model in sorted(models, key=lambda one: -one.parameters):
        for step, count in model.memorized.items():
            larger = last.get(model.corpus, np.empty(0, np.int64))
            larger = larger[larger < step * step_rows]
            shared = rng.choice(larger, min(int(INSIDE * count), len(larger)), False)
            others = rng.integers(0, step * step_rows, 2 * count + 1000)
            others = rng.permutation(np.setdiff1d(others, larger))[: count - len(shared)]
            index = np.sort(np.concatenate((shared, others)))
            corpus = "deduped" if model.name.endswith("deduped") else "duped"
            name = f"{corpus}.{model.name.removesuffix('-deduped')}"
            source = folder / f"{name}{'' if step == max(model.memorized) else f'.{step}'}.parquet"
            tokens = pl.lit(pl.Series([[1] * TOKENS], dtype=pl.List(pl.Int64))).first()
            table = pl.DataFrame({"index": index}).with_columns(tokens.alias("tokens"))
            table.write_parquet(source)
            yield ["import", str(source), "--model", model.name, "--step", str(step)]
        last[model.corpus] = index


def check(found: dict[str, Any], models: list[ModelManifest]) -> dict[str, Any]:
    """Return what differs from the published counts, and how much was compared."""
    published = {(one.name, step): n for one in models for step, n in one.memorized.items()}
    seen = {(run["model"], run["step"]): run["exposed_rows"] for run in found["runs"]}
    wrong = []
    for point in found["scale"]:
        key = point["model"], point["step"]
        share = float(Fraction(published[key], seen[key]))
        if (point["rows"], point["share"]) != (published[key], share):
            wrong.append({"model": key, "rows": point["rows"], "published": published[key]})
    wrong += [run for run in found["runs"] if run["memorized_exposed"] != run["published"]]
    shares = {f"{point['model']} {point['step']}": point["share"] for point in found["scale"]}
    return {"checkpoints": len(found["scale"]), "wrong": wrong, "shares": shares}


def report(folder: Path, names: list[str]) -> dict[str, Any]:
    """Write, import, compare, check."""
    (suite,) = (one for one in load_suites() if one.suite == "pythia")
    models = [one for one in suite.models if one.memorized and (not names or one.name in names)]
    runs = folder / "runs"
    for command in write_tables(folder, models, 1024):
        subprocess.run([*MEMTRACE, *command, "--runs", str(runs)], check=True, stdout=sys.stderr)
    compare = [*MEMTRACE, "compare", str(runs), "--step", "all", "--json"]
    found = subprocess.run(compare, check=True, stdout=subprocess.PIPE)
    return check(json.loads(found.stdout), models)


def main() -> None:
    """Check, and print what was checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="", help="Only these, separated by commas.")
    parser.add_argument("--folder", type=Path, help="Keep the runs here.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        found = report(folder, [name for name in options.models.split(",") if name])
    print(json.dumps(found, indent=2))
    sys.exit(bool(found["wrong"]))


if __name__ == "__main__":
    main()
