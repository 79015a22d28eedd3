"""Scans on this machine: `scan` of one checkpoint, `run_job` of planned ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from memtrace.errors import ManifestError, ModelError, RunError
from memtrace.models.loading import visible_devices
from memtrace.runs.run import Run
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.downloads import check_checkpoints
from memtrace.scanning.jobs import Job, Progress, command_of, cut
from memtrace.scanning.plan import SHARD_SIZE, plan_scan
from memtrace.scanning.processes import work_in_processes
from memtrace.scanning.record import completed
from memtrace.scanning.worker import work
from memtrace.storage.store import open_store


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
    prompt_tokens: int = 32,
    continuation_tokens: int = 32,
    offset: int = 0,
    device: str = "auto",
    devices: Sequence[str] | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    eos_rule: str = "none",
    shard_size: int = SHARD_SIZE,
    likelihood: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    min_probability: float | None = None,
    spread: bool = False,
    worker: tuple[int, int] = (0, 1),
    allow_known_bad: bool = False,
    sequences_per_step: int | None = None,
    run: str | None = None,
    manifest: str | Path | None = None,
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
        prompt_tokens: Tokens that the model is given, k.
        continuation_tokens: Tokens after them that it has to return, l: at most 255.
        offset: Tokens of a row before its sequence.
        device: `auto` for every GPU, else the CPU; `cpu` or `cuda`.
        devices: These in place of `device`, such as `cuda:0`: a process for each.
        dtype: Type in which decisions are made first; near ties are decided again in float32.
        batch_size: Sequences at once; by default the largest that fits.
        eos_rule: `none`, or `mask-eos`: token 0 can never be chosen.
        shard_size: Sequences in a shard, fixed for a run once it has begun.
        likelihood: Also the log-likelihood of each continuation, in nats.
        temperature: By which logits are divided before the softmax.
        top_k: Tokens that can be drawn at each place, those with the largest logits; None: all.
        min_probability: Likelihoods below it are null, which makes the scan faster.
        spread: Divide a model that one GPU cannot hold among all of them, in this process.
        worker: Rank and world size, (I, N): this is one of N calls that scan the same at once, each
            its own part first, and 0 <= I < N.
        allow_known_bad: Scan weights that are known to be those of another step.
        sequences_per_step: Rows that a step consumed, of a model that no manifest names. Without
            it, and without a corpus file that tells, it is not known what the model has seen.
        run: Name of the suite under which the run of such a model lies, by default
            `local-CORPUS`.
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
        prompt_tokens=prompt_tokens,
        continuation_tokens=continuation_tokens,
        offset=offset,
        dtype=dtype,
        eos_rule=eos_rule,
        shard_size=shard_size,
        likelihood=likelihood,
        temperature=temperature,
        top_k=top_k,
        min_probability=min_probability,
        allow_known_bad=allow_known_bad,
        sequences_per_step=sequences_per_step,
        run=run,
        manifest=manifest,
    )
    check_checkpoints([plan])
    changed = {name: value for name, value in given.items() if value != usual.get(name)}
    job = Job((plan,), batch_size, command_of(changed), spread=spread)
    return run_job(job, devices or visible_devices(device), worker=worker)[0]


def run_job(
    job: Job,
    devices: Sequence[str],
    *,
    worker: tuple[int, int] = (0, 1),
    on_progress: Callable[[int], None] = lambda _: None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> list[Run]:
    """Begin or go on with planned scans, and finish them on these devices.

    Args:
        job: What to do.
        devices: Such as `cpu` or `cuda:1`. One is used by this process; for several, each gets a
            process of its own, if the job does not spread its models over all of them.
        worker: Rank and world size, (I, N), of this call among all that work on the job.
        on_progress: Called with the number of sequences done since the last call; first with
            those of shards that were done before.
        on_stage: Called with what a worker does now: `fetching weights`, `loading model`,
            `calibrating`, `scanning`, `checking scores`.

    Returns:
        The runs, in the order of the plans; all are finished.

    Raises:
        ModelError, CorpusError, RunError: See `scan_shard`; finished shards are kept.
    """
    rank, world_size = worker
    if not 0 <= rank < world_size:
        raise RunError(f"worker {rank}/{world_size}: expected I/N with 0 <= I < N")
    if job.spread and devices[0] == "cpu":
        raise ModelError(
            "--spread divides a model among CUDA devices, and torch is to use none: leave it out"
        )
    own, progress = job.part(rank, world_size), Progress(job.plans, on_progress, on_stage)
    processes = 1 if job.spread else max(1, sum(len(plan.shards()) for plan in job.plans))
    useful = devices[:processes]
    if len(useful) == 1:
        work(job, own, rank, useful[0], progress)
    else:
        parts = [cut(own, i, len(useful)) for i in range(len(useful))]
        work_in_processes(job, parts, rank * len(useful), useful, progress)
    return [completed(plan) for plan in job.plans]
