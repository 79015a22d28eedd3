"""A scan on a Ray cluster of this machine: equal bytes, and actors that are lost are replaced."""

import logging
import os
import shutil
import signal
import sys
import time
import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from test_launch import (  # noqa: F401
    PER_STEP,
    SHARD,
    check,
    make_job,
    score_bytes,
    suite,
    undisturbed,
)

from memtrace.errors import CapacityWarning, CorpusError, RunError
from memtrace.scanning import ray as ray_engine
from memtrace.scanning.jobs import Assignments, Progress


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all tests, as the scan starts it where no address is given."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'memtrace-llm[ray]'")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.delenv("RAY_ADDRESS", raising=False)
        warnings.simplefilter("ignore")  # of Ray's own
        with ray_engine.connect(None) as ray:
            yield ray


def test_nothing_outside_this_machine_can_reach_it(cluster):
    assert [node["NodeManagerAddress"] for node in cluster.nodes()] == ["127.0.0.1"]


@pytest.mark.parametrize("actors", [1, 2])
def test_actors_of_which_one_is_killed(
    suite,  # noqa: F811
    undisturbed,  # noqa: F811
    cluster,
    tmp_path,
    monkeypatch,
    actors,
    caplog,
):
    """SIGKILL in the middle: the actor is replaced, and its shard handed out again."""
    caplog.set_level(logging.DEBUG, "memtrace")
    marker = tmp_path / "killed"

    class Mortal(ray_engine.Actor):
        def scan(self, assignment):
            index, shard = assignment
            if index == 2 and shard.number == 4 and not marker.exists():
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
    written = [line for line in caplog.messages if line.endswith("written")]
    assert len(set(written)) == 7 * PER_STEP // SHARD
    again = make_job(suite, tmp_path / "runs", eos_rule="mask-eos")
    with pytest.raises(RunError, match="eos_rule: none -> mask-eos"):
        ray_engine.run_on_ray(again, device="cpu", actors=1)


def test_a_shard_that_ends_every_actor(suite, cluster, tmp_path, monkeypatch):  # noqa: F811
    class Mortal(ray_engine.Actor):
        def scan(self, assignment):
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ray_engine, "Actor", Mortal)
    job = make_job(suite, tmp_path, 2, shard_size=100)
    with pytest.raises(RunError, match=r"3 actors ended at shard-00000-of-00001.* step 2") as told:
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


class FakeRay:
    """Of its actors, the first so many that live have a place; the others are pending."""

    def __init__(self, ray, places, does=lambda *_: None):
        self.exceptions, self.places, self.does = ray.exceptions, places, does
        self.spawned, self.alive, self.calls, self.waits = 0, [], {}, []

    def spawn(self):
        self.spawned += 1
        number = self.spawned

        def call(*given):
            ref = object()
            self.calls[ref] = (number, *given)
            return ref

        self.alive.append(number)
        method = SimpleNamespace(remote=call)
        return SimpleNamespace(number=number, ready=method, scan=method)

    def wait(self, refs, num_returns, timeout):
        placed = self.alive[: self.places]
        done = [ref for ref in refs if self.calls[ref][0] in placed]
        assert done or timeout, "waits for ever"
        self.waits.append(timeout)
        if not done:
            self.places = 1
        return done[:num_returns], refs

    def get(self, ref):
        return self.does(self, *self.calls[ref]) or []

    def kill(self, actor):
        self.alive.remove(actor.number)

    def cluster_resources(self):
        return {"CPU": 4.0}

    def available_resources(self):
        return {}


@pytest.fixture
def work(suite, cluster, tmp_path):  # noqa: F811
    """Do the ten shards of step 5 in a cluster that only seems to be one."""

    def do(count, places, *does):
        done = []
        job, fake = make_job(suite, tmp_path, 5), FakeRay(cluster, places, *does)
        assignments = Assignments(job, Progress(job.plans, done.append))
        pool = ray_engine.ActorPool(fake, fake.spawn, assignments, {"num_cpus": 2})
        assert list(pool.run(count)) == [0]
        assert sum(done) == 5 * PER_STEP
        assert not fake.alive
        return fake

    return do


@pytest.mark.parametrize(("count", "places"), [(2, 1), (4, 2), (30, 3)])
def test_actors_that_are_never_placed_hold_nothing(work, count, places):
    assert work(count, places).spawned == min(count, 10)


def test_a_node_that_is_lost_for_good(work, cluster):
    """Its actor is dead, and the next one pending until the other one has nothing left."""

    def does(fake, actor, *given):
        if actor == 2 and given:
            fake.places = 1
            raise cluster.exceptions.NodeDiedError("lost")

    assert work(2, 2, does).spawned == 3


@pytest.mark.parametrize(
    "name",
    ["OutOfMemoryError", "WorkerCrashedError", "ActorUnschedulableError", "RuntimeEnvSetupError"],
)
def test_whatever_ends_an_actor_it_is_replaced(work, cluster, name):
    """Of Ray's errors only some are of its RayActorError."""
    error = getattr(cluster.exceptions, name)("no more\nthan this")

    def once(fake, actor, *given):
        if actor == 1 and given:
            raise error

    def always(fake, actor, *given):
        if given and given[0][1].number == 7:
            raise error

    def never(fake, actor, *given):
        raise error

    assert work(1, 1, once).spawned == 2
    with pytest.raises(RunError, match=r"3 actors ended at shard-00007-of-00010.* \(.*") as told:
        work(1, 1, always)
    assert "\n" not in str(told.value)
    with pytest.raises(RunError, match=r"3 actors in a row ended before they began"):
        work(2, 1, never)


def test_a_cluster_without_room_is_told_once(work):
    """It may get room: the scan waits."""
    told = r"no room for an actor of 2 CPU: 0 of its 4 CPU are free"
    with pytest.warns(CapacityWarning, match=told) as caught:
        assert work(2, 0).waits[:2] == [ray_engine.PLACEMENT_TIMEOUT, None]
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("cpus", "actors", "expected"),
    [
        ([8], None, (1, 8)),
        ([3, 1], None, (2, 1)),  # of unequal nodes the smallest
        ([0, 4, 4], None, (2, 4)),  # a head that only leads
        ([4, None], None, (1, 4)),  # a node that is gone
        ([8], 2, (2, 4)),
        ([3, 1], 5, (5, 1 / 3)),
        ([2], 4, (4, 1 / 2)),
        ([0], None, (1, 1)),
    ],
)
def test_shares_that_all_fit(cpus, actors, expected):
    nodes = [
        {"Alive": each is not None, "Resources": {"CPU": float(each)} if each else {}}
        for each in cpus
    ]
    count, options = ray_engine.actor_resources(SimpleNamespace(nodes=lambda: nodes), actors)
    assert (count, options["num_cpus"]) == expected


@pytest.fixture
def larger_node(cluster):
    """A second node of this machine, with more CPUs than the first one has."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    address = cluster.get_runtime_context().gcs_address
    params = RayParams(
        gcs_address=address,
        redis_address=address,
        node_ip_address="127.0.0.1",
        num_cpus=int(cluster.cluster_resources()["CPU"]) + 2,
        num_gpus=0,
        object_store_memory=150 << 20,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
        include_log_monitor=False,
        dashboard_agent_listen_port=None,
    )
    node = Node(params, head=False, shutdown_at_exit=False, spawn_reaper=False)
    while len(cluster.nodes()) < 2:
        time.sleep(0.05)
    yield node
    node.kill_all_processes(check_alive=False, allow_graceful=True, wait=True)


def test_nodes_of_unequal_size(suite, undisturbed, cluster, larger_node, tmp_path):  # noqa: F811
    assert {node["NodeManagerAddress"] for node in cluster.nodes()} == {"127.0.0.1"}
    ray_engine.run_on_ray(make_job(suite, tmp_path), device="cpu")
    check(tmp_path, undisturbed)


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
