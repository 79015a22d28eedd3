"""Who does the shards, and what ends them, changes nothing: equal bytes, and complete records."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from memtrace.errors import CorpusError, DataWarning, ModelError, RunError
from memtrace.runs.compact import compact
from memtrace.runs.run import find_runs, open_run
from memtrace.runs.shards import Shard, plan_shards
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.jobs import Assignments, Job, Progress, cut, shards_left
from memtrace.scanning.launch import run_job
from memtrace.scanning.plan import plan_scan
from memtrace.scanning.record import complete_record

PER_STEP, ROWS, STEPS, SHARD = 20, 100, (0, 2, 5), 10


@pytest.fixture(scope="module")
def suite(tmp_path_factory, neox_folder, remembered):
    """A manifest of one model with three checkpoints, of which the first has seen nothing."""
    folder = tmp_path_factory.mktemp("launch")
    sequences, _ = remembered(AutoModelForCausalLM.from_pretrained(neox_folder), ROWS)
    np.save(folder / "tokens.npy", sequences.astype(np.uint16))
    for step in STEPS:
        model = AutoModelForCausalLM.from_pretrained(neox_folder)
        model.gpt_neox.final_layer_norm.bias.data += step / 1000  # other bytes in each
        model.save_pretrained(folder / f"step{step}")
    model = {"name": "tiny", "path": "step{step}", "architecture": "gpt-neox", "layers": 2}
    model |= {"width": 32, "heads": 4, "vocab_size": 96, "parameters": 31_616, "dtype": "float32"}
    manifest = {"schema": 1, "suite": "toy", "title": "toy", "sequences_per_step": PER_STEP}
    manifest |= {
        "steps": list(STEPS),
        "corpora": {},
        "models": [model | {"corpus": None, "corpus_note": "own"}],
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def make_job(suite, runs, step="all", **options):
    checkpoints = find_checkpoints("tiny", step, manifest=suite / "toy.yaml")
    options = {
        "corpus": str(suite / "tokens.npy"),
        "shard_size": SHARD,
        "dtype": "float32",
        "likelihood": True,  # a value in floating point has equal bytes only if all work is equal
    } | options
    plans = [plan_scan(each, runs=runs, **options) for each in checkpoints]
    return Job(tuple(plans), command=("memtrace", "scan", "--model", "tiny"))


def score_bytes(runs):
    return {str(p.relative_to(runs)): p.read_bytes() for p in runs.rglob("*.parquet")}


def check(runs, expected):
    """Equal bytes, nothing lost, and every record complete."""
    assert score_bytes(runs) == expected
    found = find_runs(runs)
    assert [run.step for run in found] == list(STEPS)
    for run in found:
        assert run.record["sequences_done"] == run.scores().collect().height == run.step * PER_STEP


@pytest.fixture(scope="module")
def undisturbed(suite, tmp_path_factory):
    """The score files of a scan by one process that nothing interrupted."""
    runs = tmp_path_factory.mktemp("undisturbed")
    run_job(make_job(suite, runs), ["cpu"])
    found = score_bytes(runs)
    shards = [name for name in found if "/scores/" in name]
    assert len(shards) == (2 + 5) * PER_STEP // SHARD
    assert len(found) - len(shards) == len(STEPS)  # events.parquet
    check(runs, found)
    return found


@pytest.fixture(scope="module")
def undisturbed_singly(suite, tmp_path_factory):
    """The same in shards of one sequence."""
    runs = tmp_path_factory.mktemp("singly")
    run_job(make_job(suite, runs, shard_size=1), ["cpu"])
    return score_bytes(runs)


def flat(part):
    return [(index, shard) for index, shards in part for shard in shards]


@given(st.lists(st.integers(0, 60), max_size=5), st.integers(1, 7), st.integers(1, 3))
def test_parts_of_workers_and_their_processes_are_everything_once(lengths, workers, processes):
    whole = [(index, plan_shards(0, n, 7)) for index, n in enumerate(lengths)]
    parts = [cut(whole, i, workers) for i in range(workers)]
    smallest = [cut(part, j, processes) for part in parts for j in range(processes)]
    assert [each for part in smallest for each in flat(part)] == flat(whole)
    sizes = [len(flat(part)) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("workers", [2, 4])
def test_processes_of_one_machine(suite, undisturbed, tmp_path, workers):
    progress = []
    run_job(make_job(suite, tmp_path), ["cpu"] * workers, on_progress=progress.append)
    check(tmp_path, undisturbed)
    assert sum(progress) == 7 * PER_STEP
    assert min(progress) > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_worker_does_before_it_scans_is_told(suite, tmp_path, workers):
    stages = []
    run_job(make_job(suite, tmp_path, 2), ["cpu"] * workers, on_stage=stages.append)
    expected = ["fetching weights", "loading model", "calibrating", "scanning"]
    expected += ["fetching weights", "checking scores"]
    if workers == 1:
        assert stages == expected
    assert Counter(stages)["loading model"] == Counter(stages)["calibrating"] >= workers
    assert set(stages) == set(expected)


@pytest.mark.parametrize("order", list(permutations(range(3)))[1::2])
def test_three_workers_in_any_order(suite, undisturbed, tmp_path, order):
    for rank in order:
        run_job(make_job(suite, tmp_path), ["cpu"], worker=(rank, 3))
    check(tmp_path, undisturbed)


@pytest.mark.parametrize("rank", range(3))
def test_any_worker_alone_finishes_everything(suite, undisturbed, tmp_path, rank):
    run_job(make_job(suite, tmp_path), ["cpu"], worker=(rank, 3))
    check(tmp_path, undisturbed)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("rank", range(3))
def test_any_worker_alone_repairs_everything(suite, undisturbed, tmp_path, rank, merged):
    """Also what is damaged of workers that never come back, where the record says all is done."""
    runs = run_job(make_job(suite, tmp_path), ["cpu"])
    for run in runs[1:]:
        paths = [run.path(shard) for shard in run.shards()]
        if merged:
            compact(run)
            paths = [run.merged_path]
        flip_a_bit(paths[0])
        for path in paths[3:5]:
            path.unlink()
    with pytest.warns(DataWarning, match="is damaged"):
        run_job(make_job(suite, tmp_path), ["cpu"], worker=(rank, 3))
    check(tmp_path, undisturbed)


def test_workers_and_plain_scans_at_once(suite, undisturbed, tmp_path):
    """In threads, so that they meet at every moment; all write the same files."""
    errors = []

    def run(worker):
        try:
            run_job(make_job(suite, tmp_path), ["cpu"], worker=worker)
        except Exception as error:
            errors.append(error)

    workers = [(0, 3), (1, 3), (2, 3), (0, 1), (0, 1)]
    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    check(tmp_path, undisturbed)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    for run in find_runs(tmp_path):  # what each did is known, whoever wrote the record last
        assert sum(worker["sequences"] for worker in run.record["workers"]) >= run.step * PER_STEP


def interrupt_after(shards):
    """Progress that interrupts the scan while it is at the shard after so many."""
    done = []

    def on_progress(count):
        done.append(count)
        if sum(done) > shards * SHARD:
            raise KeyboardInterrupt

    return on_progress


def test_a_worker_does_its_own_part_first(suite, tmp_path):
    job = make_job(suite, tmp_path)
    own = [job.plans[index].folder / "scores" / s.file_name for index, s in flat(job.part(1, 3))]
    with pytest.raises(KeyboardInterrupt):
        run_job(job, ["cpu"], worker=(1, 3), on_progress=interrupt_after(len(own)))
    assert sorted(tmp_path.rglob("shard-*.parquet")) == sorted(own)


def test_what_a_killed_process_did_is_recorded(suite, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(suite, tmp_path, 5), ["cpu"], on_progress=interrupt_after(3))
    run = open_run(tmp_path / "suite=toy/model=tiny/step=5")
    assert [worker["sequences"] for worker in run.record["workers"]] == [3 * SHARD]
    (run,) = run_job(make_job(suite, tmp_path, 5), ["cpu"])
    assert [worker["sequences"] for worker in run.record["workers"]] == [30, 70]
    written = json.loads((run.folder / "run.json").read_text())
    assert written == run.record  # complete without the notes beside it


def test_a_damaged_note_costs_no_run(suite, tmp_path):
    (run,) = run_job(make_job(suite, tmp_path, 2), ["cpu"])
    (run.folder / "workers" / "0-0-a.json").write_text("{")
    (run.folder / "workers" / ".b.json").write_text("{}")
    assert open_run(run.folder).record == run.record


def test_an_error_in_one_process_ends_all(suite, undisturbed, tmp_path):
    """One of the tokens is outside the vocabulary; what was finished before it is kept."""
    tokens = np.load(suite / "tokens.npy")
    tokens[87, 3] = 96
    np.save(tmp_path / "tokens.npy", tokens)
    job = make_job(suite, tmp_path / "runs", 5, corpus=str(tmp_path / "tokens.npy"))
    with pytest.raises(CorpusError, match="token id 96 is outside") as caught:
        run_job(job, ["cpu", "cpu"])
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()
    kept = [path.name for path in (tmp_path / "runs").rglob("*.parquet")]
    assert "shard-00008-of-00010.parquet" not in kept
    assert shards_left(job.plans[0])


def test_what_workers_log_reaches_this_process(suite, tmp_path, caplog):
    job = make_job(suite, tmp_path, 2)
    with caplog.at_level("DEBUG", "memtrace"):
        run_job(job, ["cpu", "cpu"])
    written = [line for line in caplog.messages if line.endswith(".parquet written")]
    assert len(set(written)) == sum(len(plan.shards()) for plan in job.plans)


def test_a_process_that_is_killed_is_missed(suite, undisturbed, tmp_path):
    def kill():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RunError, match=r"ended with code -9 .* repeat the command"):
        run_job(make_job(suite, tmp_path), ["cpu", "cpu"])
    killer.join()
    assert not multiprocessing.active_children()
    run_job(make_job(suite, tmp_path), ["cpu"])
    check(tmp_path, undisturbed)


SCAN = """
import sys
from pathlib import Path
from memtrace.cli.main import main
if sys.argv[1] == "2":
    import memtrace.models.loading
    memtrace.models.loading.visible_devices = lambda _: ["cpu", "cpu"]
if __name__ == "__main__":
    main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("processes", "sent"), [(1, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGINT)]
)
def test_signals_end_a_scan_cleanly(suite, undisturbed_singly, tmp_path, processes, sent):
    """The command ends with 130, all its processes with it, and no half-written file is left.

    It has 140 shards to write, and gets the signal when the first one is there.
    """
    (tmp_path / "scan.py").write_text(SCAN)
    command = [sys.executable, str(tmp_path / "scan.py"), str(processes), "scan", "--model", "tiny"]
    command += ["--manifest", str(suite / "toy.yaml"), "--corpus", str(suite / "tokens.npy")]
    command += ["--step", "all", "--runs", str(tmp_path / "runs"), "--dtype", "float32"]
    command += ["--shard-size", "1", "--likelihood"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parent,
    )
    while process.poll() is None and not list(tmp_path.rglob("shard-*.parquet")):
        time.sleep(0.01)
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does
    else:
        process.send_signal(sent)
    _, told = process.communicate()  # until every process has closed stderr: all have ended
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("Interrupted")
    assert 0 < len(list(tmp_path.rglob("shard-*.parquet"))) < 7 * PER_STEP
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    runs = run_job(make_job(suite, tmp_path / "runs", shard_size=1), ["cpu"])
    assert score_bytes(tmp_path / "runs") == undisturbed_singly
    assert [run.record["sequences_done"] for run in runs] == [s * PER_STEP for s in STEPS]


def test_equal_weights_of_two_steps_scanned_at_once_are_found_at_the_end(suite, tmp_path):
    """Neither was there when the other one began."""
    job = make_job(suite, tmp_path, allow_known_bad=True)
    same = replace(job.plans[2].checkpoint, source=job.plans[1].checkpoint.source)
    plans = (job.plans[1], replace(job.plans[2], checkpoint=same))
    run_job(replace(job, plans=plans), ["cpu"])
    open_run(plans[1].folder).update(sequences_done=0)
    with pytest.raises(ModelError, match="byte-identical to those of step 2"):
        complete_record(replace(plans[1], allow_known_bad=False))
    assert open_run(plans[1].folder).record["sequences_done"] == 0


@pytest.mark.parametrize("text", ["1", "3/3", "-1/3", "1/0", "a/b", "1/2/3", "0.5/2", ""])
def test_workers_that_cannot_be(memtrace_cli, text):
    result = memtrace_cli("scan", "--model", "demo", "--worker", text)
    assert result.exit_code == 2
    assert "0 <= I < N" in result.stderr


def test_workers_that_cannot_be_in_the_library(suite, tmp_path):
    with pytest.raises(RunError, match="worker 3/3"):
        run_job(make_job(suite, tmp_path), ["cpu"], worker=(3, 3))


def test_the_command_that_finishes_it_names_no_worker(suite, memtrace_cli, tmp_path):
    command = ["scan", "--model", "tiny", "--manifest", suite / "toy.yaml", "--worker", " 1/2"]
    command += ["--step", "2", "--corpus", suite / "tokens.npy", "--runs", tmp_path]
    result = memtrace_cli("--quiet", *command)
    assert result.exit_code == 0, result.output
    (run,) = find_runs(tmp_path)
    assert "--worker" not in run.command
    assert "--step 2" in run.command


def test_progress_counts_each_sequence_once(suite, tmp_path):
    job, told = make_job(suite, tmp_path), []
    progress = Progress(job.plans, told.append)
    shard = job.plans[2].shards()[3]
    for sequences in (4, 4, 4, SHARD):
        progress.add(2, shard, sequences)
    assert told == [4, 4, 2]


def test_assignments_are_everything_once(suite, tmp_path):
    """Whatever fails and is put back, whoever asks next."""
    job, rng = make_job(suite, tmp_path), np.random.default_rng(3)
    shards: list[tuple[int, Shard | None]] = [(0, None)]
    shards += [(index, shard) for index in (1, 2) for shard in job.plans[index].shards()]
    for _ in range(50):
        assignments = Assignments(job, Progress(job.plans, lambda _: None))
        out, done, ended = [], [], []
        while out or len(done) < len(shards):
            if taken := assignments.take(int(rng.integers(-1, 3))):
                out.append(taken)
            if out and rng.random() < 0.6:
                one = out.pop(rng.integers(len(out)))
                if rng.random() < 0.3:
                    assignments.requeue(one)
                    continue
                done.append(one)
                if assignments.finish(one):
                    ended.append(one[0])
        assert sorted(done, key=str) == sorted(shards, key=str)
        assert sorted(ended) == [0, 1, 2]
        assert assignments.take(0) is None
