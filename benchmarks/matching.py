"""How long does it take to match the texts of two corpora, and in how much memory?

    python benchmarks/matching.py [--rows 146432000] [--shared 0.5] [--events 2000000]

The hashes of two corpora are simulated: of the second one, `shared` of the rows have a text of the
first. Then a model and its deduplicated twin are compared on the texts of both, and what the twin
memorized is asked of the rows of the model. Reading corpora is not in it: `hash_rows_per_second` is
how fast rows that are in memory are hashed on one core.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from memtrace.comparison.deduplication.matched import matched_shares
from memtrace.comparison.facts import ModelFacts, seed_of
from memtrace.comparison.matching import MatchedCorpora
from memtrace.comparison.projection import projected
from memtrace.comparison.runs import ComparedRun
from memtrace.runs.configuration import Configuration
from memtrace.runs.events import hash_texts
from memtrace.runs.memorized import Events, Hashes
from memtrace.runs.run import Run

STEP_ROWS = 1024
HASHED = 1 << 19


def make_hashes(rows: int, shared: float) -> dict[str, Hashes]:
    """Return the hashes of two corpora, some texts of which are in both."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2**64 - 1, rows, dtype=np.uint64)
    second = rng.integers(0, 2**64 - 1, rows, dtype=np.uint64)
    for start in range(0, rows, HASHED):  # block by block: no more memory than the two
        part = slice(start, min(start + HASHED, rows))
        chosen = np.flatnonzero(rng.random(part.stop - start) < shared)
        second[chosen + start] = first[rng.integers(0, rows, len(chosen))]
    return {"standard": first, "deduplicated": second}


def make_run(corpus: str, rows: int, events: int) -> ComparedRun:
    """Return a run that scanned a corpus."""
    rng = np.random.default_rng(len(corpus))
    index = np.unique(rng.integers(0, rows, events))
    made = Configuration(
        suite="pythia", model=f"12b-{corpus}", step=rows // STEP_ROWS, start=0, stop=rows,
        exposed_rows=rows, corpus_rows=rows, sequences_per_step=STEP_ROWS, shard_size=131_072,
        prompt_tokens=32, continuation_tokens=32, eos_rule="none", dtype="float16",
        weight_digest="w", corpus_digest=corpus,
    )  # fmt: skip
    found = Events(index, np.array([[0, rows]]))
    run = Run(Path("nowhere"), {"configuration": asdict(made)})
    facts = ModelFacts(None, None, seed_of(corpus))
    return ComparedRun.of(run, facts, corpus, lambda: found, (None, "no table"))


def report(rows: int, shared: float, events: int) -> Iterator[tuple[str, Any]]:
    """Yield what is measured."""
    hashes = make_hashes(rows, shared)
    start = time.perf_counter()
    matched = MatchedCorpora.of(hashes)
    yield "match_seconds", time.perf_counter() - start
    both = sum(int((part != matched.alone).sum()) for _, part in matched.blocks("deduplicated"))
    yield "rows_of_both", both
    one, twin = (make_run(corpus, rows, events) for corpus in ("standard", "deduplicated"))
    start = time.perf_counter()
    tables = matched_shares(one, twin, matched)
    yield "twins_seconds", time.perf_counter() - start
    yield "texts_of_both", sum(table.texts for table in tables.values())
    start = time.perf_counter()
    yield "asked_rows", len(projected(twin, "standard", matched).sequence_index)
    yield "asked_seconds", time.perf_counter() - start
    yield "peak_gib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    tokens = np.random.default_rng(0).integers(0, 50_000, (HASHED, 64)).astype(np.uint16)
    start = time.perf_counter()
    hash_texts(tokens)
    yield "hash_rows_per_second", HASHED / (time.perf_counter() - start)


def main() -> None:
    """Match, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=146_432_000)
    parser.add_argument("--shared", type=float, default=0.5)
    parser.add_argument("--events", type=int, default=2_000_000)
    options = parser.parse_args()
    found = dict(report(options.rows, options.shared, options.events))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
