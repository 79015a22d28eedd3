"""Histories of texts over checkpoints, against a plain loop over every text."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import builders
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.emergence.block import Block, Tables
from memtrace.emergence.histories import Histories, read_histories
from memtrace.emergence.intervals import emergence_interval, normalized
from memtrace.emergence.text_events import copy_steps
from memtrace.emergence.timescales import TIME_SCALES, observations
from memtrace.errors import FitError
from memtrace.runs.run import Configuration, Run, begin_run, find_runs
from memtrace.runs.scores import write_scores
from memtrace.texts.groups import Texts

PER_STEP = 4
STEPS = (0, 2, 5, 8, 16, 25)
ROWS = 100
MISSING = -1


def configuration(step: int, **changes: object) -> Configuration:
    made = {
        "model": "small",
        "step": step,
        "stop": ROWS,
        "exposed_rows": min(PER_STEP * step, ROWS),
        "corpus_rows": ROWS,
        "sequences_per_step": PER_STEP,
        "shard_size": 16,
        "weight_digest": str(step),
    }
    return builders.configuration(**{**made, **changes})


def write_runs(folder: Path, seen: np.ndarray, steps: tuple[int, ...] = STEPS) -> list[Run]:
    """Write the evaluations of a matrix (sequences, checkpoints) of 1, 0 and MISSING as runs."""
    runs = []
    for k, step in enumerate(steps):
        c = configuration(step)
        # As an imported evaluation, which need not have all sequences of a shard.
        run = begin_run(folder, c, {"command": ["memtrace", "scan"], "import": {}})
        for shard in run.shards():
            evaluated = seen[shard.start : shard.stop, k]
            if (evaluated == MISSING).all():
                continue  # a shard that is not done
            there = np.flatnonzero(evaluated != MISSING)
            matched = np.where(evaluated[there] == 1, 32, 7)
            write_scores(run.path(shard), there + shard.start, matched, c.metadata())
        runs.append(run)
    return runs


def random_evaluations(rng: np.random.Generator, n: int = ROWS, k: int = len(STEPS)) -> np.ndarray:
    """Sequences with habits of their own, checkpoints missing at random, and whole shards."""
    seen = (rng.random((n, k)) < rng.choice([0.0, 0.1, 0.6], (n, 1))).astype(int)
    seen[rng.random((n, k)) < 0.2] = MISSING
    seen[16:32, 3] = seen[48:64, 1] = MISSING
    return seen


class Plain:
    """What a loop over texts finds; without labels every sequence is one."""

    def __init__(self, seen: np.ndarray, labels: np.ndarray | None = None) -> None:
        self.memorized: dict[int, tuple] = {}
        self.never, self.risk, self.events = Counter(), Counter(), Counter()
        self.transitions, self.steady, self.control = Counter(), Counter(), Counter()
        self.waiting, self.emerged, self.moves, self.idle = Counter(), Counter(), {}, Counter()
        labels = np.arange(len(seen)) if labels is None else labels
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            # Once a copy was trained on, only such copies tell what became of the text. -1 is the
            # least: it is evaluated where any of them is, memorized where any of them is.
            looks = []
            for c, step in enumerate(STEPS):
                before = rows[rows < PER_STEP * step]
                x = int(seen[before if len(before) else rows, c].max())
                looks += [(c, x)] if x >= 0 else []
            self._follow(int(rows[0]), int(rows[0]) // PER_STEP, looks, rows // PER_STEP)

    def _copies(self, steps: np.ndarray, row: int, looks: list[tuple[int, int]]) -> None:
        """Count steps at risk by copies seen, one step at a time, since the checkpoint before."""
        previous = None
        for c, x in looks:
            before = STEPS[c - 1] if c else 0
            if previous == c - 1 or (previous is None and before <= steps[0]):
                for s in range(before, STEPS[c]):
                    if copies := int((steps <= s).sum()):
                        key = (row, STEPS[c], copies) if x else (STEPS[c], copies)
                        (self.emerged if x else self.waiting)[key] += 1
            if x:
                return
            previous = c

    def _follow(
        self, row: int, exposure: int, looks: list[tuple[int, int]], steps: np.ndarray
    ) -> None:
        before = [(c, x) for c, x in looks if STEPS[c] <= exposure]
        after = [(c, x) for c, x in looks if STEPS[c] > exposure]
        for i, ((c, x), (d, y)) in enumerate(pairwise(before)):
            if not any(x for _, x in before[: i + 1]):
                self.control[c, d, int(len(steps) > 1)] += np.array([1, y])
        if any(x for _, x in before):
            first = next(c for c, x in before if x)
            self.memorized[row] = (STEPS[first], True)
            return
        states = [x for _, x in after]
        if len(steps) > 1:
            self._copies(steps, row, after)
        first = states.index(1) if 1 in states else None
        if first is None:
            self.idle[len(after)] += bool(after)
            if after:
                self.never[STEPS[after[-1][0]], bool(before)] += 1
        else:
            last = [c for c, _ in before + after[:first]][-1:]
            ends = states[first:]
            kept = ends.index(0) if 0 in ends else len(ends)
            end = 0 if 0 not in ends else 2 if 1 in ends[kept:] else 1
            self.memorized[row] = (
                STEPS[after[first][0]], False, bool(before), STEPS[last[0]] if last else None,
                kept, end, bool(states[-1]),
            )  # fmt: skip
            held = sum(states[:-1])
            lost = sum(x > y for x, y in pairwise(states))
            gained = sum(x < y for x, y in pairwise(states))
            self.moves[row] = (len(states), held, lost, gained)
        for i, (c, x) in enumerate(after):
            start = STEPS[after[i - 1][0]] if i else None
            if 1 not in states[:i]:
                self.risk[start, STEPS[c]] += 1
                self.events[start, STEPS[c]] += x
            if i:
                then = states[i - 1]
                history = (i > 1 and states[i - 2] == 1) if then else 1 in states[:i]
                self.transitions[after[i - 1][0], c, int(history), then, x] += 1
            if i > 1:
                pair, now = states[i - 2] & states[i - 1], states[i - 1] & x
                self.steady[after[i - 2][0], after[i - 1][0], pair, now] += 1


def as_counter(table: np.ndarray) -> Counter:
    return Counter({tuple(map(int, at)): int(table[tuple(at)]) for at in np.argwhere(table)})


def check(found: Histories, plain: Plain) -> None:
    rows = found.memorized.sort("first_index")
    assert rows["first_index"].to_list() == sorted(plain.memorized)
    columns = ("first_with", "before_exposure", "evaluated_before", "last_without",
               "retention_checkpoints",
               "retention_end", "memorized_at_last")  # fmt: skip
    for row in rows.iter_rows(named=True):
        expected = plain.memorized[row["first_index"]]
        assert tuple(row[name] for name in columns[: len(expected)]) == expected
    never = found.never.group_by("last_checkpoint", "evaluated_before").agg(pl.col("count").sum())
    assert {row[:2]: row[2] for row in never.iter_rows()} == plain.never
    risk = found.risk.group_by("start", "checkpoint").agg(pl.col("at_risk", "events").sum())
    assert {row[:2]: row[2] for row in risk.iter_rows()} == plain.risk
    assert {row[:2]: row[3] for row in risk.iter_rows()} == plain.events
    assert as_counter(found.tables.transitions) == plain.transitions
    assert as_counter(found.tables.steady) == plain.steady
    for at, counts in plain.control.items():
        assert found.tables.control[at].tolist() == counts.tolist()
    assert found.tables.control.sum() == sum(counts.sum() for counts in plain.control.values())
    assert as_counter(found.tables.idle) == Counter({(n,): c for n, c in plain.idle.items() if n})
    own = found.own.select("first_index", "evaluations", "memorized_before", "losses", "gains")
    assert {row[0]: row[1:] for row in own.iter_rows()} == plain.moves
    waiting = found.waiting.iter_rows()
    assert Counter({(c, copies): steps for c, copies, steps in waiting}) == plain.waiting
    assert Counter({row[:3]: row[3] for row in found.emerged.iter_rows()}) == plain.emerged


@pytest.mark.parametrize("block", [1 << 20, 16, 23])
def test_histories_are_those_of_a_loop_over_sequences(tmp_path, block) -> None:
    seen = random_evaluations(np.random.default_rng(block))
    runs = write_runs(tmp_path, seen)

    check(read_histories(runs[::-1], block=block), Plain(seen))


@pytest.mark.parametrize("block", [1 << 20, 23])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), texts=st.integers(1, ROWS))
def test_copies_are_one_text(tmp_path_factory, block, seed, texts) -> None:
    """Whichever rows are copies, evaluated or not: the loop over texts finds the same."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, texts, ROWS)
    seen = random_evaluations(rng)[labels]
    seen[rng.random(seen.shape) < 0.3] = MISSING
    runs = write_runs(tmp_path_factory.mktemp("runs"), seen)
    found = read_histories(runs, texts=Texts.from_labels(labels), block=block)

    check(found, Plain(seen, labels))
    for name, count in found.memorized.select("first_index", "duplicate_count").iter_rows():
        assert count == (labels == labels[name]).sum()
        assert name == np.flatnonzero(labels == labels[name])[0]
    # Rows are counted beside, as what they are.
    for (n, hits), column, step in zip(found.rows, seen.T, STEPS, strict=True):
        exposed = column[: PER_STEP * step]
        assert (n, hits) == ((exposed >= 0).sum(), (exposed == 1).sum())


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(1, ROWS - 1), max_size=3))
def test_blocks_add_up(seed, cuts) -> None:
    """However the sequences are cut into blocks, the same is counted."""
    seen = random_evaluations(np.random.default_rng(seed))
    whole, parts = Tables.empty(len(STEPS)), Tables.empty(len(STEPS))
    one = fold(seen, 0, ROWS, whole)
    several = [
        fold(seen, low, high, parts)
        for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), ROWS], strict=True)
        if high > low
    ]
    assert pl.concat(block.memorized() for block in several).equals(one.memorized())
    for name in ("shares", "transitions", "steady", "control", "idle"):
        assert (getattr(whole, name) == getattr(parts, name)).all()


def fold(seen: np.ndarray, low: int, high: int, tables: Tables) -> Block:
    index = np.arange(low, high)
    since = np.searchsorted(STEPS, index // PER_STEP, side="right")
    none = copy_steps(None, low, high, PER_STEP)
    block = Block(low, since, np.zeros(len(index), np.int64), none, np.array(STEPS))
    for c in range(len(STEPS)):
        rows = np.flatnonzero(seen[low:high, c] != MISSING)
        block.add(c, rows, seen[low:high, c][rows] == 1, tables)
    tables.idle[:] += block.idle()
    return block


def test_shares_count_both_sides_of_exposure(tmp_path) -> None:
    seen = random_evaluations(np.random.default_rng(5))
    found = read_histories(write_runs(tmp_path, seen))
    for k, step in enumerate(STEPS):
        exposed, unexposed = (
            part[part != MISSING] for part in np.split(seen[:, k], [min(PER_STEP * step, ROWS)])
        )
        n, hits, _, others, extractable = found.tables.shares[k]
        assert (n, hits) == (len(exposed), exposed.sum())
        assert (others, extractable) == (len(unexposed), unexposed.sum())


def test_a_sample_counts_only_what_was_drawn(tmp_path) -> None:
    runs = []
    for step in (8, 25):
        c = configuration(step, sample_size=20, sample_seed=3)
        run = begin_run(tmp_path, c, {})
        for shard in run.shards():
            builders.write_shard(run, shard, lambda rows: np.where(rows % 5 == 0, 32, 0))
        runs.append(run)
    found = read_histories(runs)
    drawn = np.concatenate([runs[0].rows(shard) for shard in runs[0].shards()])
    exposed_or_hit = found.never["count"].sum() + len(found.memorized)

    assert exposed_or_hit == len(drawn) == 20
    assert set(found.memorized["first_index"]) == {row for row in drawn if row % 5 == 0}


def test_intervals_hold_the_time_on_every_time_scale(tmp_path) -> None:
    """Whatever is grouped or widened, the interval of the truth lies inside."""
    rng = np.random.default_rng(1)
    exposure = np.arange(ROWS) // PER_STEP
    time = exposure + rng.exponential(8, ROWS)
    seen = (time[:, None] <= np.array(STEPS)).astype(int)
    found = read_histories(write_runs(tmp_path, seen))
    total = found.total_steps
    truths = {"training": time, "exposure": time - exposure}
    truths["share"] = (time - exposure) / (total - exposure)
    for scale in TIME_SCALES:
        seen_by = observations(found, scale)
        assert seen_by.weights.sum() == found.classes["count"].sum()
        evaluated = exposure < STEPS[-1]
        inside = (seen_by.left < truths[scale][evaluated][:, None]) & (
            truths[scale][evaluated][:, None] <= seen_by.right
        )
        assert inside.any(axis=1).all()


def test_bounds_are_those_of_the_definition() -> None:
    left, right = emergence_interval([100, 700, 900], [512, np.nan, 1000], [512, 1000])

    assert left.tolist() == [100, 1000, 900]
    assert right.tolist() == [512, np.inf, 1000]
    low, high = normalized(left, right, [100, 700, 900], 1100)
    assert low.tolist() == [0, 0.75, 0]
    assert high.tolist() == pytest.approx([0.412, np.inf, 0.5])


def test_runs_that_do_not_belong_together_are_refused(tmp_path) -> None:
    runs = write_runs(tmp_path / "a", random_evaluations(np.random.default_rng(0)))
    with pytest.raises(FitError, match="at least 2 checkpoints"):
        read_histories(runs[:1])
    other = begin_run(tmp_path / "b", configuration(25, corpus_digest="d"), {})
    with pytest.raises(FitError, match="differ in corpus_digest"):
        read_histories([runs[0], other])
    other = begin_run(tmp_path / "c", configuration(25, model="large"), {})
    with pytest.raises(FitError, match="two models"):
        read_histories([runs[0], other])
    unknown = [
        begin_run(tmp_path / "d", configuration(step, sequences_per_step=None), {})
        for step in (8, 25)
    ]
    with pytest.raises(FitError, match="no manifest tells"):
        read_histories(unknown)
    nothing = write_runs(tmp_path / "e", np.full((ROWS, len(STEPS)), MISSING))
    with pytest.raises(FitError, match="nothing of demo/small step 0 is scanned yet"):
        read_histories(nothing)


def test_merged_score_files_are_read_too(tmp_path) -> None:
    seen = random_evaluations(np.random.default_rng(2))
    seen[seen == MISSING] = 0
    write_runs(tmp_path, seen)
    before = read_histories(find_runs(tmp_path))
    for run in find_runs(tmp_path):
        scores = run.scores().collect()
        write_scores(
            run.merged_path,
            scores["sequence_index"].to_numpy(),
            scores["matched_tokens"],
            run.configuration.metadata(),
        )
        for shard in run.shards():
            run.path(shard).unlink()

    after = read_histories(find_runs(tmp_path), block=16)
    assert after.memorized.sort("first_index").equals(before.memorized.sort("first_index"))
    assert (after.tables.transitions == before.tables.transitions).all()
