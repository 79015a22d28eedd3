"""Run folders: the plan of shards, what counts as done, and refusing another configuration."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from builders import CONFIGURATION, write_shard
from hypothesis import given
from hypothesis import strategies as st

from memtrace.errors import DataWarning, RunError
from memtrace.runs.load_scores import load_scores
from memtrace.runs.run import (
    begin_run,
    find_run,
    find_runs,
    open_run,
)
from memtrace.runs.shards import plan_shards


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 3_000))
def test_shards_tile_the_range_at_absolute_cuts(start, length, size):
    shards = plan_shards(start, start + length, size)
    covered = [i for shard in shards for i in (shard.start, shard.stop)]
    assert covered[:1] + covered[-1:] == ([start, start + length] if length else [])
    assert all(a.stop == b.start for a, b in pairwise(shards))
    assert all(shard.start % size == 0 for shard in shards[1:])
    assert all(0 < shard.stop - shard.start <= size for shard in shards)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert {shard.count for shard in shards} <= {len(shards)}


def test_a_full_pythia_checkpoint_has_1118_shards():
    assert len(plan_shards(0, 146_432_000, 131_072)) == 1118


def test_run_goes_on_where_it_stopped(tmp_path):
    run = begin_run(tmp_path, CONFIGURATION, {"command": ["memtrace", "scan", "--model", "a b"]})
    assert len(run.shards_left()) == 3
    write_shard(run, run.shards()[1])
    again = begin_run(tmp_path, CONFIGURATION, {})
    assert [shard.number for shard in again.shards_left()] == [0, 2]
    assert again.command == f"memtrace scan --model 'a b' --runs {tmp_path}"
    assert again.scores().collect()["sequence_index"].to_list() == list(range(40, 80))


def test_another_configuration_is_refused_with_the_difference(tmp_path):
    run = begin_run(tmp_path, CONFIGURATION, {"command": ["memtrace", "scan"]})
    write_shard(run, run.shards()[0])
    other = replace(CONFIGURATION, shard_size=50, weight_digest="x")
    with pytest.raises(RunError, match=r"shard_size: 40 -> 50; weight_digest: w -> x"):
        begin_run(tmp_path, other, {})


@pytest.mark.parametrize("content", [b"", b"PAR1", None], ids=["empty", "foreign", "cut"])
def test_a_damaged_shard_counts_as_left(tmp_path, content):
    run = begin_run(tmp_path, CONFIGURATION, {})
    shard = run.shards()[0]
    write_shard(run, shard)
    whole = run.path(shard).read_bytes()
    assert shard not in run.shards_left()
    run.path(shard).write_bytes(whole[:-20] if content is None else content)
    with pytest.warns(DataWarning, match=r"shard-00000-of-00003\.parquet is damaged"):
        assert run.shards_left([shard]) == [shard]


def test_a_shard_of_another_run_is_refused(tmp_path):
    run = begin_run(tmp_path / "a", CONFIGURATION, {})
    other = begin_run(tmp_path / "b", replace(CONFIGURATION, weight_digest="x"), {})
    shard = run.shards()[0]
    write_shard(other, shard)
    run.path(shard).parent.mkdir()
    other.path(shard).rename(run.path(shard))
    with pytest.raises(RunError, match="weight_digest: x, expected w"):
        run.shards_left()


def test_scores_of_other_rows_are_refused(tmp_path):
    """Under the right name: a copy of another shard, and what an older plan has left."""
    run = begin_run(tmp_path / "a", CONFIGURATION, {})
    write_shard(run, run.shards()[0])
    copy = run.path(run.shards()[1])
    copy.write_bytes(run.path(run.shards()[0]).read_bytes())
    with pytest.raises(RunError, match=r"sequences: 40 in 0:40, expected 40 in 40:80\); move it"):
        run.shards_left()
    copy.unlink()
    other = begin_run(tmp_path / "b", replace(CONFIGURATION, shard_size=35), {})
    (other.folder / "scores").mkdir()
    run.path(run.shards()[0]).rename(other.path(other.shards()[0]))
    with pytest.raises(RunError, match="sequences: 40 in 0:40, expected 35 in 0:35"):
        other.scores()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"configuration": {"suite": "demo"}}'])
def test_a_damaged_record_gives_one_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json") as caught:
        open_run(tmp_path).configuration  # noqa: B018
    assert "\n" not in str(caught.value)


def test_finding_runs(tmp_path):
    for step in (512, 64):
        begin_run(tmp_path, replace(CONFIGURATION, step=step), {})
    begin_run(tmp_path, replace(CONFIGURATION, suite="other"), {})
    assert [(r.suite, r.step) for r in find_runs(tmp_path)] == [
        ("demo", 64),
        ("demo", 512),
        ("other", 512),
    ]
    assert find_run(tmp_path, model="demo", step=64).step == 64
    with pytest.raises(RunError, match=r"several suites \(demo, other\)"):
        find_run(tmp_path, model="demo", step=512)
    with pytest.raises(RunError, match=r"step 1 in .*demo/demo \(steps 64, 512\)"):
        find_run(tmp_path, model="demo", step=1)


def test_a_run_at_a_prompt_is_one_short_line(tmp_path):
    run = begin_run(tmp_path, CONFIGURATION, {"command": ["memtrace", "scan"] * 100})
    assert "step=512" in repr(run)
    assert len(repr(run)) < 100 + len(str(tmp_path))


def test_where_there_is_no_run_the_message_says_what_there_is(tmp_path):
    runs = tmp_path / "runs"
    begin_run(runs, CONFIGURATION, {})
    (tmp_path / "empty").mkdir()
    said = {
        tmp_path / "nowhere": "does not exist",
        tmp_path / "empty": "holds no run: make one",
        runs / "suite=demo": f"{runs} is: give that one",
        runs / "suite=demo" / "model=demo" / "step=512": f"{runs} is: give that one",
        tmp_path: f"{runs} is: give that one",
    }
    for folder, expected in said.items():
        with pytest.raises(RunError, match=re.escape(expected)):
            find_runs(folder)
    with pytest.raises(RunError, match=r"model 'dmo' in .* \(near it: demo\)"):
        find_runs(runs, model="dmo")


def test_a_run_of_an_older_schema_is_refused_in_one_line(tmp_path):
    run = begin_run(tmp_path, CONFIGURATION, {}).update(schema_version="1")
    for use in (
        lambda: open_run(run.folder),
        lambda: find_runs(tmp_path),
        lambda: begin_run(tmp_path, CONFIGURATION, {}),
        lambda: load_scores(tmp_path, model="demo", step=512),
    ):
        with pytest.raises(
            RunError, match=r"schema '1', this one reads '3'.*--runs folder"
        ) as error:
            use()
        assert "--runs folder" in str(error.value)
        assert "\n" not in str(error.value)
