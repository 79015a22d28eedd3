"""What each checkpoint returned of a text: when it had it first, and whether it lost it again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.runs.events import read_events
from memtrace.runs.memorized import Events
from memtrace.runs.run import Run
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

MEMORIZED, NOT_MEMORIZED, NOT_EVALUATED = "1", "0", "-"
"""What a history says of a text at a checkpoint."""


@dataclass(frozen=True, eq=False)
class Hits:
    """What one checkpoint returned, and what it was asked."""

    rows: Int64Array
    matched: npt.NDArray[np.integer] | None
    events: Events
    likelihoods: pl.DataFrame | None


def hits_of(run: Run, at_least: int) -> Hits:
    """Return the sequences of which a run matched so many tokens, and what it scanned."""
    events = read_events(run)
    if at_least == run.continuation_tokens and not run.configuration.likelihood:
        return Hits(events.sequence_index.astype(np.int64), None, events, None)
    columns = ["sequence_index", "matched_tokens"]
    columns += ["log_likelihood"] if run.configuration.likelihood else []
    scores = run.valid_scores().scan()
    found = scores.filter(pl.col("matched_tokens") >= at_least).select(columns)
    table = found.collect(engine="streaming")
    rows = table["sequence_index"].cast(pl.Int64).to_numpy()
    likelihoods = table.select("sequence_index", "log_likelihood") if columns[2:] else None
    return Hits(rows, table["matched_tokens"].to_numpy(), events, likelihoods)


def histories(
    names: Int64Array, texts: Texts, hits: Sequence[Hits], runs: Sequence[Run]
) -> pl.DataFrame:
    """Return what each checkpoint returned of each text, and when it had it first and lost it."""
    places, rows = copies_of(names, texts)
    states = np.full((len(names), len(runs)), NOT_EVALUATED)
    matched = np.full(len(names), -1, np.int64)
    likelihood = np.full(len(names), np.nan)
    for number, each in enumerate(hits):
        states[places[_inside(rows, each.events.scanned)], number] = NOT_MEMORIZED
        of = np.searchsorted(names, texts.names_of(each.rows))
        states[of, number] = MEMORIZED
        if each.matched is not None:
            np.maximum.at(matched, of, each.matched.astype(np.int64))
        if each.likelihoods is not None:
            likelihood[of] = each.likelihoods["log_likelihood"].fill_null(np.nan).to_numpy()
        elif each.matched is None:
            matched[of] = runs[number].continuation_tokens
    steps = np.array([run.step for run in runs])
    memorized = states == MEMORIZED
    first = memorized.argmax(axis=1)
    after = (states == NOT_MEMORIZED) & (np.arange(len(runs)) > first[:, None])
    lost = pl.Series(steps[after.argmax(axis=1)]).set(pl.Series(~after.any(axis=1)), None)
    return pl.DataFrame(
        {
            "matched_tokens": pl.Series(matched).set(pl.Series(matched < 0), None),
            "first_checkpoint": pl.Series(steps[first], dtype=pl.Int64),
            "lost_checkpoint": lost.cast(pl.Int64),
            "history": pl.Series(["".join(row) for row in states], dtype=pl.String),
            "log_likelihood": pl.Series(likelihood, dtype=pl.Float64).fill_nan(None),
        }
    )


def copies_of(names: Int64Array, texts: Texts) -> tuple[Int64Array, Int64Array]:
    """Return every row of these texts, and the place in `names` of its text, shape (r,) each."""
    inside = np.isin(texts.names, names)
    owner = np.repeat(inside, texts.duplicate_counts)
    repeated = texts.names[texts.numbers[owner]]
    once = np.setdiff1d(names, texts.names)
    rows = np.concatenate((texts.copies[owner], once))
    return np.searchsorted(names, np.concatenate((repeated, once))), rows


def _inside(rows: Int64Array, ranges: Int64Array) -> npt.NDArray[np.bool_]:
    """Return which rows lie in ascending half-open ranges."""
    if not len(ranges):
        return np.zeros(len(rows), bool)
    which = np.searchsorted(ranges[:, 0], rows, side="right") - 1
    return np.asarray((which >= 0) & (rows < ranges[which, 1]))
