"""Runs written by hand: what a scan leaves on disk, without a model."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.runs.configuration import Configuration
from memtrace.runs.run import Run, begin_run
from memtrace.runs.scores import write_scores
from memtrace.runs.shards import Shard

CONFIGURATION = Configuration(
    suite="demo",
    model="demo",
    step=512,
    start=0,
    stop=100,
    exposed_rows=100,
    corpus_rows=120,
    sequences_per_step=64,
    shard_size=40,
    prompt_tokens=32,
    continuation_tokens=32,
    eos_rule="none",
    dtype="float32",
    weight_digest="w",
    corpus_digest="c",
)
Matched = Callable[[npt.NDArray[np.int64]], npt.ArrayLike]


def configuration(**changes: Any) -> Configuration:
    """Return a configuration; every value that is not given is the usual one."""
    return replace(CONFIGURATION, **changes)


def write_shard(
    run: Run,
    shard: Shard,
    matched: Matched = lambda rows: rows % 33,
    likelihood: Matched | None = None,
) -> None:
    """Write the scores of a shard; functions give the matched tokens, and likelihoods, of rows."""
    rows = run.rows(shard)
    values = None
    if likelihood is not None:
        values = pl.Series(np.asarray(likelihood(rows), np.float32), nan_to_null=True)
    metadata = run.configuration.metadata()
    write_scores(run.path(shard), rows, np.asarray(matched(rows)), metadata, log_likelihood=values)


def write_run(
    runs: Path,
    matched: Matched = lambda rows: rows % 33,
    *,
    shards: Iterable[int] | None = None,
    record: Mapping[str, Any] | None = None,
    likelihood: Matched | None = None,
    **changes: Any,
) -> Run:
    """Write a run with the scores of all shards, or of those with these places in the plan."""
    entries = {"command": ["memtrace", "scan"]} if record is None else record
    if likelihood is not None:
        changes["likelihood"] = True
    run = begin_run(runs, configuration(**changes), entries)
    planned = run.shards()
    for place in range(len(planned)) if shards is None else shards:
        write_shard(run, planned[place], matched, likelihood)
    return run
