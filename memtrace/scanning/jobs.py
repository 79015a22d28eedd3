"""What is to be done, and by whom: the shards of several checkpoints, divided among workers.

Shards need no claims and no server. Every worker of a job first does a part of all shards that is
its own, and then what the others have left, in an order of its own. A score file that exists is
done; a shard that two workers take at once is decided twice, and written twice with equal bytes.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memtrace.errors import RunError
from memtrace.runs.run import Run, begin_run, open_run
from memtrace.runs.shards import Shard
from memtrace.scanning.downloads import prefetch_weights
from memtrace.scanning.plan import ScanPlan
from memtrace.scanning.record import first_record

Assignment = tuple[int, Shard | None]
"""The index of a plan, and a shard of it; None: only begin the run, it has no shards."""
Part = list[tuple[int, list[Shard]]]
"""Shards of several plans: the index of each plan, and which of its shards."""


@dataclass(frozen=True)
class Job:
    """What all workers of a scan have in common, wherever they are."""

    plans: tuple[ScanPlan, ...]
    batch_size: int | None = None
    """Sequences at once; None for the largest that fits."""
    command: tuple[str, ...] = ()
    """The command line to record."""
    keep_weights: bool = True
    """Whether a downloaded checkpoint stays in the Hub's cache after its scan."""
    spread: bool = False
    """Whether one process divides the model among all CUDA devices of its machine."""

    def part(self, rank: int, world_size: int) -> Part:
        """Return the shards that are a worker's own: a contiguous part of all, in order.

        Contiguous, and not every n-th shard, so that a worker loads few checkpoints. It does not
        depend on what is done: workers start at different times, and agree.
        """
        return cut([(i, plan.shards()) for i, plan in enumerate(self.plans)], rank, world_size)


def cut(part: Part, rank: int, world_size: int) -> Part:
    """Return one of `world_size` parts of a part, of as many shards as the others, or one more."""
    flat = [(index, shard) for index, shards in part for shard in shards]
    start, stop = (len(flat) * i // world_size for i in (rank, rank + 1))
    own: dict[int, list[Shard]] = {}
    for index, shard in flat[start:stop]:
        own.setdefault(index, []).append(shard)
    return list(own.items())


def command_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the command that does what a call of `memtrace.scan` with these options does.

    Where the runs lie is known from their folder; who does them does not matter.
    """
    words = ["memtrace", "scan"]
    for name, value in options.items():
        if name not in ("runs", "devices", "worker") and value is not None:
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(":".join(map(str, value)) if isinstance(value, tuple) else str(value))
    return tuple(words)


def shards_left(plan: ScanPlan) -> list[Shard] | None:
    """Return the shards of a plan that are not done, None where the run is complete.

    It reads every score file: a damaged one may be that of a worker which is gone.
    """
    try:
        run = open_run(plan.folder)
    except RunError:
        return plan.shards()
    left = run.shards_left()
    return None if not left and run.record.get("sequences_done") == plan.sequences else left


class Reporter(Protocol):
    """To whom a worker reports while it is at work."""

    def add(self, index: int, shard: Shard, sequences: int) -> None:
        """Receive how many sequences of a shard of plan `index` were decided, or found done."""

    def stage(self, name: str) -> None:
        """Receive what the worker does now, such as `loading model`."""


class Progress:
    """Adds up what several workers report, and counts a shard that two of them did once."""

    def __init__(
        self,
        plans: Sequence[ScanPlan],
        on_progress: Callable[[int], None],
        on_stage: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Begin with nothing done."""
        self._left = [{s.number: s.sequences for s in plan.shards()} for plan in plans]
        self._on_progress, self._on_stage = on_progress, on_stage

    def stage(self, name: str) -> None:
        """Pass on what a worker does now."""
        self._on_stage(name)

    def add(self, index: int, shard: Shard, sequences: int) -> None:
        """Count sequences of a shard."""
        left = self._left[index]
        new = min(sequences, left[shard.number])
        left[shard.number] -= new
        if new:
            self._on_progress(new)


class Assignments:
    """What is left, handed out one by one where one process knows of all the others.

    A worker stays with its checkpoint as long as it can.
    """

    def __init__(self, job: Job, progress: Progress) -> None:
        """Find what is left, and report what is done.

        Raises:
            ModelError: A model's folder, of which there is a run, has no weights.
            RunError: A run folder holds another configuration.
        """
        self.plans = job.plans
        self._progress = progress
        self._under_way: Counter[int] = Counter()
        self._left: dict[int, deque[Assignment]] = {}
        for index, plan in enumerate(job.plans):
            run, shards = _open_existing(job, plan), plan.shards()
            left = run.shards_left() if run else shards
            for shard in set(shards).difference(left):
                progress.add(index, shard, shard.sequences)
            self._left[index] = deque((index, shard) for shard in left)
            if run is None and not shards:
                self._left[index].append((index, None))

    def take(self, index: int) -> Assignment | None:
        """Return the next one for a worker that has the checkpoint of plan `index` loaded."""
        unfinished = [i for i, left in self._left.items() if left]
        if not unfinished:
            return None
        if index not in unfinished:
            # The first that nobody is at; else the one where most is left for each who is.
            index = min(unfinished, key=lambda i: self._under_way[i] / len(self._left[i]))
        self._under_way[index] += 1
        return self._left[index].popleft()

    def requeue(self, assignment: Assignment) -> None:
        """Put back one that was not done, to be handed out next."""
        self._under_way[assignment[0]] -= 1
        self._left[assignment[0]].appendleft(assignment)

    def count(self) -> int:
        """Return how many are left to hand out."""
        return sum(map(len, self._left.values()))

    def finish(self, assignment: Assignment) -> bool:
        """Count one as done; return whether it was the last of its checkpoint."""
        index, shard = assignment
        self._under_way[index] -= 1
        if shard is not None:
            self._progress.add(index, shard, shard.sequences)
        return not self._left[index] and not self._under_way[index]


def _open_existing(job: Job, plan: ScanPlan) -> Run | None:
    """Return the run of a plan, None where it has not begun.

    Raises:
        RunError: Its folder holds another configuration.
    """
    try:
        open_run(plan.folder)
    except RunError:
        return None
    # Of no shards: what comes from the Hub is not fetched here, whoever scans with it compares it.
    (weights,) = prefetch_weights([plan], [[]])
    return begin_run(plan.runs, plan.configure(weights), first_record(plan, weights, job.command))
