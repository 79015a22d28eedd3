"""`memtrace scan`: parse, plan, run, print.

It knows options and tables; planning and deciding are the library's.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .console import json_option, manifest_option, print_answer, show_progress

if TYPE_CHECKING:
    from memtrace.plan import ScanPlan
    from memtrace.runs import Run


class SequenceRange(click.ParamType[tuple[int, int]]):
    """`A:B`, sequence indices from A up to but not including B."""

    name = "A:B"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the two numbers."""
        if isinstance(value, tuple):
            return value
        try:
            start, stop = (int(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not A:B with two whole numbers, such as 0:100000", param, ctx)
        return start, stop


class BatchSize(click.IntRange):
    """A whole number, or `auto`."""

    name = "N|auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the number; `auto` is None."""
        return None if value in (None, "auto") else super().convert(value, param, ctx)


@click.command()
@click.option(
    "--model", required=True, help="Short name, folder, Hub repository or repository@revision."
)
@click.option("--step", help="Checkpoints: 1000,2000, 1000:143000:1000, all or last (default).")
@click.option("--suite", help="Suite of the model, where two have one of that name.")
@click.option("--corpus", help="Manifest name, Megatron prefix or .npy  [default: the model's own]")
@click.option("--runs", type=click.Path(path_type=Path), default="runs", help="Folder of runs.")
@click.option("--sequences", type=SequenceRange(), help="Only sequence indices A to B-1.")
@click.option(
    "--include-unexposed",
    is_flag=True,
    help="Also sequences that the checkpoint had not seen: a randomised control group.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    help="Type of the first decision; near ties are decided again in float32.",
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
    "--shard-size", type=click.IntRange(min=1), default=131_072, help="Sequences in a score file."
)
@click.option("--allow-known-bad", is_flag=True, help="Scan weights known to be another step's.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
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
    dry_run: bool,
    as_json: bool,
    **selection: Any,
) -> None:
    """Decide for every training sequence whether a checkpoint has memorized it.

    Repeating a command finishes what was interrupted; finished shards are kept.

    \b
    memtrace scan --model demo --step all
    memtrace scan --model 1.4b --step 143000 --corpus pile/document --dry-run
    memtrace scan --model ./my-model --corpus tokens.npy
    """
    from memtrace.launch import run_scan
    from memtrace.plan import find_checkpoints, plan_scan

    try:
        checkpoints = find_checkpoints(model, step, suite=suite, manifest=manifest)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param_hint="--step") from error
    plans = [plan_scan(each, manifest=manifest, **selection) for each in checkpoints]
    if dry_run:
        documents = [_dry_document(plan) for plan in plans]
        print_answer(_unwrap(documents), as_json, lambda: _dry_text(documents))
        return
    documents = []
    for plan in plans:
        with show_progress(f"{model} step {plan.checkpoint.step}", plan.sequences) as advance:
            run = run_scan(
                plan,
                device=device,
                batch_size=batch_size,
                command=_command_line(ctx),
                on_progress=advance,
            )
        documents.append(_document(run))
    print_answer(_unwrap(documents), as_json, lambda: _text(documents))


def _unwrap(documents: list[dict[str, Any]]) -> Any:
    """One checkpoint makes one document, several make a list."""
    return documents[0] if len(documents) == 1 else documents


def _command_line(ctx: click.Context) -> list[str]:
    """Return the command with every option that was given, typed or by environment."""
    words = ["memtrace", "scan"]
    for param in ctx.command.params:
        name = param.name or ""
        if ctx.get_parameter_source(name) == ParameterSource.DEFAULT or name == "as_json":
            continue
        value = ctx.params[name]
        if value is True:
            words.append(param.opts[0])
        elif isinstance(value, tuple):
            words += [param.opts[0], ":".join(map(str, value))]
        elif value is not None and value is not False:
            words += [param.opts[0], str(value)]
    return words


def _document(run: "Run") -> dict[str, Any]:
    from memtrace.scores import count_memorized

    counts = count_memorized(run.scores(), run.exposed_rows, run.continuation_tokens)
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "run": str(run.folder),
        **counts,
        "sittings": run.record.get("sittings", []),
    }


def _text(documents: list[dict[str, Any]]) -> str:
    lines = [
        f"{'step':>8} {'sequences':>12} {'memorized':>10} {'share':>9}   unexposed (memorized)"
    ]
    for d in documents:
        share = f"{d['memorized'] / d['sequences']:.4%}" if d["sequences"] else "-"
        control = (
            f"{d['unexposed_sequences']:,} ({d['unexposed_memorized']:,})"
            if d["unexposed_sequences"]
            else "-"
        )
        lines.append(
            f"{d['step']:>8} {d['sequences']:>12,} {d['memorized']:>10,} {share:>9}   {control}"
        )
    folders = documents[0]["run"] if len(documents) == 1 else str(Path(documents[0]["run"]).parent)
    return "\n".join([*lines, f"Scores: {folders}"])


def _dry_document(plan: "ScanPlan") -> dict[str, Any]:
    shards = plan.shards()
    done = [s for s in shards if (plan.folder / "scores" / s.file_name).is_file()]
    left = sum(s.stop - s.start for s in shards) - sum(s.stop - s.start for s in done)
    return {
        "suite": plan.checkpoint.suite,
        "model": plan.checkpoint.model,
        "step": plan.checkpoint.step,
        "run": str(plan.folder),
        "source": plan.checkpoint.source,
        "revision": plan.checkpoint.revision,
        "corpus": plan.corpus.name,
        "sequences": plan.sequences,
        "sequences_left": left,
        "shards": len(shards),
        "shards_left": len(shards) - len(done),
        "bytes_to_read": left * plan.rules.sequence_tokens * plan.corpus.dtype.itemsize,
        "floor_operations": plan.floor_operations(),
    }


def _dry_text(documents: list[dict[str, Any]]) -> str:
    lines = [
        f"{'step':>8} {'sequences':>14} {'left':>14} {'shards left':>12} {'read':>10} {'work':>14}"
    ]
    for d in documents:
        work = d["floor_operations"]
        lines.append(
            f"{d['step']:>8} {d['sequences']:>14,} {d['sequences_left']:>14,} "
            f"{d['shards_left']:>12,} {d['bytes_to_read'] / 1e9:>7.2f} GB "
            + (f"{work / 1e15:>8,.1f} PFLOP" if work is not None else f"{'-':>14}")
        )
    work = sum(d["floor_operations"] or 0 for d in documents)
    if work:
        lines.append(
            f"At least {work / 1e15:,.1f} PFLOP in all: {work / 400e12 / 3600:,.2f} hours of a GPU "
            "that sustains 400 TFLOP/s (an H100 in half precision)."
        )
    return "\n".join(lines)
