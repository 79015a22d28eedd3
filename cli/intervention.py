"""`memtrace intervention`: did a change of the training data change what was measured?"""

from pathlib import Path

import click

from .console import print_result, printed, show_progress
from .output import write_page, write_result
from .parameters import existing_folder, json_option, output_option


@click.command()
@click.option(
    "--evals",
    type=existing_folder,
    required=True,
    help="Folder of the evaluation harness's JSON files, at any depth, of intervened runs and of "
    "their baselines.",
)
@json_option
@output_option("intervention.json, report.html and the figures (PNG and SVG)")
def intervention(evals: Path, json: bool, output: Path | None) -> None:
    """Compare intervened runs with their baselines.

    How much did the bias change, and what did it cost? A run is intervened if its model's name says
    so, such as pythia-intervention-1.4b-deduped. Its baseline is the same model without the
    intervention, at the same checkpoints.

    \b
    memtrace intervention --evals pythia/evals
    memtrace intervention --evals pythia/evals --json
    """
    from memtrace.evaluations.intervention.fit import compare_interventions
    from memtrace.evaluations.intervention.page import intervention_page

    with show_progress("Comparing"):
        result = compare_interventions(evals)
    if output is not None:
        write_result(output, "intervention", result.to_dict(), result.plot())
        write_page(output, intervention_page(result))
    print_result(result.to_dict(), json, lambda: printed(result))
