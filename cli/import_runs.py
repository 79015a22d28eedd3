"""`memtrace import`: turn published evaluations into runs."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .console import command_line, print_result, show_progress
from .parameters import (
    Whole,
    json_option,
    manifest_option,
    model_suite,
    runs_option,
    sequence_options,
)


@click.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--model", help="Short name of the model.  [default: what SOURCE's name tells]")
@click.option("--step", type=Whole(min=0), help="Checkpoint.  [default: what SOURCE's name tells]")
@model_suite
@click.option("--corpus", help="Compare the imported tokens with this corpus.")
@sequence_options()
@runs_option
@manifest_option
@json_option
@click.pass_context
def import_runs(
    ctx: click.Context,
    source: Path,
    model: str | None,
    step: int | None,
    suite: str | None,
    corpus: str | None,
    prompt_tokens: int,
    continuation_tokens: int,
    offset: int,
    runs: Path,
    manifest: Path | None,
    json: bool,
) -> None:
    """Turn a published evaluation into a run.

    The statistics take it as any other run. SOURCE is the CSV files of the published script
    (index,accuracy; .csv.gz too), one file or the folder of all ranks; its HDF5 files; or a
    Parquet table of pythia-memorized-evals (index, tokens), which lists only the memorized
    sequences: the others that the step had seen count as not memorized. In a folder with tables of
    several checkpoints, --model and --step choose.

    \b
    memtrace import memorization_12b_143000/
    memtrace import duped.1.4b.parquet --corpus packs/pile-standard
    """
    from memtrace.runs.events import read_events
    from memtrace.scanning.import_published import import_run
    from memtrace.scanning.published import describe

    with show_progress(f"Importing {source.name}") as advance:
        run, findings = import_run(
            source,
            model=model,
            step=step,
            suite=suite,
            corpus=corpus,
            prompt_tokens=prompt_tokens,
            continuation_tokens=continuation_tokens,
            offset=offset,
            runs=runs,
            manifest=manifest,
            command=command_line(ctx),
            on_progress=advance,
        )
    counts = read_events(run).count(run.exposed_rows)
    document = {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "run": str(run.folder),
        "sequences": counts["sequences"],
        "memorized": counts["memorized"],
        "findings": asdict(findings),
    }
    print_result(document, json, lambda: "\n".join([_text(document), *describe(findings)]))


def _text(document: dict[str, Any]) -> str:
    return (
        "{suite}/{model} step {step}: {memorized:,} of {sequences:,} sequences memorized\n"
        "Run: {run}"
    ).format_map(document)
