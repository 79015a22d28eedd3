"""The log-likelihoods of a run, read in blocks: memory holds some of them and never the table."""

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.errors import FitError
from memtrace.runs.memorized import Events, ranges_of
from memtrace.runs.run import Run
from memtrace.storage.prefetch import prefetch
from memtrace.types import Int64Array

BLOCK = 1 << 20
"""Rows of a table that are read at once."""
FOLDER = "runs-likelihood"
"""Folder that a message proposes for runs with likelihoods."""
WITH_VALUE = ("--runs", "--min-probability", "--temperature", "--top-k")


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """The log-likelihoods of some rows."""

    sequence_index: Int64Array
    """Ascending, shape (n,)."""
    log_likelihood: npt.NDArray[np.float32]
    """Nats; NaN where the scan stopped below its least probability, shape (n,)."""
    matched_tokens: npt.NDArray[np.uint8] | None = None
    """Leading tokens that greedy decoding returns; None where they were not asked for."""

    def part(self, rows: slice) -> "Likelihoods":
        """Return some of the rows."""
        matched = None if self.matched_tokens is None else self.matched_tokens[rows]
        return Likelihoods(self.sequence_index[rows], self.log_likelihood[rows], matched)


def likelihood_command(run: Run) -> str:
    """Return the command that scans a run with all likelihoods, into a folder of its own."""
    words = shlex.split(run.command)
    for option in WITH_VALUE:
        if option in words:
            at = words.index(option)
            words[at : at + 2] = []
    kept = [word for word in words if word != "--likelihood"]
    return shlex.join([*kept, "--likelihood", "--runs", FOLDER])


def require_likelihoods(run: Run) -> None:
    """Refuse a run without likelihoods.

    Raises:
        FitError: It has none; the message has the command that computes them.
    """
    if not run.configuration.likelihood:
        raise FitError(
            f"{run.label} has no log-likelihoods; scan it with them: `{likelihood_command(run)}`"
        )


def read_likelihoods(run: Run, *, start: int = 0, matched: bool = False) -> Iterator[Likelihoods]:
    """Yield the log-likelihoods of what is done of a run, in order of the rows.

    Args:
        run: A run with likelihoods.
        start: First row that is wanted.
        matched: Also read the matched tokens.

    Raises:
        FitError: The run has no likelihoods.
        RunError: The folder cannot be read.
    """
    require_likelihoods(run)
    names = ["sequence_index", "log_likelihood", *(["matched_tokens"] if matched else [])]

    def read(job: tuple[Any, int, int]) -> Likelihoods:
        content, offset, rows = job
        table = pl.scan_parquet(content).select(names).slice(offset, rows).collect()
        return _block(table)

    jobs = []
    for file in run.valid_scores().files:
        if int(file.metadata["sequences"].split(":")[1]) > start:
            rows = int(file.metadata["rows"])
            jobs += [(file.content, at, min(BLOCK, rows - at)) for at in range(0, rows, BLOCK)]
    for block in prefetch(read, jobs, 2):
        first = int(np.searchsorted(block.sequence_index, start))
        if first < len(block.sequence_index):
            yield block.part(slice(first, None)) if first else block


def find_probable(run: Run, min_probability: float) -> Events:
    """Find the sequences whose continuation has at least so large a probability, as events.

    They stand where memorized sequences do: a softer definition than a greedy match.

    Args:
        run: A run with likelihoods.
        min_probability: Probability of the whole continuation, given the prompt.

    Raises:
        FitError: The run has no likelihoods, or stopped at a larger probability.
    """
    require_likelihoods(run)
    if not 0 < min_probability <= 1:
        raise FitError(f"probability {min_probability:g} must be above 0 and at most 1")
    known = run.configuration.min_probability or 0.0
    if min_probability < known:
        raise FitError(
            f"{run.label} was scanned down to a probability of {known:g}: what lies between "
            f"{min_probability:g} and that is not known; ask for {known:g} or more, or scan it "
            f"with all likelihoods: {likelihood_command(run)}"
        )
    least = np.float64(math.log(min_probability))  # compared in float64
    hits, ranges = [np.empty(0, np.int64)], [np.empty((0, 2), np.int64)]
    for block in read_likelihoods(run):
        hits.append(block.sequence_index[block.log_likelihood >= least])
        ranges.append(ranges_of(block.sequence_index))
    return Events(np.concatenate(hits), _touching(np.concatenate(ranges)))


def _touching(ranges: Int64Array) -> Int64Array:
    """Return ascending ranges, those that touch as one."""
    if not len(ranges):
        return ranges
    apart = ranges[1:, 0] != ranges[:-1, 1]
    return np.column_stack((ranges[np.append(True, apart), 0], ranges[np.append(apart, True), 1]))


def _block(table: pl.DataFrame) -> Likelihoods:
    matched = table["matched_tokens"].to_numpy() if "matched_tokens" in table.columns else None
    return Likelihoods(
        table["sequence_index"].to_numpy().view(np.int64),  # no copy: none reaches 2^63
        table["log_likelihood"].to_numpy(),
        matched,
    )
