"""Many shards on a Ray cluster: an actor for each GPU, shards handed out as they finish.

Every node needs memtrace, the corpus under the same path or address, and a folder of runs that all
of them share.
"""

import logging
import os
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from memtrace.errors import CapacityWarning, RunError, first_line
from memtrace.runs.run import Run
from memtrace.scanning.downloads import prefetch_weights
from memtrace.scanning.jobs import Assignment, Assignments, Job, Progress
from memtrace.scanning.record import complete_record, completed
from memtrace.scanning.worker import CheckpointScan, Known

logger = logging.getLogger("memtrace")
Messages = Sequence[Warning | logging.LogRecord]

LOCAL_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable that makes it listen on 127.0.0.1 only where it is 0, on any system."""
MAX_ATTEMPTS = 3
"""Actors that may die over one shard, before the scan ends."""
PLACEMENT_TIMEOUT = 60.0
"""Seconds without any actor placed on a node, before a warning says that there is no room."""


def run_on_ray(
    job: Job,
    *,
    device: str = "auto",
    address: str | None = None,
    actors: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> list[Run]:
    """Begin or go on with planned scans, and finish them on a Ray cluster.

    An actor that dies is replaced, and its shard handed out again.

    Args:
        job: What to do.
        device: `cuda`, `cpu`, or `auto`: GPUs where the cluster has any.
        address: The cluster; by default that of `RAY_ADDRESS`, else one started on this machine.
        actors: How many; by default one for each GPU, without GPUs one for each node.
        on_progress: Called with the number of sequences done since the last call.
        on_stage: Called with what is done now: `starting Ray`, `scanning`.

    Returns:
        The runs, in the order of the plans; all are finished.

    Raises:
        ModelError, CorpusError: As an actor raised it; finished shards are kept.
        RunError: Ray is not installed or not to be reached, or a shard ended three actors.
    """
    on_stage("starting Ray")
    with connect(address) as ray:
        on_stage("scanning")
        gpus = 0 if device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
        if device == "cuda" and not gpus:
            raise RunError(
                "device cuda asked for, but the Ray cluster has no GPU; use --device cpu"
            )
        count, options = (actors or gpus, {"num_gpus": 1}) if gpus else actor_resources(ray, actors)
        remote = ray.remote(**options)(Actor)
        assignments = Assignments(job, Progress(job.plans, on_progress))
        device = "cuda:0" if gpus else "cpu"
        level = logger.getEffectiveLevel()
        pool = ActorPool(ray, lambda: remote.remote(job, device, level), assignments, options)
        for index in pool.run(count):
            complete_record(job.plans[index])
    return [completed(plan) for plan in job.plans]


@contextmanager
def connect(address: str | None) -> Iterator[Any]:
    """Use the cluster at an address, or start one that only this machine can reach.

    Yields:
        The module `ray`, connected.

    Raises:
        RunError: Ray is not installed, or the cluster cannot be reached.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if not address:
        # Ray reads it on import. Without it Ray replaces 127.0.0.1 by the machine's outer address
        # and listens on every interface, to anyone.
        os.environ.setdefault(LOCAL_ONLY, "0")
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
        # Ray installs its own handler of SIGTERM; here SIGTERM ends the scan as Ctrl-C does.
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


def actor_resources(ray: Any, actors: int | None) -> tuple[int, dict[str, float]]:
    """Return how many actors to start, and the resources that each of them asks for.

    All of them fit at once where nothing else runs: the smallest node sets the CPUs of each.
    """
    found = (node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    cpus = [int(each) for each in found if each >= 1] or [1]
    count = actors or len(cpus)
    on_each = -(-count // len(cpus))
    share = min(cpus) // on_each or min(cpus) / on_each  # Ray takes a fraction only below 1
    return count, {"num_cpus": share, "num_gpus": 0}


class Actor:
    """One process of the cluster with one device; it keeps the engine of its last checkpoint."""

    def __init__(self, job: Job, device: str, level: int) -> None:
        """Begin with no checkpoint, and log from `level` on."""
        self._job, self._device = job, device
        self._index = -1
        self._scan: CheckpointScan | None = None
        self._known: Known = {}
        self._progress = Progress(job.plans, lambda _: None)  # the driver counts whole shards
        self._log = _Kept()
        logger.setLevel(level)
        logger.propagate = False
        logger.addHandler(self._log)

    def ready(self) -> Messages:
        """Return once Ray has placed the actor on a node."""
        return []

    def scan(self, assignment: Assignment) -> Messages:
        """Scan one shard; return warnings and what was logged, which only the driver can show."""
        index, shard = assignment
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            if self._scan is None or index != self._index:
                self._scan = None  # first, so that two models are never in memory at once
                (weights,) = prefetch_weights([self._job.plans[index]], [[shard] if shard else []])
                self._scan = CheckpointScan(self._job, index, weights, self._device, self._known)
                self._index = index
            if shard is not None:
                self._scan.scan(shard, self._progress)
                self._scan.finish_writing()  # a shard that is reported as done is on disk
        warned = [each.message for each in caught if isinstance(each.message, Warning)]
        return [*self._log.taken(), *warned]


class _Kept(logging.Handler):
    """Keeps what is logged until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        self._records.append(record)

    def taken(self) -> list[logging.LogRecord]:
        taken, self._records = self._records, []
        return taken


class ActorPool:
    """Actors at work, and actors that wait to be placed on a node, which hold no shard."""

    def __init__(
        self,
        ray: Any,
        spawn: Callable[[], Any],
        assignments: Assignments,
        options: Mapping[str, float],
    ) -> None:
        """Begin with no actor.

        Args:
            ray: The module `ray`, connected.
            spawn: Starts an actor and returns its handle.
            assignments: What the actors are to do.
            options: The resources that an actor asks for.
        """
        self._ray, self._spawn, self._assignments = ray, spawn, assignments
        self._options = options
        self._pending: dict[Any, tuple[Any, Assignment | None]] = {}
        self._deaths: Counter[Assignment | None] = Counter()
        self._warned = False

    def run(self, count: int) -> Iterator[int]:
        """Hand out all assignments to at most `count` actors.

        Yields:
            The index of each plan whose shards are all done.

        Raises:
            ModelError, CorpusError: As an actor raised it.
            RunError: Actors died at one shard again and again.
        """
        try:
            for _ in range(min(count, self._assignments.count())):
                self._add()
            while self._assignments.count() or self._is_working():
                yield from self._step()
        finally:
            for actor, _ in self._pending.values():  # at the end, only those not placed
                self._ray.kill(actor)

    def _step(self) -> Iterator[int]:
        """Receive one actor's result and give it its next assignment; without one it ends."""
        ready = self._wait()
        actor, assignment = self._pending.pop(ready)
        alive = self._receive(ready, assignment)
        if not alive:
            self._add()
            if assignment:
                self._assignments.requeue(assignment)
        elif assignment and self._assignments.finish(assignment):
            yield assignment[0]
        following = self._assignments.take(assignment[0] if assignment else -1) if alive else None
        if following:
            self._pending[actor.scan.remote(following)] = actor, following
        else:
            self._ray.kill(actor)  # it may only be out of reach, and its resources are needed

    def _add(self) -> None:
        actor = self._spawn()
        self._pending[actor.ready.remote()] = actor, None

    def _is_working(self) -> bool:
        return any(assignment for _, assignment in self._pending.values())

    def _wait(self) -> Any:
        """Return the next finished call; warn once where no actor is placed for long."""
        seconds = None if self._warned or self._is_working() else PLACEMENT_TIMEOUT
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=seconds)
        if not ready:
            self._warned = True
            warnings.warn(self._no_room(), stacklevel=2)
            return self._wait()
        return ready[0]

    def _no_room(self) -> CapacityWarning:
        option, asked = next(iter(self._options.items()))
        kind = option.removeprefix("num_").rstrip("s").upper()
        total, free = (
            found.get(kind, 0)
            for found in (self._ray.cluster_resources(), self._ray.available_resources())
        )
        return CapacityWarning(
            f"the Ray cluster has no room for an actor of {asked:g} {kind}: {free:g} of its "
            f"{total:g} {kind} are free; the scan waits: end what else runs there, or add a node"
        )

    def _receive(self, ready: Any, assignment: Assignment | None) -> bool:
        """Return whether the actor is alive: it has been placed, or has done its shard."""
        try:
            found: Messages = self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:  # killed for memory, lost with its node, ...
            self._deaths[assignment] += 1
            if self._deaths[assignment] == MAX_ATTEMPTS:
                raise self._give_up(assignment, error) from error
            return False
        if assignment is None:
            self._deaths[None] = 0  # the cluster can start them
        for message in found:
            if isinstance(message, Warning):
                warnings.warn(message, stacklevel=2)
            else:
                logger.handle(message)
        return True

    def _give_up(self, assignment: Assignment | None, error: Exception) -> RunError:
        if assignment is None:
            return RunError(
                f"{MAX_ATTEMPTS} actors in a row ended before they began "
                f"({first_line(error)}): see whether the nodes are short of memory or lack memtrace"
            )
        checkpoint = self._assignments.plans[assignment[0]].checkpoint
        shard = assignment[1].file_name if assignment[1] else "the beginning"
        return RunError(
            f"{MAX_ATTEMPTS} actors ended at {shard} of {checkpoint.model} step {checkpoint.step} "
            f"({first_line(error)}): see whether the nodes are short of memory, or take a smaller "
            "--batch-size; finished shards are kept"
        )
