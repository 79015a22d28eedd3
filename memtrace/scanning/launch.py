"""Many shards: who does which, and one process at work on them.

It knows in which order things are done; what is left is known by `jobs`, and deciding sequences is
the engine's work. `processes` and `ray_engine` have the same done by other processes.
"""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace import __version__
from memtrace.errors import ManifestError, ModelError, RunError
from memtrace.models.loading import choose_device, describe_device, load_model, visible_devices
from memtrace.models.weights import Weights
from memtrace.runs.run import MERGED, Run, begin_run, open_run
from memtrace.runs.shards import Shard
from memtrace.runs.worker_log import name_process, write_log
from memtrace.scanning.downloads import check_checkpoints, drop_weights, fetch_ahead
from memtrace.scanning.jobs import Job, Part, Report, Tally, command_of, cut, left_of
from memtrace.scanning.plan import (
    SHARD_SIZE,
    ScanPlan,
    find_checkpoints,
    plan_scan,
    refuse_identical_weights,
)
from memtrace.scanning.shard import scan_shard
from memtrace.storage.store import open_store

if TYPE_CHECKING:
    from memtrace.engine import Engine

_CALIBRATION = 256  # sequences on which the engine measures its numeric error


def scan(
    model: str,
    step: int | str | None = None,
    *,
    suite: str | None = None,
    corpus: str | None = None,
    runs: str | Path = "runs",
    sequences: tuple[int, int] | None = None,
    sample: int | None = None,
    seed: int = 0,
    stratified: bool = False,
    include_unexposed: bool = False,
    device: str = "auto",
    devices: Sequence[str] | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    eos_rule: str = "none",
    shard_size: int = SHARD_SIZE,
    worker: tuple[int, int] = (0, 1),
    allow_known_bad: bool = False,
    manifest: Path | None = None,
) -> Run:
    """Decide every sequence that one checkpoint has seen; the same as `memtrace scan`.

    A run that was interrupted is finished; one that is complete is returned as it is. On several
    GPUs it starts a process for each, so that a script needs `if __name__ == "__main__":`.

    Args:
        model: Short name from a manifest, a local folder, or a Hub `repository[@revision]`.
        step: Checkpoint; the last one by default (0 for a model that no manifest names).
        suite: The suite, where two have a model of that name.
        corpus: Manifest name, Megatron prefix or `.npy`; by default what the model was trained on.
        runs: Folder of runs, or an address such as `s3://bucket/runs`.
        sequences: Only the sequence indices [A, B).
        sample: Only so many of them, drawn at random.
        seed: Seed of the sample.
        stratified: Draw the sample evenly over the training steps.
        include_unexposed: Also the sequences that the checkpoint had not seen: the control group.
        device: `auto` for every GPU, else the CPU; `cpu` or `cuda`.
        devices: These in place of `device`, such as `cuda:0`: a process for each.
        dtype: Type in which decisions are made first; near ties are decided again in float32.
        batch_size: Sequences at once; by default the largest that fits.
        eos_rule: `none`, or `mask-eos`: token 0 can never be chosen.
        shard_size: Sequences in a shard, fixed for a run once it has begun.
        worker: Member I of N that scan the same at once, each its own part first.
        allow_known_bad: Scan weights that are known to be those of another step.
        manifest: A manifest file of your own.

    Raises:
        ManifestError: Unknown model, suite, corpus or step.
        CorpusError: The corpus is missing, damaged or does not fit the model.
        ModelError: The weights are missing, damaged or known to be wrong.
        RunError: The run folder cannot be written or holds another configuration.
    """
    given = dict(locals())  # first of all, while there is nothing else
    usual = scan.__kwdefaults__ or {}
    checkpoints = find_checkpoints(model, step, suite=suite, manifest=manifest)
    if len(checkpoints) != 1:
        raise ManifestError(
            f"scan takes one step, {step!r} names {len(checkpoints)}: call it for each"
        )
    plan = plan_scan(
        checkpoints[0],
        corpus=corpus,
        runs=open_store(runs),
        sequences=sequences,
        sample=sample,
        seed=seed,
        stratified=stratified,
        include_unexposed=include_unexposed,
        dtype=dtype,
        eos_rule=eos_rule,
        shard_size=shard_size,
        allow_known_bad=allow_known_bad,
        manifest=manifest,
    )
    check_checkpoints([plan])
    changed = {name: value for name, value in given.items() if value != usual.get(name)}
    job = Job((plan,), batch_size, command_of(changed))
    return run_job(job, devices or visible_devices(device), worker=worker)[0]


def run_job(
    job: Job,
    devices: Sequence[str],
    *,
    worker: tuple[int, int] = (0, 1),
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[Run]:
    """Begin or go on with planned scans, and finish them on these devices.

    Args:
        job: What to do.
        devices: Such as `cpu` or `cuda:1`. One is used by this process; for several, each gets a
            process of its own.
        worker: Member I of N of a larger job, with 0 <= I < N.
        on_progress: Called with the number of sequences done since the last call; first with
            those of shards that were done before.

    Returns:
        The runs, in the order of the plans; all are finished.

    Raises:
        ModelError, CorpusError, RunError: See `scan_shard`; finished shards are kept.
    """
    member, members = worker
    if not 0 <= member < members:
        raise RunError(f"worker {member}/{members}: members of a job are 0/{members} and on")
    own, report = job.part(member, members), Tally(job.plans, on_progress)
    useful = devices[: max(1, sum(len(plan.shards()) for plan in job.plans))]
    if len(useful) == 1:
        work(job, own, member, useful[0], report)
    else:
        from memtrace.scanning.processes import work_in_processes

        parts = [cut(own, i, len(useful)) for i in range(len(useful))]
        work_in_processes(job, parts, member * len(useful), useful, report)
    return [completed(plan) for plan in job.plans]


def work(job: Job, own: Part, member: int, device: str, report: Report) -> None:
    """Do one member's own part of a job in this process, then what is left of the others.

    Raises:
        ModelError, CorpusError, RunError: See `scan_shard`; finished shards are kept.
    """
    plans = [job.plans[place] for place, _ in own]
    shards = [shards for _, shards in own]
    for (place, mine), weights in zip(own, fetch_ahead(plans, shards), strict=True):
        _do(job, place, mine, weights, device, report)
    first = own[-1][0] + 1 if own else 0
    for place in (*range(first, len(job.plans)), *range(first)):
        _help(job, place, member, device, report)


def _do(
    job: Job, place: int, shards: Sequence[Shard], weights: Weights, device: str, report: Report
) -> None:
    """Do these shards of a checkpoint, as far as they are not done."""
    sitting = Sitting(job, place, weights, device)
    left = sitting.run.shards_left(shards)
    for shard in set(shards).difference(left):
        report(place, shard, shard.sequences)
    # A damaged file is there before, one that another member finishes meanwhile is not.
    before = sitting.run.file_names()
    for shard in left:
        if {shard.file_name, MERGED} & (sitting.run.file_names() - before):
            report(place, shard, shard.sequences)
        else:
            sitting.scan(shard, report)
    if sitting.complete() and not job.keep_weights:
        drop_weights(weights)


def _help(job: Job, place: int, member: int, device: str, report: Report) -> None:
    """Do what the other members have not done of a checkpoint, in an order of one's own."""
    plan = job.plans[place]
    left = left_of(plan)
    for shard in set(plan.shards()).difference(left or []):
        report(place, shard, shard.sequences)
    if left is None:
        return
    if member:  # so that two helpers seldom take the same shard
        order = np.random.default_rng([member, place]).permutation(len(left))
        left = [left[i] for i in order]
    try:
        (weights,) = fetch_ahead([plan], [left])
        _do(job, place, left, weights, device, report)
    except ModelError:
        # Another process has finished it meanwhile, and dropped its weights.
        if job.keep_weights or left_of(plan) is not None:
            raise


class Sitting:
    """One process at work on one checkpoint; the engine is loaded when the first shard is due."""

    def __init__(self, job: Job, place: int, weights: Weights, device: str) -> None:
        """Begin the run, or open it to go on.

        Raises:
            ModelError: Another step has the same weights.
            RunError: The folder cannot be written or holds another configuration.
        """
        self._job, self._place, self._weights, self._device = job, place, weights, device
        self._plan = plan = job.plans[place]
        configuration = plan.configure(weights)
        if not plan.allow_known_bad:
            refuse_identical_weights(plan.runs, configuration)
        self.run = begin_run(plan.runs, configuration, _first_record(plan, weights, job.command))
        self._process, self._began = name_process(), time.monotonic()
        self._engine: Engine | None = None
        self._writer = ThreadPoolExecutor(1)
        self._writing: tuple[Shard, Future[None]] | None = None
        self._done: list[Shard] = []

    def scan(self, shard: Shard, report: Report) -> None:
        """Decide a shard while the scores of the last one are written; `settle` awaits its own.

        Raises:
            ModelError, CorpusError, RunError: See `scan_shard`.
        """
        try:
            if self._engine is None:
                self.run.remove_damaged_merge()
                self._engine = self._load_engine()
            each = partial(report, self._place, shard)
            corpus = self._plan.corpus
            written = scan_shard(self.run, shard, corpus, self._engine, self._writer, each)
            last, self._writing = self._writing, (shard, written)
            self._settle(last)
        except BaseException as error:
            with suppress(RunError):  # where the folder can be written at all
                self.settle()
            with suppress(RunError):
                if isinstance(error, Exception):
                    self._note(error=str(error))
            raise

    def settle(self) -> None:
        """Wait until the scores of the last shard are written, and note it.

        Raises:
            RunError: They cannot be written.
        """
        last, self._writing = self._writing, None
        self._settle(last)

    def _settle(self, writing: tuple[Shard, Future[None]] | None) -> None:
        if writing is not None:
            shard, written = writing
            written.result()
            self._done.append(shard)
            self._note()

    def complete(self) -> bool:
        """Write into the record that everything is done, where it is.

        Raises:
            ModelError: A step that was scanned at the same time has the same weights.
            RunError: Scores that this process has written are gone.
        """
        self.settle()
        self._writer.shutdown()
        missing = self.run.shards_missing()
        if lost := [shard for shard in self._done if shard in missing]:
            raise RunError(
                f"{self.run.folder} has lost {len(lost)} score files while it was scanned: find "
                "out who deletes there, then repeat the command"
            )
        return not missing and complete_record(self._plan, again=bool(self._done))

    def _load_engine(self) -> "Engine":
        from memtrace.engine import Engine

        plan = self._plan
        # Read first: a corpus that cannot be read is told before a model is loaded.
        calibration = plan.corpus.take(plan.spread(_CALIBRATION), plan.rules.sequence_tokens)
        return Engine(
            load_model(self._weights, choose_device(self._device)),
            plan.rules,
            calibration=calibration,
            dtype=plan.dtype,
            batch_size=self._job.batch_size,
        )

    def _note(self, **more: str) -> None:
        """Note how much this process has done so far, how fast and with what."""
        sequences, seconds = (
            sum(shard.sequences for shard in self._done),
            time.monotonic() - self._began,
        )
        sitting: dict[str, Any] = {
            "sequences": sequences,
            "seconds": round(seconds, 3),
            "sequences_per_second": round(sequences / seconds, 1) if seconds > 0 else None,
            "device": describe_device(choose_device(self._device)),
        }
        if self._engine:
            sitting["engine"] = self._engine.record()
        write_log(self.run.folder, self._process, sitting | more)


def complete_record(plan: ScanPlan, *, again: bool = False) -> bool:
    """Write into the record of a run that everything is done; return whether it is.

    Every score file is read once more before the record says so. `again` writes it even where it
    says so already, with the worker logs that have been added.

    Raises:
        ModelError: A step that was scanned at the same time has the same weights.
    """
    run = open_run(plan.folder)  # as the other members have left it
    if run.shards_missing():
        return False
    if run.record.get("sequences_done") == plan.sequences and not again:
        return True
    if run.shards_left():
        return False
    if not plan.allow_known_bad:
        refuse_identical_weights(plan.runs, run.configuration)
    run.update(sequences_done=plan.sequences)
    return True


def completed(plan: ScanPlan) -> Run:
    """Return the run of a plan whose shards have all been done.

    Raises:
        ModelError: As `complete_record`.
        RunError: Some of its score files are gone or damaged.
    """
    if not complete_record(plan):
        raise RunError(
            f"{plan.folder} has lost score files while it was scanned: find out who deletes there, "
            "then repeat the command"
        )
    return open_run(plan.folder)


def _first_record(plan: ScanPlan, weights: Weights, command: Sequence[str]) -> Mapping[str, Any]:
    names = ("torch", "transformers", "numpy", "polars")
    return {
        "command": list(command),
        "source": plan.checkpoint.source,
        "revision": plan.checkpoint.revision,
        "hub_commit": weights.commit,
        "weights": dict(weights.files),
        "corpus": {
            "name": plan.corpus.name,
            "rows": len(plan.corpus),
            "row_tokens": plan.corpus.row_tokens,
            "dtype": str(plan.corpus.dtype),
            "files": [part.name for part in plan.corpus.parts],
        },
        "versions": {
            "memtrace": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in names},
        },
        "sequences_done": 0,
        "workers": [],
    }
