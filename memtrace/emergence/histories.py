"""When was each sequence memorized? The runs of one model at many checkpoints, read once in blocks.

A checkpoint at which a sequence was not evaluated is missing: it counts neither for nor against.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from memtrace.emergence.block import Block, Tables
from memtrace.emergence.multiplicity import group_names, groups_of, mean_multiplicities
from memtrace.emergence.reading import blocks, events_of
from memtrace.errors import FitError
from memtrace.manifests.schedule import SequencesPerStep, steps_of
from memtrace.point_process.strata import BOUNDS
from memtrace.runs.run import Run
from memtrace.types import Int64Array

BLOCK = 1 << 20
"""Sequences at a time: about 60 MB of working memory."""
BINS = 1024
"""Bins of the time of exposure, besides the cuts at checkpoints."""
SAME = ("prompt_tokens", "continuation_tokens", "eos_rule", "corpus_digest", "sequences_per_step")
NUMBERED = ("last_without", "first_with", "confirmed", "last_checkpoint")
"""Columns that a block gives as numbers of checkpoints, with `start` and `checkpoint`."""


@dataclass(frozen=True, eq=False)
class Histories:
    """What the runs of one model say of every sequence, grouped where there are too many.

    A step of training is the unit of time. Row r is trained on by step e = r // B, its exposure:
    checkpoints up to e had not seen it, checkpoints from e + 1 on had.
    """

    suite: str
    model: str
    checkpoints: Int64Array
    """Steps of the checkpoints, ascending, shape (K,)."""
    total_steps: int
    """Steps of the whole training, which the last checkpoint need not reach."""
    edges: Int64Array
    """Ends of the bins of exposure in steps, shape (bins + 1,); each checkpoint is one."""
    strata: tuple[str, ...]
    """Names of the groups by multiplicity of the prefix; one of all sequences without a table."""
    multiplicities: tuple[float, ...]
    """Mean multiplicity in each of them; NaN without a table."""
    memorized: pl.DataFrame
    """A row for each sequence that was memorized at some checkpoint:

    `sequence_index`; `exposure_step`; `last_without` and `first_with`, the checkpoints between
    which it emerged, the first null where there was no evaluation before; `before_exposure`: it was
    extractable before it was trained on, so it is no memory; `evaluated_before`: it was evaluated
    before exposure; `confirmed`: the first of two evaluations in a row that found it;
    `retention_checkpoints`: how many found it before the first that did not; `retention_end` (0
    retained, 1 lost, 2 lost and learned again); `memorized_at_last`, the `last_checkpoint`;
    `stratum` and `bin`."""
    never: pl.DataFrame
    """Exposed sequences that were never memorized: `stratum`, `bin`, `last_checkpoint`,
    `evaluated_before`, `count`."""
    risk: pl.DataFrame
    """Sequences not yet memorized: `stratum`, `bin`, `start` (checkpoint before, null for exposure
    itself), `checkpoint`, `at_risk`, `events`, `confirmed` (events that the next one confirmed)."""
    tables: Tables
    sources: tuple[str, ...]
    """What each run says of its checkpoint, its weights and its corpus."""

    @property
    def source(self) -> str:
        """Return what a figure or a table says of the runs that it came from."""
        return f"{len(self.sources)} runs, {self.sources[0]} to {self.sources[-1]}"

    @property
    def label(self) -> str:
        """Return a short name for titles."""
        return f"{self.suite}/{self.model}"

    @property
    def own(self) -> pl.DataFrame:
        """Return the memorized sequences without those extractable before exposure."""
        return self.memorized.filter(~pl.col("before_exposure"))

    @cached_property
    def classes(self) -> pl.DataFrame:
        """Return the grouped intervals of exposed sequences not known to be extractable before.

        Columns `stratum`, `exposed_low` and `exposed_high` (first and last step of the bin of
        exposure), `last_without` (null: none), `first_with` (null: never), `count`.
        """
        key = ["stratum", "bin", "last_without", "first_with"]
        born = self.own.group_by(key).agg(count=pl.len().cast(pl.Int64))
        rest = self.never.select(
            "stratum", "bin", last_without="last_checkpoint", first_with=pl.lit(None, pl.Int64),
            count="count",
        )  # fmt: skip
        every = pl.concat([born, rest]).group_by(key).agg(pl.col("count").sum()).sort(key)
        bins = every["bin"].to_numpy()
        return every.with_columns(
            exposed_low=pl.Series(self.edges[bins]),
            exposed_high=pl.Series(self.edges[bins + 1] - 1),
        )


def read_histories(
    runs: Sequence[Run],
    *,
    multiplicity: Path | None = None,
    block: int = BLOCK,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Histories:
    """Read the events of the runs of one model, and fold them a block of sequences at a time.

    Memory holds 4 bytes for each event of each run, a block, the grouped counts and a row for each
    sequence that was ever memorized.

    Args:
        runs: At least two checkpoints of one model.
        multiplicity: Folder of the table of multiplicities, for groups by it.
        block: Sequences at a time.
        on_progress: Called with the number of sequences folded in since the last call.

    Raises:
        FitError: The runs are not of one model and corpus, fewer than two checkpoints are there,
            nothing of them is scanned, or no manifest tells which step trains on a row.
    """
    ordered = sorted(runs, key=lambda run: run.step)
    schedule = _check(ordered)
    events = [events_of(run) for run in ordered]
    checkpoints = np.array([run.step for run in ordered], np.int64)
    total = int(steps_of(schedule, np.array([ordered[-1].corpus_rows - 1]))[0]) + 1
    every = np.linspace(0, total, min(BINS, total) + 1).astype(np.int64)
    edges = np.union1d(every, checkpoints[checkpoints < total])
    tables = Tables.empty(len(ordered))
    parts = []
    for start, stop in blocks(ordered, events, block):
        index = np.arange(start, stop)
        trained = steps_of(schedule, index)
        since = np.searchsorted(checkpoints, trained, side="right")
        bins = np.searchsorted(edges, trained, side="right") - 1
        stratum = groups_of(multiplicity, start, stop)
        one = Block(start, since, (bins - bins[0]) * len(BOUNDS) + stratum, len(ordered))
        for number, found in enumerate(events):
            rows, hit = found.between(start, stop)
            one.add(number, rows, hit, tables)
            on_progress(len(rows))
        parts.append([_unfold(t, int(bins[0])) for t in (one.memorized(), one.never(), one.risk())])
    return _gather(ordered, parts, checkpoints, total, edges, tables, multiplicity)


def _check(runs: list[Run]) -> SequencesPerStep:
    if len(runs) < 2:
        raise FitError(
            f"emergence needs at least 2 checkpoints of a model and found {len(runs)}; scan more, "
            "for example with `memtrace scan --step all`"
        )
    first = runs[0]
    for run in runs[1:]:
        if (run.suite, run.model) != (first.suite, first.model):
            raise FitError(f"{first.label} and {run.label} are two models; choose one with --model")
        for name in SAME:
            ours, theirs = (getattr(one.configuration, name) for one in (first, run))
            if ours != theirs:
                raise FitError(
                    f"{first.label} and {run.label} differ in {name} ({ours}, {theirs}), so their "
                    "scores do not compare; scan one of them again"
                )
    if first.configuration.sequences_per_step is None:
        raise FitError(
            f"no manifest tells which step of {first.label} trains on a row, so nothing is known "
            "of exposure; write one and scan with --manifest"
        )
    return first.configuration.sequences_per_step


def _unfold(table: pl.DataFrame, first_bin: int) -> pl.DataFrame:
    cell = pl.col("cell")
    return table.with_columns(stratum=cell % len(BOUNDS), bin=cell // len(BOUNDS) + first_bin).drop(
        "cell"
    )


def _gather(
    runs: list[Run],
    parts: list[list[pl.DataFrame]],
    checkpoints: Int64Array,
    total: int,
    edges: Int64Array,
    tables: Tables,
    multiplicity: Path | None,
) -> Histories:
    memorized, never, risk = (
        _in_steps(pl.concat(tables), checkpoints) for tables in zip(*parts, strict=True)
    )
    index = memorized["sequence_index"].cast(pl.Int64).to_numpy()
    exposure = pl.Series(steps_of(_check(runs), index), dtype=pl.Int64)
    memorized = memorized.with_columns(exposure_step=exposure)
    return Histories(
        suite=runs[0].suite,
        model=runs[0].model,
        checkpoints=checkpoints,
        total_steps=total,
        edges=edges,
        strata=group_names(multiplicity),
        multiplicities=mean_multiplicities(multiplicity),
        memorized=memorized,
        never=_summed(never, "count"),
        risk=_with_events(_summed(risk, "at_risk"), memorized),
        tables=tables,
        sources=tuple(run.provenance for run in runs),
    )


def _in_steps(table: pl.DataFrame, checkpoints: Int64Array) -> pl.DataFrame:
    """Replace numbers of checkpoints by their steps, those of none by null."""
    steps = pl.Series(checkpoints)
    columns = [
        steps.gather(
            table[name].cast(pl.Int64).set(~table[name].is_between(0, len(steps) - 1), None)
        ).alias(name)
        for name in (*NUMBERED, "start", "checkpoint")
        if name in table.columns
    ]
    return table.with_columns(columns)


def _summed(table: pl.DataFrame, count: str) -> pl.DataFrame:
    key = [name for name in table.columns if name != count]
    return table.group_by(key).agg(pl.col(count).sum()).sort(key)


def _with_events(risk: pl.DataFrame, memorized: pl.DataFrame) -> pl.DataFrame:
    """Add to each group at risk how many of it were memorized at the checkpoint."""
    # The checkpoint before the first hit; one before exposure is as good as exposure itself.
    before = pl.col("last_without")
    start = pl.when(before > pl.col("exposure_step")).then(before)
    own = memorized.filter(~pl.col("before_exposure"))
    events = own.group_by("stratum", "bin", start=start, checkpoint="first_with").agg(
        events=pl.len().cast(pl.Int64),
        confirmed=(pl.col("confirmed") == pl.col("first_with")).fill_null(False).sum(),
    )
    key = ["stratum", "bin", "start", "checkpoint"]
    counts = [pl.col(name).fill_null(0).cast(pl.Int64) for name in ("events", "confirmed")]
    return risk.join(events, on=key, how="left", nulls_equal=True).with_columns(counts)
