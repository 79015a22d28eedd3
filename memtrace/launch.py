"""Many shards: carry out the scan of a checkpoint in this process.

It knows what is left and in which order; deciding sequences is the engine's work.
"""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtrace import __version__
from memtrace.downloads import check_checkpoints, fetch_ahead
from memtrace.errors import ManifestError
from memtrace.models import Weights, choose_device, describe_device, load_model
from memtrace.plan import (
    SHARD_SIZE,
    ScanPlan,
    find_checkpoints,
    plan_scan,
    refuse_identical_weights,
)
from memtrace.runs import Run, Shard, begin_run
from memtrace.shard import scan_shard

if TYPE_CHECKING:
    import torch

    from memtrace.greedy import Engine

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
    dtype: str = "auto",
    batch_size: int | None = None,
    eos_rule: str = "none",
    shard_size: int = SHARD_SIZE,
    allow_known_bad: bool = False,
    manifest: Path | None = None,
) -> Run:
    """Decide every sequence that one checkpoint has seen; the same as `memtrace scan`.

    A run that was interrupted is finished; one that is complete is returned as it is.

    Args:
        model: Short name from a manifest, a local folder, or a Hub `repository[@revision]`.
        step: Checkpoint; the last one by default (0 for a model that no manifest names).
        suite: The suite, where two have a model of that name.
        corpus: Manifest name, Megatron prefix or `.npy`; by default what the model was trained on.
        runs: Folder of runs.
        sequences: Only the sequence indices [A, B).
        sample: Only so many of them, drawn at random.
        seed: Seed of the sample.
        stratified: Draw the sample evenly over the training steps.
        include_unexposed: Also the sequences that the checkpoint had not seen: the control group.
        device: `auto`, `cpu` or `cuda`.
        dtype: Type in which decisions are made first; near ties are decided again in float32.
        batch_size: Sequences at once; by default the largest that fits.
        eos_rule: `none`, or `mask-eos`: token 0 can never be chosen.
        shard_size: Sequences in a shard, fixed for a run once it has begun.
        allow_known_bad: Scan weights that are known to be those of another step.
        manifest: A manifest file of your own.

    Raises:
        ManifestError: Unknown model, suite, corpus or step.
        CorpusError: The corpus is missing, damaged or does not fit the model.
        ModelError: The weights are missing, damaged or known to be wrong.
        RunError: The run folder cannot be written or holds another configuration.
    """
    checkpoints = find_checkpoints(model, step, suite=suite, manifest=manifest)
    if len(checkpoints) != 1:
        raise ManifestError(
            f"scan takes one step, {step!r} names {len(checkpoints)}: call it for each"
        )
    plan = plan_scan(
        checkpoints[0],
        corpus=corpus,
        runs=Path(runs),
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
    return run_scan(plan, device=device, batch_size=batch_size)


def run_scan(
    plan: ScanPlan,
    *,
    weights: Weights | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    command: Sequence[str] = (),
    on_progress: Callable[[int], None] = lambda _: None,
) -> Run:
    """Begin or go on with a planned scan, and finish it in this process.

    Args:
        plan: What to do.
        weights: The checkpoint, where it was fetched ahead.
        device: `auto`, `cpu` or `cuda`.
        batch_size: Sequences at once; None for the largest that fits.
        command: The command line to record.
        on_progress: Called with the number of sequences done since the last call; first with
            those of shards that were done before.

    Raises:
        ModelError, CorpusError, RunError: See `scan_shard`; finished shards are kept.
    """
    if weights is None:
        (weights,) = fetch_ahead([plan])
    configuration = plan.configure(weights)
    if not plan.allow_known_bad:
        refuse_identical_weights(plan.runs, configuration)
    run = begin_run(plan.runs, configuration, _first_record(plan, weights, command))
    left = run.shards_left()
    on_progress(plan.sequences - _count(left))
    if left:
        began = time.monotonic()
        where = choose_device(device)
        engine = _load_engine(plan, weights, where, batch_size)
        for shard in left:
            scan_shard(run, shard, plan.corpus, engine, on_progress)
        sitting = _sitting(_count(left), time.monotonic() - began)
        sitting |= {"device": describe_device(where), "engine": engine.record()}
        run = run.update(sittings=[*run.record.get("sittings", []), sitting])
    if run.record.get("sequences_done") != plan.sequences:
        run = run.update(sequences_done=plan.sequences)
    return run


def _load_engine(
    plan: ScanPlan, weights: Weights, device: "torch.device", batch_size: int | None
) -> "Engine":
    from memtrace.greedy import Engine

    # Read first: a corpus that cannot be read is told before a model is loaded.
    calibration = plan.corpus.take(plan.spread(_CALIBRATION), plan.rules.sequence_tokens)
    return Engine(
        load_model(weights, device),
        plan.rules,
        calibration=calibration,
        dtype=plan.dtype,
        batch_size=batch_size,
    )


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
        "sittings": [],
    }


def _count(shards: Sequence[Shard]) -> int:
    return sum(shard.sequences for shard in shards)


def _sitting(sequences: int, seconds: float) -> dict[str, Any]:
    """Return how much this process did and how fast."""
    return {
        "sequences": sequences,
        "seconds": round(seconds, 3),
        "sequences_per_second": round(sequences / seconds, 1),
    }
