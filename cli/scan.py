"""`memtrace scan`: parse, plan, run, print; see `scan_text` for what is printed."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import (
    command_line,
    one_or_list,
    print_result,
    resumable,
    show_progress,
)
from .parameters import (
    STEPS,
    SequenceRange,
    Steps,
    Whole,
    json_option,
    manifest_option,
    model_suite,
    runs_option,
    seed_option,
    sequence_options,
)
from .scan_text import disk_text, dry_document, dry_text, run_document, runs_text

if TYPE_CHECKING:
    from memtrace.scanning.plan import ScanPlan


logger = logging.getLogger("memtrace")


class BatchSize(Whole):
    """A whole number, or `auto`."""

    name = "N|auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the number; `auto` is None."""
        if value in (None, "auto"):
            return None
        if isinstance(value, str) and not value.strip().lstrip("+-").isdigit():
            self.fail(f"{value!r} is neither auto nor a whole number, such as 64", param, ctx)
        return super().convert(value, param, ctx)


class Worker(click.ParamType[tuple[int, int]]):
    """`I/N`, worker rank I, counted from 0, of N workers."""

    name = "I/N"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the two numbers."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value.strip())
        if match is None or not int(match[1]) < int(match[2]):
            self.fail(f"{value!r} is not I/N with 0 <= I < N, such as 0/8 to 7/8", param, ctx)
        return int(match[1]), int(match[2])


@click.command()
@click.option(
    "--model", required=True, help="Short name, folder, Hub repository or repository@revision."
)
@click.option("--step", type=Steps(), help=f"Steps: {STEPS}.  [default: last]")
@model_suite
@click.option(
    "--corpus",
    help="Name, path or address: Megatron prefix, prefix pack, .npy, Parquet, corpus file (YAML).  "
    "[default: the model's own]",
)
@runs_option
@click.option("--sequences", type=SequenceRange(), help="Only sequences A to B, B not included.")
@click.option("--sample", type=Whole(min=1), help="Scan only this many sequences, at random.")
@seed_option("the sample")
@click.option("--stratified", is_flag=True, help="Draw the sample evenly over the training steps.")
@click.option(
    "--include-unexposed",
    is_flag=True,
    help="Also scan sequences that the checkpoint has not seen: a control group.",
)
@sequence_options()
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where the model runs; auto: every CUDA device, else the CPU.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    help="Precision of the first decision; near ties are decided again in float32.",
)
@click.option(
    "--batch-size", type=BatchSize(min=1), default="auto", help="Sequences at once, or auto."
)
@click.option(
    "--eos-rule",
    type=click.Choice(["none", "mask-eos"]),
    default="none",
    help="mask-eos: token 0 can never be chosen, as in the published evaluation.",
)
@click.option(
    "--likelihood",
    is_flag=True,
    help="Also compute the log-likelihood of each continuation, in nats; in float32 by default.",
)
@click.option(
    "--min-probability",
    type=float,
    help="With --likelihood: leave out likelihoods below this probability, which is faster.",
)
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    help="With --likelihood: divide the logits by it.",
)
@click.option(
    "--top-k",
    type=Whole(min=1),
    help="With --likelihood: only this many most probable tokens can be drawn at each place.",
)
@click.option(
    "--spread",
    is_flag=True,
    help="Divide a model that one GPU cannot hold among all of them; needs Accelerate.",
)
@click.option("--shard-size", type=Whole(min=1), default=131_072, help="Sequences in a score file.")
@click.option("--allow-known-bad", is_flag=True, help="Scan weights known to be another step's.")
@click.option(
    "--sequences-per-step",
    type=Whole(min=1),
    help="Rows that a step consumed, of a model that no manifest names: what it has seen follows.",
)
@click.option("--run", help="Of such a model, where its runs lie.  [default: local-CORPUS]")
@click.option(
    "--keep-weights/--drop-weights",
    default=True,
    help="Keep or delete a downloaded checkpoint in the Hub's cache after its scan.",
)
@click.option(
    "--worker",
    type=Worker(),
    help="Worker I (0 to N-1) of N that run this command at once: its own part, then what is left.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="local: a process for each device of this machine; ray: actors on a Ray cluster.",
)
@click.option("--address", help="The Ray cluster, such as auto or ray://head:10001.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@manifest_option
@json_option
@click.pass_context
def scan(
    ctx: click.Context,
    /,
    *,
    model: str,
    step: str | None,
    suite: str | None,
    manifest: Path | None,
    device: str,
    batch_size: int | None,
    spread: bool,
    keep_weights: bool,
    worker: tuple[int, int] | None,
    engine: str,
    address: str | None,
    dry_run: bool,
    json: bool,
    **selection: Any,
) -> None:
    """Decide which sequences a checkpoint has memorized.

    Repeating a command finishes what was interrupted; finished shards are kept.

    \b
    memtrace scan --model demo --step all
    memtrace scan --model 1.4b --step 143000 --corpus pile/document --dry-run
    memtrace scan --model ./my-model --corpus tokens.npy
    memtrace scan --model ./my-model --corpus tokens.npy --prompt-tokens 50 --continuation-tokens 50
    """
    from memtrace.scanning.checkpoints import find_checkpoints
    from memtrace.scanning.downloads import check_checkpoints
    from memtrace.scanning.jobs import Job
    from memtrace.scanning.plan import plan_scan

    _check_launch(engine, address, worker, keep_weights)
    if spread and (engine == "ray" or device == "cpu"):
        other = "--engine ray, which gives an actor one" if engine == "ray" else "--device cpu"
        raise click.UsageError(f"--spread takes all CUDA devices of a machine: not with {other}")
    if selection["stratified"] and not selection["sample"]:
        raise click.UsageError("--stratified is how a sample is drawn: add --sample N")
    checkpoints = find_checkpoints(model, step, suite=suite, manifest=manifest)
    if not dry_run and find_spec("torch") is None:
        raise ModuleNotFoundError(name="torch")  # before anything is downloaded
    plans: list[ScanPlan] = []
    for each in checkpoints:
        opened = plans[0].corpus if plans else None
        plans.append(plan_scan(each, manifest=manifest, opened=opened, **selection))
    command = command_line(ctx, without=("worker",))  # any worker's command finishes it
    job = Job(tuple(plans), batch_size, tuple(command), keep_weights, spread)
    own = [plans[index] for index, _ in job.part(*worker)] if worker else plans
    need = check_checkpoints(own, keep_weights=keep_weights)
    if dry_run:
        documents = [dry_document(plan) for plan in plans]
        print_result(one_or_list(documents), json, lambda: dry_text(documents, need))
        return
    if selection["likelihood"] and selection["dtype"] == "auto":
        logger.info("--dtype auto: log-likelihoods are computed in float32")
    if need and need.checkpoints:
        logger.info("%s", disk_text(need))
    total = sum(plan.sequences for plan in plans)
    kept = "finished shards are kept"
    with resumable(kept), show_progress(_title(plans), total) as shown:
        if engine == "ray":
            from memtrace.scanning.ray import run_on_ray

            runs = run_on_ray(
                job, device=device, address=address, on_progress=shown, on_stage=shown.stage
            )
        else:
            from memtrace.models.loading import visible_devices
            from memtrace.scanning.launch import run_job

            devices = visible_devices(device)
            runs = run_job(
                job, devices, worker=worker or (0, 1), on_progress=shown, on_stage=shown.stage
            )
    documents = [run_document(run, plans[0].corpus) for run in runs]
    print_result(one_or_list(documents), json, lambda: runs_text(documents))


def _check_launch(
    engine: str, address: str | None, worker: tuple[int, int] | None, keep_weights: bool
) -> None:
    """Refuse options that do not go together."""
    if address and engine != "ray":
        raise click.UsageError("--address is that of a Ray cluster: add --engine ray")
    if engine == "ray" and worker:
        raise click.UsageError("--worker divides the work itself, --engine ray does it: choose one")
    if engine == "ray" and not keep_weights:
        raise click.UsageError(
            "--drop-weights would take them from other actors of the machine: not with --engine ray"
        )


def _title(plans: "list[ScanPlan]") -> str:
    """Return what a bar is called; it leaves room for the bar in 80 columns."""
    name = plans[0].checkpoint.model
    model = name if len(name) <= 24 else f"{name[:23]}…"
    if len(plans) == 1:
        return f"{model} step {plans[0].checkpoint.step}"
    return f"{model}, {len(plans)} checkpoints"
