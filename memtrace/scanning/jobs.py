"""What is to be done, and by whom: the shards of several checkpoints, divided among members.

It knows plans and names of files; it scans nothing.

Shards need no claims and no server. Every member of a job first does a part of all shards that is
its own, and then what the others have left, in an order of its own. A score file that exists is
done; a shard that two members take at once is decided twice, and written twice with equal bytes.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memtrace.errors import RunError
from memtrace.runs.run import Run, begin_run, open_run
from memtrace.runs.shards import Shard
from memtrace.scanning.downloads import fetch_ahead
from memtrace.scanning.plan import ScanPlan

Report = Callable[[int, Shard, int], None]
"""Called with the place of a plan among the plans, a shard of it, and how many of its sequences
were decided, or found done, since the last call."""
Assignment = tuple[int, Shard | None]
"""The place of a plan, and a shard of it; None: only begin the run, it has no shards."""
Part = list[tuple[int, list[Shard]]]
"""Shards of several plans: the place of each plan, and which of its shards."""


@dataclass(frozen=True)
class Job:
    """What all members of a scan have in common, wherever they are."""

    plans: tuple[ScanPlan, ...]
    batch_size: int | None = None
    """Sequences at once; None for the largest that fits."""
    command: tuple[str, ...] = ()
    """The command line to record."""
    keep_weights: bool = True
    """Whether a downloaded checkpoint stays in the Hub's cache after its scan."""

    def part(self, member: int, members: int) -> Part:
        """Return the shards that are a member's own: a piece of all, in order.

        A piece, not every n-th shard, so that a member loads few checkpoints. It does not depend
        on what is done: members start at different times, and agree.
        """
        return cut([(i, plan.shards()) for i, plan in enumerate(self.plans)], member, members)


def cut(part: Part, member: int, members: int) -> Part:
    """Return one of `members` pieces of a part, of as many shards as the others, or one more."""
    flat = [(place, shard) for place, shards in part for shard in shards]
    start, stop = (len(flat) * i // members for i in (member, member + 1))
    pieces: dict[int, list[Shard]] = {}
    for place, shard in flat[start:stop]:
        pieces.setdefault(place, []).append(shard)
    return list(pieces.items())


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


def left_of(plan: ScanPlan) -> list[Shard] | None:
    """Return the shards of a plan that are not done, None where the run is complete.

    It reads every score file: a damaged one may be that of a member which is gone.
    """
    try:
        run = open_run(plan.folder)
    except RunError:
        return plan.shards()
    left = run.shards_left()
    return None if not left and run.record.get("sequences_done") == plan.sequences else left


class Tally:
    """Adds up what several members report, and counts a shard that two of them did once."""

    def __init__(self, plans: Sequence[ScanPlan], on_progress: Callable[[int], None]) -> None:
        """Begin with nothing done."""
        self._left = [{s.number: s.sequences for s in plan.shards()} for plan in plans]
        self._on_progress = on_progress

    def __call__(self, place: int, shard: Shard, sequences: int) -> None:
        """Count sequences of a shard."""
        left = self._left[place]
        new = min(sequences, left[shard.number])
        left[shard.number] -= new
        if new:
            self._on_progress(new)


class Assignments:
    """What is left, handed out one by one where one process knows of all the others.

    A member stays with its checkpoint as long as it can.
    """

    def __init__(self, job: Job, tally: Tally) -> None:
        """Find what is left, and report what is done.

        Raises:
            ModelError: A model's folder, of which there is a run, has no weights.
            RunError: A run folder holds another configuration.
        """
        self.plans = job.plans
        self._tally = tally
        self._under_way: Counter[int] = Counter()
        self._left: dict[int, deque[Assignment]] = {}
        for place, plan in enumerate(job.plans):
            run, shards = _begun(plan), plan.shards()
            left = run.shards_left() if run else shards
            for shard in set(shards).difference(left):
                tally(place, shard, shard.sequences)
            self._left[place] = deque((place, shard) for shard in left)
            if run is None and not shards:
                self._left[place].append((place, None))

    def take(self, place: int) -> Assignment | None:
        """Return the next one for a member that has the checkpoint at `place` loaded."""
        unfinished = [i for i, left in self._left.items() if left]
        if not unfinished:
            return None
        if place not in unfinished:
            # The first that nobody is at; else the one where most is left for each who is.
            place = min(unfinished, key=lambda i: self._under_way[i] / len(self._left[i]))
        self._under_way[place] += 1
        return self._left[place].popleft()

    def give_back(self, assignment: Assignment) -> None:
        """Take back one that was not done."""
        self._under_way[assignment[0]] -= 1
        self._left[assignment[0]].appendleft(assignment)

    def count(self) -> int:
        """Return how many are left to hand out."""
        return sum(map(len, self._left.values()))

    def finish(self, assignment: Assignment) -> bool:
        """Count one as done; return whether it was the last of its checkpoint."""
        place, shard = assignment
        self._under_way[place] -= 1
        if shard is not None:
            self._tally(place, shard, shard.sequences)
        return not self._left[place] and not self._under_way[place]


def _begun(plan: ScanPlan) -> Run | None:
    """Return the run of a plan, None where it has not begun."""
    try:
        open_run(plan.folder)
    except RunError:
        return None
    # Of no shards: what comes from the Hub is not fetched here, whoever scans with it compares it.
    (weights,) = fetch_ahead([plan], [[]])
    return begin_run(plan.runs, plan.configure(weights), {})
