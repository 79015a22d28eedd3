"""A scan on a Ray cluster of this machine: equal bytes, and actors that are lost are replaced."""

import os
import shutil
import signal
import sys
import warnings
from importlib.util import find_spec

import pytest
from test_launch import PER_STEP, check, make_job, score_bytes, suite, undisturbed  # noqa: F401

from memtrace import ray_engine
from memtrace.errors import CapacityWarning, CorpusError, RunError


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all tests, as the scan starts it where no address is given."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'memtrace-llm[ray]'")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.delenv("RAY_ADDRESS", raising=False)
        warnings.simplefilter("ignore")  # of Ray's own
        with ray_engine._connected(None) as ray:
            yield ray


def test_nothing_outside_this_machine_can_reach_it(cluster):
    assert [node["NodeManagerAddress"] for node in cluster.nodes()] == ["127.0.0.1"]


@pytest.mark.parametrize("actors", [2, 4])
def test_actors_of_which_one_is_killed(suite, undisturbed, cluster, tmp_path, monkeypatch, actors):  # noqa: F811
    """SIGKILL in the middle: the actor is replaced, and its shard handed out again."""
    marker = tmp_path / "killed"

    class Mortal(ray_engine.Actor):
        def scan(self, assignment):
            place, shard = assignment
            if place == 2 and shard.number == 4 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().scan(assignment)

    if actors == 2:
        monkeypatch.setattr(ray_engine, "Actor", Mortal)
    progress, job = [], make_job(suite, tmp_path / "runs")
    ray_engine.run_on_ray(job, device="cpu", actors=actors, on_progress=progress.append)
    assert marker.exists() == (actors == 2)
    check(tmp_path / "runs", undisturbed)
    assert sum(progress) == 7 * PER_STEP
    again = make_job(suite, tmp_path / "runs", eos_rule="mask-eos")
    with pytest.raises(RunError, match="eos_rule: none -> mask-eos"):
        ray_engine.run_on_ray(again, device="cpu", actors=1)


def test_a_shard_that_ends_every_actor(suite, cluster, tmp_path, monkeypatch):  # noqa: F811
    class Mortal(ray_engine.Actor):
        def scan(self, assignment):
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ray_engine, "Actor", Mortal)
    job = make_job(suite, tmp_path, 2, shard_size=100)
    with pytest.raises(RunError, match=r"shard-00000-of-00001.* step 2 has ended 3 actors") as told:
        ray_engine.run_on_ray(job, device="cpu", actors=1)
    assert "\n" not in str(told.value)
    assert not score_bytes(tmp_path)


def test_what_an_actor_raises_or_warns_of_is_told_here(suite, cluster, tmp_path, monkeypatch):  # noqa: F811
    class Complaining(ray_engine.Actor):
        def scan(self, assignment):
            if assignment[1].number == 1:
                raise CorpusError("token id 96 is outside")
            return [CapacityWarning("too small")]

    monkeypatch.setattr(ray_engine, "Actor", Complaining)
    with pytest.warns(CapacityWarning, match="too small"):
        with pytest.raises(CorpusError, match=r"^token id 96 is outside$"):
            ray_engine.run_on_ray(make_job(suite, tmp_path, 2), device="cpu", actors=1)


def test_other_weights_than_those_of_a_complete_run(suite, cluster, tmp_path):  # noqa: F811
    """A local folder is hashed again, as without Ray."""
    changed = shutil.copytree(suite, tmp_path / "suite")
    ray_engine.run_on_ray(make_job(changed, tmp_path / "runs", 2), device="cpu", actors=1)
    shutil.copy(changed / "step5" / "model.safetensors", changed / "step2")
    with pytest.raises(RunError, match=r"another configuration \(weight_digest: "):
        ray_engine.run_on_ray(make_job(changed, tmp_path / "runs", 2), device="cpu", actors=1)


def test_gpus_that_the_cluster_has_not(suite, cluster, tmp_path):  # noqa: F811
    with pytest.raises(RunError, match="has no GPU; use --device cpu"):
        ray_engine.run_on_ray(make_job(suite, tmp_path, 2), device="cuda")


def test_without_ray(memtrace_cli, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = memtrace_cli("scan", "--model", "demo", "--engine", "ray", "--runs", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "pip install 'memtrace-llm[ray]'" in result.stderr


@pytest.mark.parametrize(
    "options",
    ["--address auto", "--engine ray --worker 0/2", "--engine ray --drop-weights", "--engine dask"],
)
def test_options_that_do_not_go_together(memtrace_cli, options):
    assert memtrace_cli("scan", "--model", "demo", *options.split()).exit_code == 2
