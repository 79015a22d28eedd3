"""`memtrace models init`: a manifest of one's own run, without writing one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import print_result
from .parameters import Whole, file_type, json_option

if TYPE_CHECKING:
    from memtrace.scanning.draft import Draft


@click.command("init")
@click.argument("checkpoints", metavar="'PATH/step{step}'")
@click.option("--corpus", help="Token rows in the order of training: a path on this machine.")
@click.option(
    "--sequences-per-step",
    type=Whole(min=1),
    help="Rows that a step consumes, over all devices.  [default: what a corpus file says]",
)
@click.option("--name", help="Name of suite and model.  [default: the folder above the steps]")
@click.option("--output", type=file_type, default="memtrace.yaml", help="The manifest.")
@json_option
def init_models(
    checkpoints: str,
    corpus: str | None,
    sequences_per_step: int | None,
    name: str | None,
    output: Path,
    json: bool,
) -> None:
    """Write a manifest for checkpoints of your own.

    It finds the steps, reads the model's shape from config.json and the weights, and the rows from
    the corpus. {step} stands for the step in the path; a trainer's folder of checkpoint-N needs
    none. What no file tells is printed: check it.

    \b
    memtrace models init 'ckpt/step{step}' --corpus rows.npy --sequences-per-step 256
    memtrace scan --model ckpt --step all
    """
    from memtrace.errors import CorpusError
    from memtrace.scanning.draft import draft_manifest
    from memtrace.storage.store import replace_atomically

    draft = draft_manifest(
        checkpoints,
        corpus=corpus,
        sequences_per_step=sequences_per_step,
        name=name,
        output=output,
    )
    replace_atomically(
        output,
        lambda path: path.write_bytes(draft.text.encode()),
        option="--output",
        raises=CorpusError,
    )
    print_result(_document(draft, output), json, lambda: _text(draft, output))


def _document(draft: "Draft", output: Path) -> dict[str, Any]:
    return {
        "manifest": str(output),
        "suite": draft.suite,
        "model": draft.suite,
        "steps": draft.steps,
        **vars(draft.shape),
        "corpus": draft.corpus.name,
        "rows": len(draft.corpus),
        "row_tokens": draft.corpus.row_tokens,
        "exposed_rows": draft.exposed_rows,
        "unknown": draft.unknown,
    }


def _text(draft: "Draft", output: Path) -> str:
    """Say what was found, what could not be known, and what to do next."""
    shape, corpus, steps = draft.shape, draft.corpus, draft.steps
    lines = [
        ("steps", f"{len(steps)} checkpoints, step {steps[0]} to {steps[-1]}"),
        (
            "shape",
            f"{shape.architecture}, {shape.layers} layers, width {shape.width}, {shape.heads} "
            f"heads, {shape.parameters:,} parameters, vocabulary {shape.vocab_size:,}",
        ),
        ("corpus", f"{len(corpus):,} rows of {corpus.row_tokens} {corpus.dtype.name} tokens"),
        ("seen", f"step {steps[-1]} has seen {draft.exposed_rows:,} of the rows"),
        *(("not known", sentence) for sentence in draft.unknown),
    ]
    command = f"memtrace scan --model {draft.suite} --step all"
    if output.resolve() != Path("memtrace.yaml").resolve():
        command += f" --manifest {output}"
    lines += [("manifest", f"{output}"), ("next", command)]
    return "\n".join(f"{label:<12}{text}" for label, text in lines)
