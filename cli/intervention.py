"""`memtrace intervention`: did a change of the training data change what was measured?

It parses options and writes the answer; the library compares.
"""

from pathlib import Path

import click

from .console import json_option, print_answer
from .output import output_option, write_answer


@click.command()
@click.option(
    "--evals",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the evaluation harness's JSON files, at any depth, of intervened runs and of "
    "their baselines.",
)
@json_option
@output_option("intervention")
def intervention(evals: Path, json: bool, output: Path | None) -> None:
    """Compare intervened runs with their baselines: bias, and what it cost.

    A run is intervened if its model's name says so, such as pythia-intervention-1.4b-deduped; its
    baseline is the same model without the intervention, at the same checkpoints.

    \b
    memtrace intervention --evals pythia/evals
    memtrace intervention --evals pythia/evals --json
    """
    from memtrace.evaluations.intervention import compare_interventions

    answer = compare_interventions(evals)
    if output is not None:
        write_answer(output, "intervention", answer.to_dict(), answer.plot())
    print_answer(answer.to_dict(), json, answer.summary)
