"""Many shards on a Ray cluster: an actor for each GPU, shards handed out as they finish.

It knows Ray; what an actor does with a shard is known by `launch`. Every node needs memtrace, the
corpus under the same path or address, and a folder of runs that all of them share.
"""

import logging
import os
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from memtrace.downloads import fetch_ahead
from memtrace.errors import RunError, first_line
from memtrace.jobs import Assignment, Assignments, Job, Tally
from memtrace.launch import Sitting, complete_record
from memtrace.runs import Run, open_run

ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Variable of Ray that is 0 where it is to listen on 127.0.0.1 alone, on any system."""
MOST_DEATHS = 3
"""Actors that may die over one shard, before it is the shard that is suspected."""


def run_on_ray(
    job: Job,
    *,
    device: str = "auto",
    address: str | None = None,
    actors: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Run]:
    """Begin or go on with planned scans, and finish them on a Ray cluster.

    An actor that dies is replaced, and its shard handed out again.

    Args:
        job: What to do.
        device: `cuda`, `cpu`, or `auto`: GPUs where the cluster has any.
        address: The cluster; by default that of `RAY_ADDRESS`, else one started on this machine.
        actors: How many; by default one for each GPU, without GPUs one for each node.
        on_progress: Called with the number of sequences done since the last call.

    Returns:
        The runs, in the order of the plans; all are finished.

    Raises:
        ModelError, CorpusError: As an actor raised it; finished shards are kept.
        RunError: Ray is not installed or not to be reached, or a shard ended three actors.
    """
    with _connected(address) as ray:
        gpus = 0 if device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
        if device == "cuda" and not gpus:
            raise RunError(
                "device cuda asked for, but the Ray cluster has no GPU; use --device cpu"
            )
        nodes = sum(node["Alive"] for node in ray.nodes())
        cpus = int(ray.cluster_resources().get("CPU", 1))
        count = actors or gpus or nodes
        share = cpus // count or cpus / count  # Ray takes a fraction only below 1
        options = {"num_gpus": 1} if gpus else {"num_gpus": 0, "num_cpus": share}
        remote = ray.remote(**options)(Actor)
        assignments = Assignments(job, Tally(job.plans, on_progress))
        crew = _Crew(ray, lambda: remote.remote(job, "cuda:0" if gpus else "cpu"), assignments)
        crew.work(count)
    for plan in job.plans:
        if not complete_record(plan):
            raise RunError(
                f"{plan.folder} has lost score files while it was scanned: find out who deletes "
                "there, then repeat the command"
            )
    return [open_run(plan.folder) for plan in job.plans]


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Use the cluster at an address, or one of this machine's own that no other one can reach."""
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        # Read when Ray is imported. Without it Ray listens on every interface, to anyone: it takes
        # 127.0.0.1, where it is asked for, for the machine's outer address.
        os.environ.setdefault(ALONE, "0")
    try:
        import ray
    except ImportError as error:
        raise RunError(
            "--engine ray needs Ray: pip install 'memtrace-llm[ray]', or use --engine local"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        # Ray takes SIGTERM for itself; here it ends the scan as Ctrl-C does.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(
            f"no Ray cluster at {address or 'local'}: {first_line(error)}; check --address"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


class Actor:
    """One process of the cluster with one device; it keeps the engine of its last checkpoint."""

    def __init__(self, job: Job, device: str) -> None:
        """Begin with no checkpoint."""
        self._job, self._device = job, device
        self._place = -1
        self._sitting: Sitting | None = None

    def scan(self, assignment: Assignment) -> list[Warning]:
        """Scan one shard; return the warnings that came up, which only the driver can show."""
        place, shard = assignment
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            if self._sitting is None or place != self._place:
                self._sitting = None  # first, so that two models never need room at once
                (weights,) = fetch_ahead([self._job.plans[place]], [[shard] if shard else []])
                self._sitting = Sitting(self._job, place, weights, self._device)
                self._place = place
            if shard is not None:
                self._sitting.scan(shard, lambda *_: None)
                self._sitting.settle()  # what is handed in is on disk
        return [each.message for each in caught if isinstance(each.message, Warning)]


class _Crew:
    """Actors at work."""

    def __init__(self, ray: Any, hire: Callable[[], Any], assignments: Assignments) -> None:
        self._ray, self._hire, self._assignments = ray, hire, assignments
        self._busy: dict[Any, tuple[Any, Assignment]] = {}
        self._deaths: Counter[Assignment] = Counter()

    def work(self, count: int) -> None:
        """Hand out everything to so many actors, and return when it is done."""
        assignments = self._assignments
        for _ in range(count):
            if assignment := assignments.take(-1):
                self._assign(self._hire(), assignment)
        while self._busy:
            (ready,), _ = self._ray.wait(list(self._busy), num_returns=1)
            actor, assignment = self._busy.pop(ready)
            if not self._hear(ready, assignment):
                self._ray.kill(actor)  # where it is only out of reach
                actor = self._hire()
                assignments.give_back(assignment)
            elif assignments.finish(assignment):
                complete_record(assignments.plans[assignment[0]])
            if following := assignments.take(assignment[0]):
                self._assign(actor, following)

    def _assign(self, actor: Any, assignment: Assignment) -> None:
        self._busy[actor.scan.remote(assignment)] = actor, assignment

    def _hear(self, ready: Any, assignment: Assignment) -> bool:
        """Return whether the actor has done its shard, and lives."""
        try:
            found: list[Warning] = self._ray.get(ready)
        except self._ray.exceptions.RayActorError as error:
            self._deaths[assignment] += 1
            if self._deaths[assignment] == MOST_DEATHS:
                raise self._suspect(assignment, error) from error
            return False
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        for warning in found:
            warnings.warn(warning, stacklevel=2)
        return True

    def _suspect(self, assignment: Assignment, error: Exception) -> RunError:
        checkpoint = self._assignments.plans[assignment[0]].checkpoint
        shard = assignment[1].file_name if assignment[1] else "the beginning"
        return RunError(
            f"{shard} of {checkpoint.model} step {checkpoint.step} has ended {MOST_DEATHS} actors "
            f"({first_line(error)}): see whether the nodes are short of memory, or take a smaller "
            "--batch-size; finished shards are kept"
        )
