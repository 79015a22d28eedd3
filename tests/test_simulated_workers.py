"""Worker processes and Ray actors, each with a simulated CUDA device: the bytes of a CPU's run."""

import os
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import pytest
from simulated_cuda.simulation import load_guard
from test_launch import make_job, score_bytes, suite  # noqa: F401

from memtrace.runs.run import find_runs
from memtrace.scanning import ray as ray_engine
from memtrace.scanning.launch import run_job

TESTS = Path(__file__).parent
SHARD = 50
OPTIONS = {"shard_size": SHARD, "likelihood": False}  # numbers of a device are those of no other


@pytest.fixture(scope="module")
def simulated_everywhere(compiled):
    """Every Python process that is started now finds two simulated devices."""
    load_guard(compiled)
    paths = [TESTS / "simulated_cuda" / "site", TESTS, TESTS.parent]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMULATED_CUDA", str(compiled))
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
        yield


@pytest.fixture(scope="module")
def on_cpu(suite, tmp_path_factory):  # noqa: F811
    runs = tmp_path_factory.mktemp("cpu")
    run_job(make_job(suite, runs, 5, **OPTIONS), ["cpu"])
    return score_bytes(runs)


def check(runs, expected, processes):
    """Equal bytes, by one of these numbers of processes, each with a device."""
    assert score_bytes(runs) == expected
    (run,) = find_runs(runs)
    workers = run.record["workers"]
    assert {each["device"] for each in workers} == {"simulated CUDA device"}
    # A process that helps another one logs again; both may have done a shard.
    assert len({each["process"].split("-")[1] for each in workers}) in processes
    assert sum(each["sequences"] for each in workers) >= run.record["sequences_done"] == 2 * SHARD


@pytest.mark.parametrize(("more", "processes"), [([], [1, 2]), (["--spread"], [1])])
def test_the_command_gives_a_process_to_each_device_or_all_to_one(
    suite,  # noqa: F811
    on_cpu,
    simulated_everywhere,
    tmp_path,
    more,
    processes,
):
    if more:
        pytest.importorskip("accelerate")
    options = {
        "--model": "tiny",
        "--step": 5,
        "--manifest": suite / "toy.yaml",
        "--corpus": suite / "tokens.npy",
        "--runs": tmp_path,
        "--shard-size": SHARD,
        "--dtype": "float32",
        "--device": "cuda",
    }
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "memtrace", "scan", *words, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(tmp_path, on_cpu, processes)  # one may have helped before the other began


def test_a_ray_actor_takes_each_gpu(suite, on_cpu, simulated_everywhere, tmp_path):  # noqa: F811
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setattr(ray, "init", partial(ray.init, num_cpus=1, num_gpus=2))
        warnings.simplefilter("ignore")  # of Ray's own
        job = make_job(suite, tmp_path, 5, **OPTIONS)
        ray_engine.run_on_ray(job, device="auto")
    check(tmp_path, on_cpu, processes=[1, 2])  # one may be done before the other is placed
