"""Processes that end at any moment: nothing finished is lost, and the bytes come out the same."""

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from memtrace.runs.compact import compact
from memtrace.runs.run import find_runs
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.jobs import Job
from memtrace.scanning.launch import run_job
from memtrace.scanning.plan import plan_scan

ROUNDS = 100
SEQUENCES, SHARD = 200, 10


@pytest.fixture(scope="module")
def plan(tmp_path_factory, neox_folder, remembered):
    """What to scan: a model of one's own, and sequences of which it remembers some."""
    sequences, _ = remembered(AutoModelForCausalLM.from_pretrained(neox_folder), SEQUENCES)
    path = tmp_path_factory.mktemp("kill") / "tokens.npy"
    np.save(path, sequences.astype(np.uint16))
    (checkpoint,) = find_checkpoints(str(neox_folder))
    options = {"corpus": str(path), "dtype": "float32", "shard_size": SHARD}
    return plan_scan(checkpoint, runs=path.parent, **options)


@pytest.fixture(scope="module")
def memory():
    """A folder that is flushed at no cost, where there is one: a scan flushes every file."""
    place = Path("/dev/shm")
    with TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as folder:
        yield Path(folder)


def scan(plan, runs):
    (run,) = run_job(Job((replace(plan, runs=runs),)), ["cpu"])
    return run


@pytest.fixture(scope="module")
def processes():
    """A context whose processes are forks of one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "memtrace.runs.compact",
            "memtrace.scanning.launch",
            "array_api_compat.torch",
            "memtrace.engine.engine",
            "memtrace.engine.build",
            "transformers.models.gpt_neox.modeling_gpt_neox",
        ]
    )
    return context


def start(processes, plan, runs):
    job = Job((replace(plan, runs=runs),))
    process = processes.Process(target=run_job, args=(job, ["cpu"]))
    process.start()
    return process


def score_bytes(runs):
    return {p.name: p.read_bytes() for p in runs.glob("*/*/*/scores/*.parquet")}


@pytest.fixture(scope="module")
def undisturbed(plan, processes, memory):
    """The score files of a scan that nothing interrupted, how long it takes, and its folder."""
    runs = memory / "undisturbed"
    start(processes, plan, runs / "first").join()  # it also starts the server
    began = time.monotonic()
    process = start(processes, plan, runs / "second")
    process.join()
    assert process.exitcode == 0
    assert len(score_bytes(runs / "second")) == SEQUENCES // SHARD
    assert score_bytes(runs / "first") == score_bytes(runs / "second")
    return score_bytes(runs / "second"), time.monotonic() - began, runs / "first"


def test_killed_a_hundred_times(plan, processes, undisturbed, memory):
    """Each run is killed until it ends by itself; then another one begins."""
    expected, duration, _ = undisturbed
    rng = np.random.default_rng(11)
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
    folders, halfway = count(), 0
    runs = memory / f"{next(folders)}"
    for _ in range(ROUNDS):
        process = start(processes, plan, runs)
        process.join(duration * rng.uniform(0.2, 1.1))
        if process.is_alive():
            os.kill(process.pid, signals[rng.integers(3)])
            process.join()
        else:
            assert process.exitcode == 0
        found = score_bytes(runs)
        assert found.items() <= expected.items()  # whole, or not there
        halfway += 0 < len(found) < len(expected)
        if len(found) == len(expected):
            assert scan(plan, runs).record["sequences_done"] == SEQUENCES
            runs = memory / f"{next(folders)}"
    assert halfway
    assert scan(plan, runs).record["sequences_done"] == SEQUENCES
    assert score_bytes(runs) == expected


def test_two_scans_of_one_run_at_once(plan, processes, undisturbed, tmp_path):
    """Work is done twice, and nothing else happens: neither fails, and the bytes are the same."""
    for i in range(3):
        both = [start(processes, plan, tmp_path / f"{i}") for _ in range(2)]
        for process in both:
            process.join()
        assert [process.exitcode for process in both] == [0, 0]
        assert score_bytes(tmp_path / f"{i}") == undisturbed[0]
        (run,) = find_runs(tmp_path / f"{i}")
        assert run.record["sequences_done"] == SEQUENCES


def test_two_compactions_and_a_scan_at_once(plan, processes, undisturbed, tmp_path):
    run = scan(plan, tmp_path)
    rows = run.scores().collect()
    many = [processes.Process(target=compact, args=(run,)) for _ in range(2)]
    for process in many:
        process.start()
    many.append(start(processes, plan, tmp_path))
    for process in many:
        process.join()
    assert [process.exitcode for process in many] == [0, 0, 0]
    assert run.scores().collect().equals(rows)
    assert not scan(plan, tmp_path).shards_left()


def test_compaction_killed_at_any_moment(plan, processes, undisturbed, tmp_path):
    """Whatever is killed, the rows are there once, and the repeated command ends with one file."""
    first = scan(plan, tmp_path / "first")
    rows, rng = first.scores().collect(), np.random.default_rng(5)
    began = time.monotonic()
    process = processes.Process(target=compact, args=(first,))
    process.start()
    process.join()
    assert process.exitcode == 0
    duration = time.monotonic() - began
    for i in range(10):
        folder = shutil.copytree(undisturbed[2], tmp_path / f"{i}")
        (run,) = find_runs(folder)
        process = processes.Process(target=compact, args=(run,))
        process.start()
        process.join(duration * rng.uniform(0.1, 1))
        process.kill()
        process.join()
        assert run.scores().collect().equals(rows)
        compact(run)
        assert list(score_bytes(folder)) == ["merged.parquet"]
        assert run.scores().collect().equals(rows)
