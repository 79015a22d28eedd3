"""Scores for the user, as a lazy frame that outlives `runs compact`."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from memtrace.errors import RunError
from memtrace.runs.integrity import ValidScores
from memtrace.runs.run import Run, find_run
from memtrace.runs.scores import scan_scores


def load_scores(
    runs: str | Path, *, model: str, step: int, suite: str | None = None
) -> pl.LazyFrame:
    """Return the scores of one model at one checkpoint, as far as they are done.

    Columns: `sequence_index` UInt64 (row number in training order), `matched_tokens` UInt8
    (0..continuation tokens; equal to it means memorized). In a run with likelihoods also
    `log_likelihood` Float32 (nats; null where it is below the run's --min-probability).
    The frame has the rows that are done now, also after `runs compact`. It raises RunError when it
    is collected and scores are gone that were there.

    Raises:
        RunError: `runs` holds no such run, or runs of that name in several suites.
    """
    run = find_run(runs, suite=suite, model=model, step=step)
    return _lazy(run, run.valid_scores())


def _lazy(run: Run, opened: ValidScores) -> pl.LazyFrame:
    schema = opened.scan().collect_schema()

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        """Read file by file, so that a large run is never whole in memory."""
        for content in _now(run, opened).contents:
            table = scan_scores([content], schema)
            if predicate is not None:
                table = table.filter(predicate)
            table = table.select(columns or schema.names())
            part = (table if rows is None else table.head(rows)).collect()
            yield part
            rows = None if rows is None else rows - len(part)
            if rows == 0:
                return

    return register_io_source(read, schema=schema)


def _now(run: Run, opened: ValidScores) -> ValidScores:
    """Return the files that were opened, or what they were merged into meanwhile.

    Raises:
        RunError: They are gone.
    """
    if all(not isinstance(each, Path) or each.exists() for each in opened.contents):
        return opened
    found = run.valid_scores()
    if opened.merged or found.merged is False:
        raise RunError(
            f"scores of {run.label} in {run.folder} are gone since they were loaded: load them "
            "again, or scan what is missing"
        )
    return found
