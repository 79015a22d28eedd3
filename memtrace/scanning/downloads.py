"""Checkpoints of several scans: checked before the download, prefetched, deleted when done."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from memtrace.errors import ModelError, RunError
from memtrace.models.verify import Verdict, chosen_files, verify_checkpoints
from memtrace.models.weights import Weights, fetch_weights
from memtrace.runs.run import open_run
from memtrace.runs.shards import Shard
from memtrace.scanning.plan import ScanPlan
from memtrace.storage.prefetch import prefetch


@dataclass(frozen=True)
class DiskNeed:
    """What the checkpoints of some scans take on disk."""

    checkpoints: int
    """Checkpoints that are still to be fetched."""
    total_bytes: int
    """Their weight files, all of them."""
    peak_bytes: int
    """The two largest that follow each other: one is scanned, the next one is fetched."""
    free_bytes: int
    """Space left where the Hub's cache is."""


def check_checkpoints(plans: Sequence[ScanPlan], *, keep_weights: bool = True) -> DiskNeed | None:
    """Ask the Hub about the checkpoints of these scans, before any of them is downloaded.

    Returns:
        What they take on disk; None where nothing comes from the Hub or the Hub cannot be reached.

    Raises:
        ModelError: A checkpoint has weights of another one, or there is no room for what is needed.
    """
    sizes: list[int] = []
    for (suite, name), group in groupby(plans, lambda p: (p.checkpoint.suite, p.checkpoint.model)):
        wanted = [plan for plan in group if _comes_from_hub(plan)]
        if not wanted:
            continue
        try:
            verdicts = _verdicts(wanted)
        except ModelError:
            return None  # offline: what is cached will do, and is compared once it is loaded
        for plan, verdict in zip(wanted, verdicts, strict=True):
            if verdict.is_flagged and not plan.allow_known_bad:
                raise ModelError(_refusal(f"{suite}/{name}", verdict))
        sizes += [_bytes_to_fetch(plan, v) for plan, v in zip(wanted, verdicts, strict=True)]
    if not sizes:
        return None
    need = DiskNeed(
        checkpoints=sum(size > 0 for size in sizes),
        total_bytes=sum(sizes),
        peak_bytes=max(map(sum, zip(sizes, [*sizes[1:], 0], strict=True))),
        free_bytes=_free_bytes(),
    )
    needed = need.total_bytes if keep_weights else need.peak_bytes
    if needed > need.free_bytes:
        raise ModelError(
            f"the weights take {needed / 1e9:.1f} GB, {need.free_bytes / 1e9:.1f} GB are free in "
            "the Hub's cache: make room, choose fewer steps"
            + (f", or pass --drop-weights ({need.peak_bytes / 1e9:.1f} GB)" if keep_weights else "")
        )
    return need


def prefetch_weights(
    plans: Sequence[ScanPlan], shards: Sequence[Sequence[Shard]]
) -> Iterator[Weights]:
    """Yield the weights of each plan in turn, while those of the next one are being fetched.

    `shards` are those of each plan that are to be scanned.

    Raises:
        ModelError: As `fetch_weights`, when the turn comes.
    """
    jobs = zip(plans, shards, strict=True)
    return prefetch(lambda job: recorded_weights(*job) or _fetch(job[0]), jobs, depth=1)


def recorded_weights(plan: ScanPlan, shards: Sequence[Shard] | None = None) -> Weights | None:
    """Return what the record of a run says of its weights, None while these shards are not done.

    So what is finished is recognised without fetching its checkpoint again. Weights of local
    folders are hashed in any case: they cost no network.
    """
    if not _comes_from_hub(plan):
        return None
    with suppress(RunError, KeyError):
        run = open_run(plan.folder)
        if not run.shards_left(shards):
            return Weights(plan.folder, run.record["weights"], run.record["hub_commit"])
    return None


def drop_weights(weights: Weights) -> None:
    """Delete a checkpoint's weight files from the Hub's cache; local folders are left alone."""
    if weights.commit is None:
        return
    # File by file: the next checkpoint may be on its way into the same repository's cache.
    for name in weights.files:
        link = weights.folder / name
        blob = link.resolve()
        link.unlink(missing_ok=True)
        others = weights.folder.parent.glob(f"*/{name}")
        if not any(other.resolve() == blob for other in others):
            blob.unlink(missing_ok=True)


def _fetch(plan: ScanPlan) -> Weights:
    return fetch_weights(plan.checkpoint.source, plan.checkpoint.revision)


def _comes_from_hub(plan: ScanPlan) -> bool:
    return plan.checkpoint.manifest is not None and plan.checkpoint.revision is not None


def _verdicts(plans: Sequence[ScanPlan]) -> list[Verdict]:
    """Compare the checkpoints with each other, with the last one and with the main branch."""
    found = plans[0].checkpoint.manifest
    if found is None:
        raise ModelError(f"no manifest names {plans[0].checkpoint.model}")
    suite, model = found
    steps = [plan.checkpoint.step for plan in plans]
    return verify_checkpoints(suite, model, [*steps, suite.steps_of(model)[-1]])[: len(steps)]


def _refusal(name: str, verdict: Verdict) -> str:
    what = verdict.known_bad or verdict.missing
    if verdict.same_as:
        what = f"its weights are byte-identical to those of {', '.join(verdict.same_as[:4])}"
    return (
        f"{name} step {verdict.step} is not to be trusted: {what}; `memtrace models verify` shows "
        "all steps; choose another one, or pass --allow-known-bad"
    )


def _bytes_to_fetch(plan: ScanPlan, verdict: Verdict) -> int:
    from huggingface_hub import try_to_load_from_cache

    if recorded_weights(plan):
        return 0
    c = plan.checkpoint
    return sum(
        file.size
        for name, file in chosen_files(verdict.files).items()
        if not isinstance(try_to_load_from_cache(c.source, name, revision=c.revision), str)
    )


def _free_bytes() -> int:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).absolute()
    return shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.is_dir())).free
