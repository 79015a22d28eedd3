from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builders import write_run, write_shard
from hypothesis import given
from hypothesis import strategies as st

from memtrace.errors import FitError
from memtrace.point_process import EventSequence


@st.composite
def scans(draw):
    """Return (observed, memorized) masks over an axis, and a window length."""
    n = draw(st.integers(1, 60))
    observed = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    memorized = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) & observed
    return observed, memorized, draw(st.integers(1, 70))


def ranges_of(mask: np.ndarray) -> np.ndarray:
    edges = np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))
    return np.column_stack((np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)))


def scores_of(index: np.ndarray, memorized: np.ndarray) -> pl.LazyFrame:
    return pl.LazyFrame(
        {
            "sequence_index": index.astype(np.uint64),
            "matched_tokens": np.where(memorized, 32, 31).astype(np.uint8),
        }
    )


@given(scans())
def test_everything_derived_agrees_with_the_masks(scan) -> None:
    observed, memorized, length = scan
    n = len(observed)
    events = EventSequence.from_positions(
        np.flatnonzero(memorized)[::-1], n=n, observed=ranges_of(observed)
    )

    assert events.n_events == memorized.sum()
    assert events.exposure == observed.sum()
    np.testing.assert_array_equal(events.missing, ranges_of(~observed))
    np.testing.assert_array_equal(events.ranks, np.flatnonzero(memorized[observed]))
    starts = np.arange(0, n, length)
    exposures = np.add.reduceat(observed.astype(int), starts)
    counts = np.add.reduceat(memorized.astype(int), starts)
    windows = events.windows(length)
    np.testing.assert_array_equal(windows.start, starts[exposures > 0])
    np.testing.assert_array_equal(windows.exposures, exposures[exposures > 0])
    np.testing.assert_array_equal(windows.counts, counts[exposures > 0])


@given(scans(), st.integers(0, 60))
def test_scores_give_the_events_their_gaps_and_the_control_group(scan, exposed) -> None:
    observed, memorized, _ = scan
    index = np.flatnonzero(observed)
    events = EventSequence.from_scores(scores_of(index, memorized[index]), n=exposed)

    seen = observed[:exposed]
    np.testing.assert_array_equal(events.positions, np.flatnonzero(memorized[:exposed]))
    np.testing.assert_array_equal(events.observed, ranges_of(seen))
    control = int(observed[exposed:].sum())
    assert events.not_exposed_exposure == (control or None)
    assert events.not_exposed_events == (int(memorized[exposed:].sum()) if control else None)


def test_ranges_that_touch_are_one_range() -> None:
    events = EventSequence.from_positions([3], n=10, observed=[[0, 4], [4, 6], [6, 6], [8, 10]])

    np.testing.assert_array_equal(events.observed, [[0, 6], [8, 10]])


@pytest.mark.parametrize(
    ("positions", "observed", "message"),
    [
        ([1, 5, 5], None, "position 5 occurs twice"),
        ([1, 10], None, r"position 10 lies outside \[0, 10\)"),
        ([-1, 3], None, r"position -1 lies outside"),
        ([1.5], None, "positions are float64"),
        ([5], [[0, 5], [6, 10]], "event 5 lies outside the observed ranges"),
        ([], [[0, 5], [4, 10]], "ascending and disjoint"),
        ([], [[0, 11]], "ascending and disjoint"),
    ],
)
def test_events_that_cannot_be_are_refused(positions, observed, message) -> None:
    with pytest.raises(FitError, match=message):
        EventSequence.from_positions(positions, n=10, observed=observed)


@pytest.mark.parametrize(
    ("index", "message"),
    [([0, 1, 1, 2], "sequence_index 1 follows 1"), ([0, 5, 3], "sequence_index 3 follows 5")],
)
def test_scores_out_of_order_are_refused(index, message) -> None:
    with pytest.raises(FitError, match=message):
        EventSequence.from_scores(scores_of(np.array(index), np.zeros(len(index), bool)), n=9)


def test_more_matched_tokens_than_a_continuation_has_are_refused() -> None:
    scores = scores_of(np.arange(3), np.ones(3, bool))

    with pytest.raises(FitError, match="3 sequences match more than 16 tokens"):
        EventSequence.from_scores(scores, n=3, continuation_tokens=16)


def test_a_partial_run_counts_only_its_finished_shards(tmp_path: Path) -> None:
    sizes = {"stop": 300, "exposed_rows": 200, "corpus_rows": 300, "shard_size": 100}
    run = write_run(tmp_path, shards=[], model="tiny", step=2, sequences_per_step=100, **sizes)
    with pytest.raises(FitError, match="nothing of demo/tiny step 2 is scanned yet"):
        EventSequence.from_run(run)

    for number in (0, 2):
        write_shard(run, run.shards()[number], lambda rows: np.where(rows % 10 == 0, 32, 4))
    events = EventSequence.from_run(run)

    np.testing.assert_array_equal(events.positions, np.arange(0, 100, 10))
    np.testing.assert_array_equal(events.missing, [[100, 200]])
    assert (events.not_exposed_events, events.not_exposed_exposure) == (10, 100)
    assert (events.n, events.sequences_per_step) == (200, 100)
    assert events.label == "demo/tiny step 2"
