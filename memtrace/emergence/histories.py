"""When was each sequence memorized? The runs of one model at many checkpoints, read once in blocks.

A checkpoint at which a sequence was not looked at is missing: it counts neither for nor against.
It estimates nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from memtrace.emergence.tallies import Block, Tables
from memtrace.errors import FitError
from memtrace.point_process.strata import BOUNDS
from memtrace.runs.events import Events, read_events
from memtrace.runs.run import Run
from memtrace.types import FloatArray, Int64Array

BLOCK = 1 << 20
"""Sequences at a time: about 60 MB of working memory."""
BINS = 1024
"""Bins of the time of exposure, besides the cuts at checkpoints."""
SAME = ("prompt_tokens", "continuation_tokens", "eos_rule", "corpus_digest", "sequences_per_step")
NUMBERED = ("last_without", "first_with", "confirmed", "last_look")
"""Columns that a block gives as numbers of checkpoints, with `start` and `look`."""


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
    which it emerged, the first null where there was no look before; `before_exposure`: it was
    extractable before it was trained on, so it is no memory; `looked_before`: someone had looked;
    `confirmed`: the first of two looks in a row that found it; `spell_looks`, `spell_end` (0 held,
    1 lost, 2 lost and learned again) of the first spell; `held` at the `last_look`; `stratum` and
    `bin`."""
    never: pl.DataFrame
    """Exposed sequences that were never memorized: `stratum`, `bin`, `last_look`, `looked_before`,
    `count`."""
    risk: pl.DataFrame
    """Sequences not yet memorized at each look: `stratum`, `bin`, `start` (look before, null for
    exposure itself), `look`, `at_risk`, `events`, `confirmed` (events that the next look
    confirmed)."""
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
            "stratum", "bin", last_without="last_look", first_with=pl.lit(None, pl.Int64),
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
    per_step = _check(ordered)
    events = [_events(run) for run in ordered]
    checkpoints = np.array([run.step for run in ordered], np.int64)
    total = -(-ordered[-1].corpus_rows // per_step)
    every = np.linspace(0, total, min(BINS, total) + 1).astype(np.int64)
    edges = np.union1d(every, checkpoints[checkpoints < total])
    tables = Tables.empty(len(ordered))
    parts = []
    for start, stop in _blocks(ordered, events, block):
        index = np.arange(start, stop)
        since = np.searchsorted(checkpoints, index // per_step, side="right")
        bins = np.searchsorted(edges, index // per_step, side="right") - 1
        stratum = _strata(multiplicity, start, stop)
        one = Block(start, since, (bins - bins[0]) * len(BOUNDS) + stratum, len(ordered))
        for number, found in enumerate(events):
            rows, hit = found.between(start, stop)
            one.look(number, rows - start, hit, tables)
            on_progress(len(rows))
        parts.append([_unfold(t, int(bins[0])) for t in (one.memorized(), one.never(), one.risk())])
    return _gather(ordered, parts, checkpoints, total, edges, tables, multiplicity)


def emergence_interval(
    exposure: npt.ArrayLike, first: npt.ArrayLike, checkpoints: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return the half-open intervals (left, right] of emergence of sequences seen at every look.

    Args:
        exposure: Step that trains on each sequence, shape (n,).
        first: First checkpoint that has it memorized, NaN for never, shape (n,).
        checkpoints: All checkpoints, ascending.

    Returns:
        Left ends: the last checkpoint without, or the exposure if that is later; right ends,
        infinite for never.
    """
    e, right = np.asarray(exposure, float), np.asarray(first, float)
    steps = np.asarray(checkpoints, float)
    place = np.where(np.isnan(right), len(steps), np.searchsorted(steps, right))
    before = np.concatenate(([-np.inf], steps))[place]
    return np.maximum(before, e), np.where(np.isnan(right), np.inf, right)


def normalized(
    left: npt.ArrayLike, right: npt.ArrayLike, exposure: npt.ArrayLike, total: float
) -> tuple[FloatArray, FloatArray]:
    """Return (t - exposure) / (total - exposure) at both ends of intervals of emergence.

    With exposure 0 it is the share of all training. Do not average it over sequences: those seen
    late have few checkpoints left, and those that never emerge have no right end.
    """
    e = np.asarray(exposure, float)
    low, high = ((np.asarray(end, float) - e) / (total - e) for end in (left, right))
    return low, high


def _check(runs: list[Run]) -> int:
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
    if not first.sequences_per_step:
        raise FitError(
            f"no manifest tells which step of {first.label} trains on a row, so nothing is known "
            "of exposure; write one and scan with --manifest"
        )
    return first.sequences_per_step


def _events(run: Run) -> Events:
    """Return the events of a run, laid out for many searches and in half the memory."""
    found = read_events(run)
    small = found.sequence_index.astype(np.uint32) if run.corpus_rows < 1 << 32 else None
    return Events(
        found.sequence_index if small is None else small, np.asfortranarray(found.scanned)
    )


def _blocks(runs: list[Run], events: list[Events], block: int) -> Iterator[tuple[int, int]]:
    """Yield the blocks in which something is scanned."""
    spans = np.concatenate([found.scanned for found in events])
    if not len(spans):
        raise FitError(
            f"nothing of {runs[0].label} is scanned yet; finish it with: {runs[0].command}"
        )
    first, stop = int(spans.min()), int(spans.max())
    begun = np.zeros(stop // block + 2, np.int64)
    np.add.at(begun, spans[:, 0] // block, 1)
    np.add.at(begun, (spans[:, 1] - 1) // block + 1, -1)
    for number in np.flatnonzero(np.cumsum(begun)).tolist():
        yield max(number * block, first), min((number + 1) * block, stop)


def _strata(folder: Path | None, start: int, stop: int) -> Int64Array:
    if folder is None:
        return np.zeros(stop - start, np.int64)
    from memtrace.corpus.duplicates import scan_multiplicity

    index = pl.col("sequence_index")
    found = (
        scan_multiplicity(folder)
        .filter(index.is_between(start, stop, closed="left"))
        .select("multiplicity")
        .collect(engine="streaming")["multiplicity"]
        .to_numpy()
    )
    if len(found) != stop - start:
        raise FitError(
            f"{folder} has {len(found):,} of the {stop - start:,} sequences [{start}, {stop}); "
            "make the table of the whole corpus"
        )
    return np.searchsorted([low for _, low, _ in BOUNDS], found, side="right") - 1


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
    per_step = runs[0].sequences_per_step or 1
    exposure = (pl.col("sequence_index") // per_step).cast(pl.Int64)
    memorized = memorized.with_columns(exposure_step=exposure)
    named = multiplicity is not None
    return Histories(
        suite=runs[0].suite,
        model=runs[0].model,
        checkpoints=checkpoints,
        total_steps=total,
        edges=edges,
        strata=tuple(name for name, *_ in BOUNDS) if named else ("all",),
        multiplicities=_mean_multiplicities(multiplicity),
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
        for name in (*NUMBERED, "start", "look")
        if name in table.columns
    ]
    return table.with_columns(columns)


def _summed(table: pl.DataFrame, count: str) -> pl.DataFrame:
    key = [name for name in table.columns if name != count]
    return table.group_by(key).agg(pl.col(count).sum()).sort(key)


def _with_events(risk: pl.DataFrame, memorized: pl.DataFrame) -> pl.DataFrame:
    """Add to each group at risk how many of it were memorized at the look."""
    # The look before the first hit; one before exposure is as good as exposure itself.
    before = pl.col("last_without")
    start = pl.when(before > pl.col("exposure_step")).then(before)
    own = memorized.filter(~pl.col("before_exposure"))
    events = own.group_by("stratum", "bin", start=start, look="first_with").agg(
        events=pl.len().cast(pl.Int64),
        confirmed=(pl.col("confirmed") == pl.col("first_with")).fill_null(False).sum(),
    )
    key = ["stratum", "bin", "start", "look"]
    counts = [pl.col(name).fill_null(0).cast(pl.Int64) for name in ("events", "confirmed")]
    return risk.join(events, on=key, how="left", nulls_equal=True).with_columns(counts)


def _mean_multiplicities(folder: Path | None) -> tuple[float, ...]:
    if folder is None:
        return (float("nan"),)
    from memtrace.corpus.duplicates import scan_multiplicity

    times, means = pl.col("multiplicity"), []
    for _, least, below in BOUNDS:
        inside = times.filter((times >= least) & (times < (below or 1 << 32))).mean()
        found = scan_multiplicity(folder).select(inside).collect(engine="streaming").item()
        means.append(float("nan") if found is None else float(found))
    return tuple(means)
