"""Sequences per step that change along a run: exposure, steps of rows, and what rests on them."""

import json
from itertools import pairwise

import numpy as np
import pytest
from builders import configuration, write_run
from corpus_files import ORDERS
from hypothesis import given
from hypothesis import strategies as st
from manifest_documents import document, refusal, write

from memtrace.emergence.histories import read_histories
from memtrace.errors import RunError
from memtrace.manifests import load_suite
from memtrace.manifests.schedule import last_step, rows_before, steps_of
from memtrace.point_process.events import EventSequence
from memtrace.point_process.fit import fit_poisson
from memtrace.point_process.models.recency import last_steps
from memtrace.point_process.shares import compare_shares
from memtrace.point_process.text import printed
from memtrace.report.text import rendered
from memtrace.runs.configuration import read_configuration
from memtrace.runs.run import begin_run

RAMPS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=1, max_size=5).map(
    lambda pairs: tuple(
        (sum(length for length, _ in pairs[:i]), count) for i, (_, count) in enumerate(pairs)
    )
)


def megatron_ramp():
    """What Megatron's own calculator gave: step, first row, rows."""
    found = json.loads((ORDERS / "megatron-core" / "rampup.json").read_text())["steps"]
    changes = [(a[0], a[2]) for b, a in pairwise([[None, None, None], *found]) if a[2] != b[2]]
    return found, tuple(changes)


def test_megatrons_ramp_up():
    found, ramp = megatron_ramp()
    assert ramp == ((0, 4), (8, 8), (12, 12), (15, 16))
    for step, first, rows in found:
        assert rows_before(ramp, step) == first
        assert steps_of(ramp, np.arange(first, first + rows)).tolist() == [step] * rows


@given(ramp=RAMPS, step=st.integers(0, 80))
def test_rows_and_steps_are_those_of_counting(ramp, step):
    sizes = [max(pair for pair in ramp if pair[0] <= s)[1] for s in range(step + 1)]
    assert rows_before(ramp, step) == sum(sizes[:step])
    rows = np.arange(sum(sizes))
    assert steps_of(ramp, rows).tolist() == np.repeat(np.arange(step + 1), sizes).tolist()
    assert last_step(ramp, sum(sizes)) == step + 1


@given(size=st.integers(1, 50), step=st.integers(0, 50))
def test_a_number_is_a_ramp_of_one_phase(size, step):
    assert rows_before(size, step) == rows_before(((0, size),), step) == size * step
    rows = np.arange(200)
    assert steps_of(size, rows).tolist() == (rows // size).tolist()


def test_many_rows_are_counted_in_64_bits():
    assert rows_before(((0, 1), (10, 2**22)), 2**22) == 10 + (2**22 - 10) * 2**22
    assert steps_of(((0, 1), (10, 2**22)), np.array([2**44 - 1])).tolist() == [2**22 + 9]


def test_a_suite_with_a_ramp(tmp_path):
    suite = load_suite(write(tmp_path, document(sequences_per_step=[[0, 4], [8, 8]])))
    assert [suite.exposed_rows(step, 100) for step in (0, 8, 10, 100)] == [0, 32, 48, 100]


@pytest.mark.parametrize(
    "said",
    [0, -1, True, 1.5, "64", None, [], [[1, 4]], [[0, 4], [0, 8]], [[0, 0]], [[0, 4, 1]], [0, 4]],
)
def test_what_is_no_number_of_sequences(said, tmp_path):
    text = refusal(tmp_path, document(sequences_per_step=said))
    assert text is not None
    assert "is no number of sequences: write 1024" in text
    assert "\n" not in text


def test_a_run_with_a_ramp_is_recorded_and_continued(tmp_path):
    ramp = ((0, 4), (8, 8))
    run = write_run(tmp_path, sequences_per_step=ramp)
    recorded = json.loads((run.folder / "run.json").read_text())["configuration"]
    assert read_configuration(recorded) == configuration(sequences_per_step=ramp)
    again = begin_run(tmp_path, configuration(sequences_per_step=ramp), {})
    assert again.configuration.sequences_per_step == ramp
    assert again.sequences_per_step is None
    with pytest.raises(RunError, match="sequences_per_step"):
        begin_run(tmp_path, configuration(sequences_per_step=((0, 4), (8, 9))), {})


def test_emergence_is_in_the_steps_of_the_ramp(tmp_path):
    ramp = ((0, 4), (5, 10))
    sizes = {"corpus_rows": 70, "sequences_per_step": ramp}
    runs = [
        write_run(
            tmp_path,
            lambda rows: np.where(rows % 7 == 0, 32, 0),
            step=step,
            stop=rows_before(ramp, step),
            exposed_rows=rows_before(ramp, step),
            weight_digest=str(step),
            **sizes,
        )
        for step in (5, 10)
    ]
    histories = read_histories(runs)
    assert histories.total_steps == 10
    memorized = histories.memorized.sort("first_index")
    index = memorized["first_index"].to_numpy()
    assert index.tolist() == list(range(0, 70, 7))
    by_hand = [row // 4 if row < 20 else 5 + (row - 20) // 10 for row in index.tolist()]
    assert memorized["exposure_step"].to_list() == by_hand


@pytest.mark.parametrize("more", [0, 3])
def test_the_last_steps_are_those_of_the_ramp(more):
    """By hand: every event and every sequence belongs to the step that consumed it."""
    ramp = ((0, 4), (50, 10), (90, 20))
    n = rows_before(ramp, 120) + more  # also in the middle of a step
    index = np.flatnonzero(np.random.default_rng(0).random(n) < 0.2)
    events = EventSequence.from_positions(index, n=n, sequences_per_step=ramp)
    step = np.repeat(np.arange(121), [4] * 50 + [10] * 40 + [20] * 31)[:n]
    found = last_steps(events)
    assert sorted(found) == [1, 10, 100]
    for k, compared in found.items():
        last = step > step[-1] - k
        assert compared == compare_shares(
            (int(last[index].sum()), int((~last)[index].sum())),
            (int(last.sum()), int((~last).sum())),
        )


def fit_text(fit):
    return rendered(printed(fit), width=120, colour=False)


def test_a_ramp_is_told_where_windows_are_reported():
    ramp = ((0, 4), (50, 10))
    text = fit_text(fit_poisson(np.arange(3, 600, 7), n=600, sequences_per_step=ramp))
    assert "their size changes along the run" in text
    assert "last 10 steps to the rest" in text
    plain = fit_text(fit_poisson(np.arange(3, 600, 7), n=600, sequences_per_step=4))
    assert "their size changes" not in plain
