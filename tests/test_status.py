"""`memtrace status` and its library: every state, what is left, and the cost of looking."""

import builtins
import json
import os
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from builders import CONFIGURATION, write_run, write_shard
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.errors import RunError
from memtrace.manifests import find_model, find_suite
from memtrace.runs.run import find_runs, open_run
from memtrace.runs.sampling import Sample
from memtrace.runs.shards import plan_shards
from memtrace.runs.status import MINIMUM_RATE, STALE_SECONDS, hours_left, survey

COMMAND = ["memtrace", "scan", "--model", "demo", "--step", "all"]


def begin(runs, *, done=0, record=(), **changes):
    """A run of which so many shards are done."""
    record = {"command": COMMAND, **dict(record)}
    return write_run(runs, shards=range(done), record=record, **changes)


def age(run, seconds):
    for path in (run.folder / "run.json", run.folder / "scores"):
        os.utime(path, (time.time() - seconds,) * 2)


def only(runs):
    (status,) = survey(runs)
    return status


def test_done_and_partial(tmp_path):
    run = begin(tmp_path, done=2)
    found = only(tmp_path)
    assert (found.state, found.shards, found.shards_left) == ("partial", 3, 1)
    assert (found.sequences, found.sequences_left) == (100, 20)
    assert found.bytes_to_read == 20 * 64 * 2
    assert found.command == f"memtrace scan --model demo --step all --runs {tmp_path}"
    write_shard(run, run.shards()[2])
    found = only(tmp_path)
    assert (found.state, found.sequences_left, found.command) == ("done", 0, None)


def test_stale_after_a_day_without_a_file(tmp_path):
    run = begin(tmp_path, done=2)
    age(run, STALE_SECONDS - 60)
    assert only(tmp_path).state == "partial"
    age(run, STALE_SECONDS + 60)
    assert only(tmp_path).state == "stale"
    assert "24 hours" in only(tmp_path).reason
    write_shard(run, run.shards()[2])
    assert only(tmp_path).state == "done"


def test_a_clock_that_was_set_back_makes_nothing_stale(tmp_path):
    run = begin(tmp_path, done=1)
    age(run, -10 * STALE_SECONDS)
    assert only(tmp_path).state == "partial"


def test_failed_where_another_schema_began_it(tmp_path):
    begin(tmp_path, done=1).update(schema_version="0")
    assert only(tmp_path).state == "failed"
    assert "schema '0'" in only(tmp_path).reason


def test_failed_where_the_last_worker_did(tmp_path):
    failed = {"sequences": 0, "seconds": 1.0, "error": "cannot write: No space left on device"}
    fine = {"sequences": 40, "seconds": 2.0}
    run = begin(tmp_path, done=1).update(workers=[fine, failed])
    assert only(tmp_path).state == "failed"
    assert only(tmp_path).reason == failed["error"]
    assert only(tmp_path).speed == 20
    run.update(workers=[failed, fine])
    assert only(tmp_path).state == "partial"


def test_a_scan_that_fails_says_so_in_its_record(neox_folder, tmp_path, memtrace_cli):
    """End to end: a file lies in the place of the folder of scores."""
    np.save(tmp_path / "tokens.npy", np.full((6, 64), 3, np.uint16))
    folder = tmp_path / "runs" / "suite=local-tokens" / f"model={neox_folder.name}" / "step=0"
    folder.mkdir(parents=True)
    (folder / "scores").touch()
    command = ["--quiet", "scan", "--model", neox_folder, "--corpus", tmp_path / "tokens.npy"]
    command += ["--runs", tmp_path / "runs", "--shard-size", 2, "--dtype", "float32"]
    assert memtrace_cli(*command).exit_code == 1
    found = only(tmp_path / "runs")
    assert found.state == "failed"
    assert "cannot write" in found.reason


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"configuration": {"suite": 5}}'])
def test_an_unreadable_record_does_not_hide_the_others(tmp_path, content):
    begin(tmp_path, done=3)
    (begin(tmp_path, step=64).folder / "run.json").write_text(content)
    shutil.rmtree(begin(tmp_path, step=128).folder / "scores", ignore_errors=True)
    (begin(tmp_path, step=256).folder / "run.json").unlink()
    states = {found.step: found.state for found in survey(tmp_path)}
    assert states == {64: "failed", 128: "partial", 256: "failed", 512: "done"}


@settings(max_examples=60)
@given(
    start=st.integers(0, 200),
    length=st.integers(0, 300),
    size=st.integers(1, 90),
    share=st.floats(0.02, 1) | st.none(),
    data=st.data(),
)
def test_what_is_left_is_what_the_plan_says(tmp_path_factory, start, length, size, share, data):
    """Counted from names alone, and equal to the sum over the shards that are not there."""
    n = None if share is None or length < 2 else max(1, round(share * length))
    sampled = {} if n is None else {"sample_size": n, "sample_seed": 1}
    changes = {"start": start, "stop": start + length, "corpus_rows": 1000, "shard_size": size}
    run = begin(tmp_path_factory.mktemp("runs"), **changes, **sampled)
    shards = plan_shards(start, start + length, size, Sample(n, 1) if n else None)
    done = data.draw(st.sets(st.sampled_from(shards))) if shards else set()
    (run.folder / "scores").mkdir()
    for shard in done:
        run.path(shard).touch()
    found = only(run.folder.parents[2])
    left = [shard for shard in shards if shard not in done]
    assert (found.shards, found.shards_left) == (len(shards), len(left))
    assert found.sequences_left == sum(shard.sequences for shard in left)
    assert found.sequences == sum(shard.sequences for shard in shards)
    assert (found.state == "done") == (not left)


def test_hours_are_measured_where_they_can_be(tmp_path):
    worker = {"sequences": 80, "seconds": 4.0}
    begin(tmp_path, done=2, record={"workers": [worker]})
    begin(tmp_path, done=1, step=64)  # the speed of the other checkpoint
    begin(tmp_path, done=1, suite="pythia", model="70m")  # never timed
    begin(tmp_path, done=1, suite="own", model="own")  # nor known
    other, measured, own, floor = hours_left(survey(tmp_path))
    assert measured.source == other.source == "measured"
    assert measured.hours == pytest.approx(20 / 20 / 3600)
    assert other.hours == pytest.approx(60 / 20 / 3600)
    assert own is None
    # 2 P k + 2 d V, P the weights without embedding and output matrix
    operations = 2 * (70_426_624 - 2 * 512 * 50_304) * 32 + 2 * 512 * 50_304
    assert floor.source == "minimum"
    assert floor.hours == pytest.approx(60 * operations / MINIMUM_RATE / 3600)


def test_a_whole_suite_costs_a_few_calls_a_run(tmp_path, monkeypatch):
    """No call for a score file: with more of them the same are made."""

    def calls(shards):
        runs = tmp_path / str(shards)
        for step in (64, 128, 512):
            run = begin(runs, step=step, stop=shards, corpus_rows=shards, shard_size=1)
            (run.folder / "scores").mkdir()
            for shard in run.shards()[1:]:
                run.path(shard).touch()
        made = []
        with monkeypatch.context() as patch:
            for owner, name in [(os, "stat"), (os, "listdir"), (os, "scandir"), (os, "open")]:
                patch.setattr(owner, name, counted(getattr(owner, name), made))
            patch.setattr(builtins, "open", counted(builtins.open, made))
            patch.setattr("io.open", counted(open, made))
            assert [found.sequences_left for found in survey(runs)] == [1, 1, 1]
        return len(made)

    def counted(function, made):
        def call(*arguments, **options):
            made.append(function)
            return function(*arguments, **options)

        return call

    few = calls(3)
    assert calls(100) == few <= 3 * 8


@pytest.fixture
def pythia(tmp_path):
    """Two models at all checkpoints, one of them begun only."""
    suite = find_suite("pythia")
    for model in ("160m", "70m"):
        for step in suite.steps:
            run = begin(
                tmp_path / "runs",
                suite="pythia",
                model=model,
                step=step,
                stop=5,
                record={"command": ["memtrace", "scan", "--model", model, "--step", "all"]},
            )
            if model == "70m" or step < 5000:
                (run.folder / "scores").mkdir()
                run.path(run.shards()[0]).touch()
    return tmp_path / "runs"


def test_the_page_shows_every_checkpoint_within_100_columns(pythia, memtrace_cli):
    text = memtrace_cli("status", pythia).stdout
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("To finish:")) <= 100
    rows = {model: [] for model in ("70m", "160m")}
    for line in lines:
        if match := re.fullmatch(r"(70m|160m) +([#+~!.]+)", line):
            rows[match[1]].append(match[2])
    assert "".join(rows["70m"]) == "#" * 154
    assert "".join(rows["160m"]) == "#" * 15 + "+" * 139
    assert lines.index(next(line for line in lines if line.startswith("70m"))) < lines.index(
        next(line for line in lines if line.startswith("160m"))
    )
    assert "5,000 to 143,000 (139)" in text
    assert text.count("To finish:") == 1
    assert "To finish: memtrace scan --model 160m --step all" in text


def checkpoints(symbol):
    """The line of the demo suite, of which one checkpoint was begun."""
    steps = find_model("demo")[0].steps
    return "".join(symbol if step == CONFIGURATION.step else "." for step in steps)


def test_steps_that_were_not_begun_are_shown(tmp_path, memtrace_cli):
    begin(tmp_path, done=3)
    assert f"demo  {checkpoints('#')}" in memtrace_cli("status", tmp_path).stdout
    shutil.rmtree(tmp_path / "suite=demo")
    begin(tmp_path, done=3, suite="local", model="my model")
    assert "my model  #" in memtrace_cli("status", tmp_path).stdout


LONG = "my-" + "very-long-" * 9 + "model"


@pytest.mark.parametrize("columns", ["60", "100", "200"])
def test_a_long_name_leaves_every_table_readable(tmp_path, memtrace_cli, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    begin(tmp_path, done=2, model=LONG, suite="local")
    begin(tmp_path, done=3)
    lines = memtrace_cli("status", tmp_path).stdout.splitlines()
    assert max(len(line) for line in lines if not line.startswith("To finish")) <= int(columns)
    assert sum(line.endswith(" +") for line in lines) == 1  # the symbol of the long one
    text = "".join(line.split()[0] for line in lines if line.strip())
    assert len(LONG) == 98
    assert text.count("very-long-") >= 2 * 9  # in both tables, over as many lines as it takes
    for number in ("100", "20"):  # sequences, and those left
        assert any(number in line.split() for line in lines)


def test_control_characters_of_a_record_are_written_out(tmp_path, memtrace_cli):
    """A record comes from anywhere: it moves no cursor and sets no title."""
    hostile = "a\x1b]0;title\x07b\x1b[2Jc\nd"
    record = {"command": ["memtrace", "scan", hostile], "workers": [{"error": hostile}]}
    begin(tmp_path, done=1, record=record)
    text = memtrace_cli("status", tmp_path).stdout
    assert not {"\x1b", "\x07"} & set(text)
    written = re.sub(r"\s", "", text)
    assert written.count(r"a\x1b]0;title\x07b\x1b[2Jc\nd") == 2


def test_control_characters_in_an_error_are_written_out(tmp_path, memtrace_cli):
    result = memtrace_cli("fit-poisson", tmp_path / "a\x1b[2Jb")
    assert result.exit_code == 1
    assert r"a\x1b[2Jb" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_run_that_may_not_be_read_is_failed(tmp_path, memtrace_cli, monkeypatch):
    fine, closed = begin(tmp_path, done=3), begin(tmp_path, step=64, done=3)
    readers = {"read_bytes": Path.read_bytes, "open": Path.open}

    def refusing(read):
        def refuse(path, *arguments, **options):
            if path.parent == closed.folder:
                raise PermissionError(13, "Permission denied")
            return read(path, *arguments, **options)

        return refuse

    for name, read in readers.items():
        monkeypatch.setattr(Path, name, refusing(read))
    states = {run.folder: run.state for run in survey(tmp_path)}
    assert states == {fine.folder: "done", closed.folder: "failed"}
    result = memtrace_cli("status", tmp_path)
    assert result.exit_code == 0
    assert "Permission denied" in " ".join(result.stdout.split())


def test_json_has_what_is_needed_to_plan(tmp_path, memtrace_cli):
    begin(tmp_path, done=2)
    (document,) = json.loads(memtrace_cli("status", tmp_path, "--json").stdout)
    names = "suite model step run shards shards_left sequences sequences_left finished command"
    assert set(names.split()) < document.keys()
    assert document["state"] == "partial"
    assert document["hours_from"] == "minimum"
    assert not document["finished"]


def test_long_commands_are_not_cut(tmp_path, memtrace_cli):
    command = ["memtrace", "scan", "--model", "demo", "--corpus", "x" * 300]
    begin(tmp_path, record={"command": command})
    command += ["--runs", str(tmp_path)]
    assert f"To finish: {' '.join(command)}\n" in memtrace_cli("status", tmp_path).stdout


def test_watching_begins_before_there_is_a_folder(tmp_path, memtrace_cli, monkeypatch):
    """It looks again and again; Ctrl-C ends it with 130."""
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 1:
            begin(tmp_path / "runs", done=2)
        elif len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    result = memtrace_cli("status", tmp_path / "runs", "--watch")
    assert result.exit_code == 130, result.output
    assert f"demo  {checkpoints('+')}" in result.stdout
    assert len(looks) == 2


def test_watch_and_json_exclude_each_other(tmp_path, memtrace_cli):
    assert memtrace_cli("status", tmp_path, "--watch", "--json").exit_code == 2


def test_a_file_in_the_place_of_the_folder(tmp_path, memtrace_cli):
    (tmp_path / "runs").write_text("")
    assert memtrace_cli("status", tmp_path / "runs").exit_code == 2


def test_stray_files_and_copies_are_no_runs(tmp_path, memtrace_cli):
    """Nor are they in the way of the runs beside them."""
    run = begin(tmp_path, done=3)
    shutil.copytree(run.folder, run.folder.with_name("step=512.bak"))
    shutil.copytree(run.folder, run.folder.with_name("step=\N{SUPERSCRIPT TWO}"))
    for name in ("notes.txt", "suite=demo/notes.txt", "suite=demo/model=demo/step=7.tar"):
        (tmp_path / name).touch()
    (tmp_path / "suite=stray").touch()
    assert [found.step for found in survey(tmp_path)] == [512]
    assert [found.step for found in find_runs(tmp_path)] == [512]
    (run.folder.parent / "step=7").touch()
    assert [found.step for found in find_runs(tmp_path)] == [512]
    assert memtrace_cli("runs", "compact", tmp_path).exit_code == 0


def test_a_run_under_the_name_of_another(tmp_path):
    run = begin(tmp_path, done=3)
    moved = run.folder.rename(run.folder.with_name("step=64"))
    assert only(tmp_path).state == "failed"
    with pytest.raises(RunError, match=r"the record of suite=demo/model=demo/step=512: .* put it"):
        open_run(moved).configuration  # noqa: B018


@pytest.mark.parametrize(
    "workers",
    [
        5,
        None,
        "x",
        [{"sequences": float("inf"), "seconds": 1}],
        [{"sequences": 5, "seconds": 1e-320}],
        [{"sequences": 10**400, "seconds": 1}],
        [{"sequences": float("nan"), "seconds": float("nan")}],
    ],
    ids=lambda value: str(value)[:40],
)
def test_damaged_worker_logs_cost_no_answer(tmp_path, memtrace_cli, workers):
    begin(tmp_path, done=2, record={"workers": workers})
    for options in ([], ["--json"]):
        result = memtrace_cli("status", tmp_path, *options)
        assert result.exit_code == 0, result.output


def test_a_compacted_run_is_done(tmp_path):
    run = begin(tmp_path)
    (run.folder / "scores").mkdir()
    run.merged_path.touch()
    assert only(tmp_path).state == "done"


def test_records_are_small(tmp_path):
    """What is read of each run: a page or two, whatever the number of its shards."""
    run = begin(tmp_path, stop=146_432_000, corpus_rows=146_432_000, shard_size=131_072)
    assert (run.folder / "run.json").stat().st_size < 8192
    assert asdict(run.configuration) == run.record["configuration"]
