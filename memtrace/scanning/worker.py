"""One worker of a job: its own shards first, then what the other workers have not done."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from memtrace import engine
from memtrace.errors import ModelError, RunError
from memtrace.models.loading import choose_device, describe_device, load_model
from memtrace.models.weights import Weights
from memtrace.runs.run import MERGED, begin_run
from memtrace.runs.shards import Shard
from memtrace.runs.worker_log import name_process, write_log
from memtrace.scanning.checks import CHECKED_SEQUENCES, check_fit, refuse_identical_weights
from memtrace.scanning.downloads import drop_weights, prefetch_weights
from memtrace.scanning.jobs import Job, Part, Reporter, shards_left
from memtrace.scanning.record import complete_record, first_record
from memtrace.scanning.shard import scan_shard

logger = logging.getLogger(__name__)
Known = dict[str, "engine.Calibration"]
"""Calibrations by model."""

_CALIBRATION = 256  # sequences on which the engine measures its numeric error


def work(job: Job, own: Part, rank: int, device: str, reporter: Reporter) -> None:
    """Do one worker's own part of a job in this process, then what is left of the others'.

    Raises:
        ModelError, CorpusError, RunError: See `scan_shard`; finished shards are kept.
    """
    reporter.stage("fetching weights")
    plans = [job.plans[index] for index, _ in own]
    shards = [shards for _, shards in own]
    known: Known = {}
    for (index, mine), weights in zip(own, prefetch_weights(plans, shards), strict=True):
        _scan_shards(job, CheckpointScan(job, index, weights, device, known), mine, reporter)
        reporter.stage("fetching weights")
    reporter.stage("checking scores")
    first = own[-1][0] + 1 if own else 0
    for index in (*range(first, len(job.plans)), *range(first)):
        _help(job, index, rank, device, reporter, known)


def _scan_shards(
    job: Job, scan: "CheckpointScan", shards: Sequence[Shard], reporter: Reporter
) -> None:
    """Scan these shards of a checkpoint, as far as they are not done."""
    left = scan.run.shards_left(shards)
    for shard in set(shards).difference(left):
        reporter.add(scan.index, shard, shard.sequences)
    # A damaged file is there before, one that another worker finishes meanwhile is not.
    before = scan.run.file_names()
    for shard in left:
        if {shard.file_name, MERGED} & (scan.run.file_names() - before):
            reporter.add(scan.index, shard, shard.sequences)
        else:
            scan.scan(shard, reporter)
    if scan.complete() and not job.keep_weights:
        drop_weights(scan.weights)


def _help(job: Job, index: int, rank: int, device: str, reporter: Reporter, known: Known) -> None:
    """Scan what the other workers have not done of a checkpoint, each helper in another order."""
    plan = job.plans[index]
    left = shards_left(plan)
    for shard in set(plan.shards()).difference(left or []):
        reporter.add(index, shard, shard.sequences)
    if left is None:
        return
    if rank:  # so that two helpers seldom take the same shard
        order = np.random.default_rng([rank, index]).permutation(len(left))
        left = [left[i] for i in order]
    reporter.stage("fetching weights")
    try:
        (weights,) = prefetch_weights([plan], [left])
        _scan_shards(job, CheckpointScan(job, index, weights, device, known), left, reporter)
    except ModelError:
        # Another process has finished it meanwhile, and dropped its weights.
        if job.keep_weights or shards_left(plan) is not None:
            raise


class CheckpointScan:
    """One process at work on one checkpoint; the engine is loaded when the first shard is due."""

    def __init__(self, job: Job, index: int, weights: Weights, device: str, known: Known) -> None:
        """Begin the run, or open it to go on.

        Args:
            job: What is to be scanned.
            index: Of the checkpoint, among the job's plans.
            weights: Its weights.
            device: Where the engine is to be.
            known: Calibrations of checkpoints that this process has scanned: the first guess for
                this one, which adds its own.

        Raises:
            CorpusError: Rows or token ids do not fit the model.
            ModelError: Another step has the same weights.
            RunError: The folder cannot be written or holds another configuration.
        """
        self.index, self.weights = index, weights
        self._job, self._device, self._known = job, device, known
        self._plan = plan = job.plans[index]
        # Again, before anything is written: the plan knows nothing of weights of the Hub.
        check_fit(plan.corpus, plan.rules, plan.spread(CHECKED_SEQUENCES), weights.folder)
        configuration = plan.configure(weights)
        if not plan.allow_known_bad:
            refuse_identical_weights(plan.runs, configuration)
        self.run = begin_run(plan.runs, configuration, first_record(plan, weights, job.command))
        self._process, self._began = name_process(), time.monotonic()
        self._engine: engine.Engine | None = None
        self._devices = 1
        self._writer = ThreadPoolExecutor(1)
        self._writing: tuple[Shard, Future[None]] | None = None
        self._done: list[Shard] = []

    def scan(self, shard: Shard, reporter: Reporter) -> None:
        """Decide a shard while the scores of the last one are written; see `finish_writing`.

        Raises:
            ModelError, CorpusError, RunError: See `scan_shard`.
        """
        try:
            if self._engine is None:
                self.run.remove_damaged_merge()
                self._engine = self._load_engine(reporter)
            on_progress = partial(reporter.add, self.index, shard)
            corpus = self._plan.corpus
            written = scan_shard(self.run, shard, corpus, self._engine, self._writer, on_progress)
            last, self._writing = self._writing, (shard, written)
            self._await(last)
        except BaseException as error:
            with suppress(RunError):  # where the folder can be written at all
                self.finish_writing()
            with suppress(RunError):
                if isinstance(error, Exception):
                    self._log(error=str(error))
            raise

    def finish_writing(self) -> None:
        """Wait until the scores of the last shard are written, and log it.

        Raises:
            RunError: They cannot be written.
        """
        last, self._writing = self._writing, None
        self._await(last)

    def _await(self, writing: tuple[Shard, Future[None]] | None) -> None:
        if writing is not None:
            shard, written = writing
            written.result()
            self._done.append(shard)
            if self._engine is not None:  # with the tolerances that the audit has widened
                self._known[self._model] = self._engine.calibration
            logger.debug("%s: %s written", self.run.label, shard.file_name)
            self._log()

    def complete(self) -> bool:
        """Write into the record that everything is done, where it is; return whether it is.

        Raises:
            ModelError: A step that was scanned at the same time has the same weights.
            RunError: Scores that this process has written are gone.
        """
        self.finish_writing()
        self._writer.shutdown()
        missing = self.run.shards_missing()
        if lost := [shard for shard in self._done if shard in missing]:
            raise RunError(
                f"{self.run.folder} has lost {len(lost)} of {len(self._done)} score files while it "
                "was scanned: find out who deletes there, then repeat the command"
            )
        return not missing and complete_record(self._plan, again=bool(self._done))

    @property
    def _model(self) -> str:
        """The model, whatever the step."""
        return f"{self._plan.checkpoint.suite}/{self._plan.checkpoint.model}"

    def _load_engine(self, reporter: Reporter) -> "engine.Engine":
        plan = self._plan
        tokens, rows = plan.rules.sequence_tokens, plan.spread(_CALIBRATION)
        calibration = plan.corpus.take(rows, tokens, plan.rules.offset)
        device = choose_device(self._device)
        reporter.stage("loading model")
        model = load_model(
            self.weights,
            device,
            tokens,
            engine.reads_as_stored,
            copied=engine.bytes_copied(plan.rules, plan.dtype, device),
            spread=self._job.spread,
        )
        self._devices = len({each.device for each in model.parameters()})
        folder = self.weights.folder
        logger.debug("%s: weights of %s are on %s", self.run.label, folder, self._device)
        reporter.stage("calibrating")
        loaded = engine.Engine(
            model,
            plan.rules,
            calibration=calibration,
            dtype=plan.dtype,
            batch_size=self._job.batch_size,
            guess=self._known.get(self._model),
        )
        logger.debug(
            "%s: first stage {dtype}, batches of {batch_size}, tolerance {tolerance[logits]:.3g} "
            "in logits".format_map(loaded.record()),
            self.run.label,
        )
        reporter.stage("scanning")
        return loaded

    def _log(self, **more: str) -> None:
        """Log how much this process has done so far, how fast and with what."""
        sequences = sum(shard.sequences for shard in self._done)
        seconds = time.monotonic() - self._began
        entry: dict[str, Any] = {
            "sequences": sequences,
            "seconds": round(seconds, 3),
            "sequences_per_second": round(sequences / seconds, 1) if seconds > 0 else None,
            "device": describe_device(choose_device(self._device)),
            "devices": self._devices,
        }
        if self._engine:
            entry["engine"] = self._engine.record()
        write_log(self.run.folder, self._process, entry | more)
