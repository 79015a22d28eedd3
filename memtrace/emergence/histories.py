"""When was each text memorized? The runs of one model at many checkpoints, read once in blocks.

A checkpoint at which no copy of a text was evaluated is missing: it counts neither for nor against.
Near-copies, texts that share a continuation, count as one text: they are not independent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from memtrace.emergence.block import Block, Tables
from memtrace.emergence.text_events import TextEvents, blocks, copy_steps, read_text_events
from memtrace.errors import FitError
from memtrace.manifests.schedule import SequencesPerStep, steps_of
from memtrace.runs.run import Run
from memtrace.texts.find import known_texts
from memtrace.texts.groups import Texts
from memtrace.types import Int64Array

BLOCK = 1 << 20
"""Texts at a time: about 70 MB of working memory."""
BINS = 1024
"""Bins of the time of exposure, besides the cuts at checkpoints."""
SEQUENCES_AS_TEXTS = "sequences are taken as different texts"
SAME = (
    "prompt_tokens",
    "continuation_tokens",
    "offset",
    "eos_rule",
    "corpus_digest",
    "sequences_per_step",
)
NUMBERED = ("last_without", "first_with", "confirmed", "last_checkpoint")
"""Columns that a block gives as numbers of checkpoints, with `start` and `checkpoint`."""


@dataclass(frozen=True, eq=False)
class Histories:
    """What the runs of one model say of every text, grouped where there are too many.

    A step of training is the unit of time. A row is trained on by one step, and a text is
    exposed from the step of its first copy on: checkpoints up to that step had not seen it.
    """

    suite: str
    model: str
    checkpoints: Int64Array
    """Steps of the checkpoints, ascending, shape (K,)."""
    total_steps: int
    """Steps of the whole training: until the last row, or the last checkpoint where it is later."""
    edges: Int64Array
    """Ends of the bins of exposure in steps, shape (bins + 1,); each checkpoint is one."""
    copies_reason: str
    """Why copies are not known, so that every sequence is taken as a text; else empty."""
    rows: Int64Array
    """Of each checkpoint, exposed sequences evaluated and those memorized, shape (K, 2)."""
    memorized: pl.DataFrame
    """A row for each text that was memorized at some checkpoint:

    `first_index`, its name; `duplicate_count`, null where copies are not known; `exposure_step`;
    `last_without` and `first_with`, the checkpoints between which it emerged, the first null where
    there was no evaluation before; `before_exposure`: it was memorized at a checkpoint that had
    seen no copy, so it is generic; `evaluated_before`: it was evaluated at such a checkpoint;
    `confirmed`: the first of two evaluations in a row that found it; `retention_checkpoints`: how
    many found it before the first that did not; `retention_end` (0 retained, 1 lost, 2 lost and
    learned again); `memorized_at_last`, the `last_checkpoint`; `evaluations` after exposure, those
    it was `memorized_before`, and how often it was lost then, and gained; `repeated`, `bin`."""
    never: pl.DataFrame
    """Exposed texts that were never memorized: `repeated`, `bin`, `last_checkpoint`,
    `evaluated_before`, `count`."""
    risk: pl.DataFrame
    """Texts not yet memorized: `repeated`, `bin`, `start` (checkpoint before, null for exposure
    itself), `checkpoint`, `at_risk`, `events`, `confirmed` (events that the next one confirmed)."""
    waiting: pl.DataFrame
    """Steps at risk of texts with copies that did not emerge: `checkpoint`, `copies`, `steps`."""
    emerged: pl.DataFrame
    """Those of the ones that did: `text`, `checkpoint`, `copies`, `steps`."""
    tables: Tables
    sources: tuple[str, ...]
    """What each run says of its checkpoint, its weights and its corpus."""
    near_copies: tuple[int, int] = (0, 0)
    """Texts of the corpus that share a continuation with another, and passages that they are: each
    passage counts as one text, and its sequences as copies."""
    scanned: tuple[int, int] | None = None
    """Fewest rows that a checkpoint scanned, and those that they were drawn from at random; None
    where no checkpoint is a sample."""
    min_probability: float | None = None
    """Probability of the continuation from which on a sequence counts as memorized; None: greedy
    decoding has to return it."""

    @property
    def source(self) -> str:
        """Return what a figure or a table says of the runs that it came from."""
        first, last = (source.split(", ") for source in (self.sources[0], self.sources[-1]))
        own = [part for part in first if part not in last]  # the corpus, for one, is the same
        return f"{len(self.sources)} runs, {', '.join(own)} to {', '.join(last)}"

    @property
    def label(self) -> str:
        """Return a short name for titles; it says where memorized is not what greedy returns."""
        from_p = "" if self.min_probability is None else f", p >= {self.min_probability:g}"
        return f"{self.suite}/{self.model}{from_p}"

    @property
    def copies_known(self) -> bool:
        """Return whether copies of a text are told from other sequences."""
        return not self.copies_reason

    @property
    def unit(self) -> str:
        """Return what is counted: a text, or a sequence where copies are not known."""
        return "text" if self.copies_known else "sequence"

    @property
    def caveat(self) -> str:
        """Return what stands beside every interval: empty where copies are known."""
        return "" if self.copies_known else SEQUENCES_AS_TEXTS

    @property
    def of_sample(self) -> str:
        """Return what is said of a sample: empty where all rows were scanned."""
        if self.scanned is None:
            return ""
        drawn, every = self.scanned
        return (
            f"counts are of a random sample, {drawn:,} of {every:,} rows, and a text is seen where "
            "one of its rows was drawn"
        )

    @property
    def own(self) -> pl.DataFrame:
        """Return the memorized texts without generic ones."""
        return self.memorized.filter(~pl.col("before_exposure"))

    @property
    def first_look(self) -> int:
        """Return how many of these the first checkpoint that evaluated them had memorized."""
        return self.own["last_without"].null_count()

    @cached_property
    def classes(self) -> pl.DataFrame:
        """Return the grouped intervals of exposed texts not known to be generic.

        Columns `exposed_low` and `exposed_high` (first and last step of the bin of exposure),
        `last_without` (null: none), `first_with` (null: never), `count`.
        """
        key = ["bin", "last_without", "first_with"]
        born = self.own.group_by(key).agg(count=pl.len().cast(pl.Int64))
        rest = self.never.select(
            "bin", last_without="last_checkpoint", first_with=pl.lit(None, pl.Int64),
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
    duplicates: str | Path | None = None,
    texts: Texts | None = None,
    min_probability: float | None = None,
    block: int = BLOCK,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Histories:
    """Read the events of the runs of one model, and fold them a block of texts at a time.

    Memory holds 4 bytes for each event of each run, a block, the grouped counts and a row for each
    text that was ever memorized; of texts with copies 40 bytes for each copy.

    Args:
        runs: At least two checkpoints of one model.
        duplicates: Folder that `corpus duplicates` wrote; small corpora need none. Where copies
            are not known every sequence counts as a text of its own.
        texts: Which sequences are copies, where this is at hand.
        min_probability: Take a sequence as memorized if its continuation has at least this
            probability, in place of if greedy decoding returns it; the runs need likelihoods.
        block: Texts at a time.
        on_progress: Called with the number of sequences folded in since the last call.

    Raises:
        FitError: The runs are not of one model and corpus, fewer than two checkpoints are there,
            nothing of them is scanned, or no manifest tells which step trains on a row.
        CorpusError: The table of duplicates cannot be read, or is that of another corpus.
    """
    ordered = sorted(runs, key=lambda run: run.step)
    schedule = _check(ordered)
    texts, unknown = known_texts(ordered[-1], duplicates, texts)
    near, texts = _near_texts(texts), texts and texts.merged
    events = read_text_events(ordered, texts, min_probability)
    checkpoints = np.array([run.step for run in ordered], np.int64)
    rows_last = int(steps_of(schedule, np.array([ordered[-1].corpus_rows - 1]))[0]) + 1
    total = max(rows_last, int(checkpoints[-1]))
    every = np.linspace(0, total, min(BINS, total) + 1).astype(np.int64)
    edges = np.union1d(every, checkpoints[checkpoints < total])
    tables = Tables.empty(len(ordered))
    parts = []
    for start, stop in blocks(ordered, events, block):
        step = steps_of(schedule, np.arange(start, stop))
        since = np.searchsorted(checkpoints, step, side="right")
        bins = np.searchsorted(edges, step, side="right") - 1
        seen = copy_steps(texts, start, stop, schedule)
        one = Block(start, since, bins - bins[0], seen, checkpoints)
        for number, found in enumerate(events):
            names, hit = found.between(start, stop)
            one.add(number, names, hit, tables)
            on_progress(len(names))
        tables.idle[:] += one.idle()
        cells = [_unfold(t, int(bins[0])) for t in (one.memorized(), one.never(), one.risk())]
        parts.append([*cells, *one.copy_times()])
    gathered = _gather(ordered, parts, total, edges, tables, events, texts, unknown or "")
    return replace(gathered, near_copies=near, min_probability=min_probability)


def _near_texts(texts: Texts | None) -> tuple[int, int]:
    """Return how many texts share a continuation with another, and how many passages they are."""
    if texts is None:
        return 0, 0
    return len(texts.near.texts), len(np.unique(texts.near.passages))


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
    return table.with_columns(repeated=cell % 2 == 1, bin=cell // 2 + first_bin).drop("cell")


def _gather(
    runs: list[Run],
    parts: list[list[pl.DataFrame]],
    total: int,
    edges: Int64Array,
    tables: Tables,
    events: list[TextEvents],
    texts: Texts | None,
    unknown: str,
) -> Histories:
    joined = [pl.concat(tables) for tables in zip(*parts, strict=True)]
    checkpoints = np.array([run.step for run in runs], np.int64)
    memorized, never, risk = (_in_steps(table, checkpoints) for table in joined[:3])
    names = memorized["first_index"].cast(pl.Int64).to_numpy()
    memorized = memorized.with_columns(
        exposure_step=pl.Series(steps_of(_check(runs), names), dtype=pl.Int64),
        duplicate_count=_copies_of(names, texts),
    )
    counts = [one.events.count(run.exposed_rows) for one, run in zip(events, runs, strict=True)]
    return Histories(
        suite=runs[0].suite,
        model=runs[0].model,
        checkpoints=checkpoints,
        total_steps=total,
        edges=edges,
        copies_reason=unknown,
        rows=np.array([(one["sequences"], one["memorized"]) for one in counts], np.int64),
        memorized=memorized,
        never=_summed(never, "count"),
        risk=_with_events(_summed(risk, "at_risk"), memorized),
        waiting=_summed(joined[3].drop("text"), "steps"),
        emerged=joined[4],
        tables=tables,
        sources=tuple(run.provenance for run in runs),
        scanned=_sampled(runs),
    )


def _sampled(runs: list[Run]) -> tuple[int, int] | None:
    """Return the rows of the smallest sample, and of its range; None without any."""
    samples = [run.configuration for run in runs if run.configuration.sample is not None]
    return min(((one.sequences, one.stop - one.start) for one in samples), default=None)


def _copies_of(names: Int64Array, texts: Texts | None) -> pl.Series:
    if texts is None:
        return pl.Series([None] * len(names), dtype=pl.Int64)
    return pl.Series(texts.counts_of(names), dtype=pl.Int64)


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
    events = own.group_by("repeated", "bin", start=start, checkpoint="first_with").agg(
        events=pl.len().cast(pl.Int64),
        confirmed=(pl.col("confirmed") == pl.col("first_with")).fill_null(False).sum(),
    )
    key = ["repeated", "bin", "start", "checkpoint"]
    counts = [pl.col(name).fill_null(0).cast(pl.Int64) for name in ("events", "confirmed")]
    return risk.join(events, on=key, how="left", nulls_equal=True).with_columns(counts)
