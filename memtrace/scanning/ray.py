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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from memtrace.errors import CapacityWarning, RunError, first_line
from memtrace.runs.run import Run
from memtrace.scanning.downloads import fetch_ahead
from memtrace.scanning.jobs import Assignment, Assignments, Job, Tally
from memtrace.scanning.launch import Sitting, complete_record, completed

ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Variable of Ray that is 0 where it is to listen on 127.0.0.1 alone, on any system."""
MOST_DEATHS = 3
"""Actors that may die over one shard, before it is the shard that is suspected."""
PATIENCE = 60.0
"""Seconds without any actor in its place, before the cluster is said to have no room."""


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
        count, options = (actors or gpus, {"num_gpus": 1}) if gpus else _shares(ray, actors)
        remote = ray.remote(**options)(Actor)
        assignments = Assignments(job, Tally(job.plans, on_progress))
        crew = _Crew(
            ray, lambda: remote.remote(job, "cuda:0" if gpus else "cpu"), assignments, options
        )
        crew.work(count)
    return [completed(plan) for plan in job.plans]


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


def _shares(ray: Any, actors: int | None) -> tuple[int, dict[str, float]]:
    """Return how many actors are to share the CPUs, and as how much of a node each.

    So many that all of them fit, where nothing else runs: the smallest node sets the share.
    """
    found = (node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    cpus = [int(each) for each in found if each >= 1] or [1]
    count = actors or len(cpus)
    on_each = -(-count // len(cpus))
    share = min(cpus) // on_each or min(cpus) / on_each  # Ray takes a fraction only below 1
    return count, {"num_cpus": share, "num_gpus": 0}


class Actor:
    """One process of the cluster with one device; it keeps the engine of its last checkpoint."""

    def __init__(self, job: Job, device: str) -> None:
        """Begin with no checkpoint."""
        self._job, self._device = job, device
        self._place = -1
        self._sitting: Sitting | None = None

    def ready(self) -> list[Warning]:
        """Answer, which is possible once Ray has found a place for it."""
        return []

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
    """Actors at work, and those that wait for a place in the cluster, which hold no shard."""

    def __init__(
        self,
        ray: Any,
        hire: Callable[[], Any],
        assignments: Assignments,
        options: Mapping[str, float],
    ) -> None:
        self._ray, self._hire, self._assignments = ray, hire, assignments
        self._options = options
        self._busy: dict[Any, tuple[Any, Assignment | None]] = {}
        self._deaths: Counter[Assignment | None] = Counter()
        self._told = False

    def work(self, count: int) -> None:
        """Hand out everything to at most so many actors, and return when it is done."""
        try:
            for _ in range(min(count, self._assignments.count())):
                self._add()
            while self._assignments.count() or self._at_work():
                self._go_on()
        finally:
            for actor, _ in self._busy.values():  # where work is done, only those without a place
                self._ray.kill(actor)

    def _go_on(self) -> None:
        """Hear one actor, and give it what is next; let it go where that is nothing."""
        ready = self._wait()
        actor, assignment = self._busy.pop(ready)
        lives = self._hear(ready, assignment)
        if not lives:
            self._add()
            if assignment:
                self._assignments.give_back(assignment)
        elif assignment and self._assignments.finish(assignment):
            complete_record(self._assignments.plans[assignment[0]])
        following = self._assignments.take(assignment[0] if assignment else -1) if lives else None
        if following:
            self._busy[actor.scan.remote(following)] = actor, following
        else:
            self._ray.kill(actor)  # it may only be out of reach, and its place is wanted

    def _add(self) -> None:
        actor = self._hire()
        self._busy[actor.ready.remote()] = actor, None

    def _at_work(self) -> bool:
        return any(assignment for _, assignment in self._busy.values())

    def _wait(self) -> Any:
        """Return the next answer; tell, once, where no actor has found a place for long."""
        seconds = None if self._told or self._at_work() else PATIENCE
        ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=seconds)
        if not ready:
            self._told = True
            warnings.warn(self._no_room(), stacklevel=2)
            return self._wait()
        return ready[0]

    def _no_room(self) -> CapacityWarning:
        option, asked = next(iter(self._options.items()))
        kind = option.removeprefix("num_").rstrip("s").upper()
        there, free = (
            found.get(kind, 0)
            for found in (self._ray.cluster_resources(), self._ray.available_resources())
        )
        return CapacityWarning(
            f"the Ray cluster has no room for an actor of {asked:g} {kind}: of its {there:g} "
            f"{kind}, {free:g} are free; the scan waits: end what else runs there, or add a node"
        )

    def _hear(self, ready: Any, assignment: Assignment | None) -> bool:
        """Return whether the actor has found its place or done its shard, and lives."""
        try:
            found: list[Warning] = self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:  # killed for memory, lost with its node, ...
            self._deaths[assignment] += 1
            if self._deaths[assignment] == MOST_DEATHS:
                raise self._suspect(assignment, error) from error
            return False
        if assignment is None:
            self._deaths[None] = 0  # the cluster can start them
        for warning in found:
            warnings.warn(warning, stacklevel=2)
        return True

    def _suspect(self, assignment: Assignment | None, error: Exception) -> RunError:
        if assignment is None:
            return RunError(
                f"{MOST_DEATHS} actors in a row have ended before they began "
                f"({first_line(error)}): see whether the nodes are short of memory or lack memtrace"
            )
        checkpoint = self._assignments.plans[assignment[0]].checkpoint
        shard = assignment[1].file_name if assignment[1] else "the beginning"
        return RunError(
            f"{shard} of {checkpoint.model} step {checkpoint.step} has ended {MOST_DEATHS} actors "
            f"({first_line(error)}): see whether the nodes are short of memory, or take a smaller "
            "--batch-size; finished shards are kept"
        )
