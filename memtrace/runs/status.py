"""The state of every run in a folder: what is done, what is left, and how long that takes.

Only run records and the names of score files are read. A damaged score file is found when it is
read, by a scan or a statistic.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from memtrace.errors import ManifestError, RunError
from memtrace.manifests import ModelManifest, Suite, find_suite
from memtrace.runs.paths import step_folders
from memtrace.runs.run import MERGED, Run, open_run
from memtrace.runs.shards import Shard
from memtrace.storage.store import open_store

STATES = ("done", "partial", "stale", "failed")
STALE_SECONDS = 86_400
"""An unfinished run into which nothing has been written for so long is stale."""
MINIMUM_RATE = 400e12
"""FLOP/s of one H100 in half precision, where no speed has been measured."""
SCORE_BYTES = 1.5
"""Bytes of a score on disk, as measured."""


@dataclass(frozen=True)
class RunStatus:
    """One checkpoint of a folder of runs."""

    suite: str
    model: str
    step: int
    folder: Path
    state: str
    """One of `STATES`."""
    reason: str | None
    """Why it is stale or failed."""
    shards: int
    shards_left: int
    sequences: int
    sequences_left: int
    speed: float | None
    """Sequences a second of one device, as measured by the workers of this run."""
    prompt_tokens: int
    bytes_to_read: int
    """Of the corpus, for the sequences that are left."""
    command: str | None
    """What finishes it; None where it is done or its record cannot be read."""

    @property
    def bytes_to_write(self) -> int:
        """Return about how many bytes of scores are to come."""
        return round(self.sequences_left * SCORE_BYTES)


@dataclass(frozen=True)
class Hours:
    """How long one device needs for what is left."""

    hours: float
    source: str
    """`measured`: at the speed of this model's own workers; `minimum`: of the minimum FLOPs, at
    `MINIMUM_RATE`."""


def survey(runs: str | Path) -> list[RunStatus]:
    """Return the state of every run below `runs`, by suite, model and step.

    For each run it reads one record and lists one folder, whatever the number of shards.

    Raises:
        RunError: The folder cannot be read.
    """
    now = time.time()
    found = [_status(folder, now) for folder in step_folders(open_store(runs))]
    order = _manifest_order(run.suite for run in found)
    return sorted(
        found, key=lambda r: (r.suite, order.get((r.suite, r.model), len(order)), r.model, r.step)
    )


def _manifest_order(suites: Iterable[str]) -> dict[tuple[str, str], int]:
    """Return the place of each model in its manifest: small ones come before large ones."""
    models = [(suite, model.name) for suite in sorted(set(suites)) for model in _models(suite)]
    return {model: place for place, model in enumerate(models)}


def hours_left(statuses: Sequence[RunStatus]) -> list[Hours | None]:
    """Return how long one device needs for each run, None where nothing tells.

    A run that has not been timed takes the mean speed of its model's other runs; a model that was
    never timed takes the time of its minimum FLOPs.
    """
    speeds: dict[tuple[str, str], list[float]] = {}
    for run in statuses:
        if run.speed:
            speeds.setdefault((run.suite, run.model), []).append(run.speed)
    return [_hours(run, speeds.get((run.suite, run.model), [])) for run in statuses]


def _hours(run: RunStatus, speeds: Sequence[float]) -> Hours | None:
    speed = run.speed or (sum(speeds) / len(speeds) if speeds else None)
    if speed or not run.sequences_left:
        return Hours(run.sequences_left / (speed or 1) / 3600, "measured")
    flops = _minimum_flops(run.suite, run.model, run.prompt_tokens)
    if flops is None:
        return None
    return Hours(run.sequences_left * flops / MINIMUM_RATE / 3600, "minimum")


def known_steps(suite: str) -> tuple[int, ...]:
    """Return the checkpoints that a suite has; none where no manifest has the suite."""
    found = _suite(suite)
    return found.steps if found else ()


def _minimum_flops(suite: str, model: str, prompt_tokens: int) -> int | None:
    """Return the minimum FLOPs of a sequence, None where no manifest has the model."""
    found = (each for each in _models(suite) if each.name == model)
    return next((each.minimum_flops(prompt_tokens) for each in found), None)


def _models(suite: str) -> tuple[ModelManifest, ...]:
    found = _suite(suite)
    return found.models if found else ()


@lru_cache
def _suite(name: str) -> Suite | None:
    try:
        return find_suite(name)
    except ManifestError:
        return None


def _status(folder: Path, now: float) -> RunStatus:
    try:
        run = open_run(folder)
        return _of_record(run, now)
    except RunError as error:
        return _unreadable(folder, str(error))


def _of_record(run: Run, now: float) -> RunStatus:
    c = run.configuration
    shards, missing = _missing(run, run.file_names())
    left = _sequences(run, missing)
    sat = [each for each in run.record.get("workers", []) if isinstance(each, dict)]
    state, reason = _state(run, sat, bool(missing), now)
    return RunStatus(
        suite=c.suite,
        model=c.model,
        step=c.step,
        folder=run.folder,
        state=state,
        reason=reason,
        shards=shards,
        shards_left=len(missing),
        sequences=c.stop - c.start if c.sample_size is None else c.sample_size,
        sequences_left=left,
        speed=_speed(sat),
        prompt_tokens=c.prompt_tokens,
        bytes_to_read=left * (c.prompt_tokens + c.continuation_tokens) * _itemsize(run),
        command=run.command if missing else None,
    )


def _unreadable(folder: Path, reason: str) -> RunStatus:
    """Return the status of a run of which only the name of its folder is known."""
    suite, model, step = (part.partition("=")[2] for part in folder.parts[-3:])
    return RunStatus(
        suite=suite,
        model=model,
        step=int(step),
        folder=folder,
        state="failed",
        reason=reason,
        shards=0,
        shards_left=0,
        sequences=0,
        sequences_left=0,
        speed=None,
        prompt_tokens=0,
        bytes_to_read=0,
        command=None,
    )


@lru_cache(maxsize=256)  # the models of a suite have equal plans
def _planned(count: int) -> frozenset[str]:
    return frozenset(Shard(number, count, 0, 0).file_name for number in range(count))


def _missing(run: Run, names: frozenset[str]) -> tuple[int, frozenset[str]]:
    """Return how many score files a run has when it is done, and those that are not there."""
    c = run.configuration
    count = -(-c.stop // c.shard_size) - c.start // c.shard_size if c.stop > c.start else 0
    planned = _planned(count)
    if MERGED in names or planned <= names:
        return count, frozenset()
    if c.sample is not None:  # a shard without a row of the sample has no file
        planned = frozenset(shard.file_name for shard in run.shards())
    return len(planned), planned - names


def _sequences(run: Run, missing: frozenset[str]) -> int:
    """Return how many sequences the missing files will hold."""
    c = run.configuration
    if not missing:
        return 0
    if c.sample is not None:
        return sum(shard.sequences for shard in run.shards() if shard.file_name in missing)
    count = -(-c.stop // c.shard_size) - c.start // c.shard_size
    first, last = (Shard(number, count, 0, 0).file_name for number in (0, count - 1))
    # Every shard is full but those at the two ends.
    short = (first in missing) * (c.start % c.shard_size) + (last in missing) * (
        -c.stop % c.shard_size
    )
    return len(missing) * c.shard_size - short


def _state(
    run: Run, logs: Sequence[Mapping[str, Any]], unfinished: bool, now: float
) -> tuple[str, str | None]:
    """Return the state of a run, and the reason for one that needs attention."""
    if not unfinished:
        return "done", None
    if error := next(iter(logs[-1:]), {}).get("error"):
        return "failed", str(error)
    idle = now - _last_written(run.folder)
    if idle > STALE_SECONDS:
        return "stale", f"nothing written for {idle / 3600:,.0f} hours"
    return "partial", None


def _last_written(folder: Path) -> float:
    """Return when the record or a score file was last written, by the clock of the file system.

    An object store has no folders that could tell: there nothing is ever stale for its age.
    """
    if not isinstance(folder, Path):
        return math.inf
    times = []
    for path in (folder / "run.json", folder / "scores"):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def _speed(logs: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how many sequences a second one process decided, over all workers."""
    timed = [
        (log["sequences"], log["seconds"])
        for log in logs
        if "error" not in log
        and all(isinstance(log.get(key), int | float) for key in ("sequences", "seconds"))
    ]
    sequences, seconds = (sum(values) for values in zip(*timed, strict=True)) if timed else (0, 0)
    with suppress(OverflowError):  # of a damaged record
        if sequences > 0 and seconds > 0 and math.isfinite(speed := sequences / seconds):
            return float(speed)
    return None


def _itemsize(run: Run) -> int:
    """Return the bytes of a token in the corpus."""
    corpus = run.record.get("corpus")
    dtype = corpus.get("dtype") if isinstance(corpus, dict) else None
    return {"uint16": 2, "int32": 4, "int64": 8}.get(str(dtype), 2)
