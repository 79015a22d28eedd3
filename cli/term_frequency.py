"""`memtrace term-frequency`: does accuracy on a term go with how often training has shown it?"""

from pathlib import Path

import click

from .console import print_result, printed, show_progress
from .output import write_page, write_result
from .parameters import existing_file, json_option, output_option, seed_option


@click.command("term-frequency")
@click.argument("accuracy", type=click.Path(exists=True, path_type=Path), metavar="CSV")
@click.option(
    "--counts",
    type=existing_file,
    required=True,
    help="Table of term, step, count (Parquet or CSV), as `memtrace corpus count` writes; counts "
    "of one step only stand for all checkpoints.",
)
@seed_option("the simulations")
@json_option
@output_option("terms.json, report.html and the figures (PNG and SVG)")
def term_frequency(
    accuracy: Path, counts: Path, seed: int, json: bool, output: Path | None
) -> None:
    """Relate accuracy on a term to how often training showed it.

    How strong is the relation, and since which checkpoint? CSV is a table, or a folder of tables,
    with the columns model, checkpoint, task, fewshot, acc and acc_stderr. The term is what follows
    the last underscore of the task, or a column of its own.

    \b
    memtrace corpus count pile/document --suite pythia --terms terms.txt --tokenizer tokenizer.json --output counts.parquet
    memtrace term-frequency pythia/evals/csv --counts counts.parquet
    """  # noqa: E501
    from memtrace.evaluations import read_counts, read_term_accuracy, relate_terms
    from memtrace.evaluations.terms.page import term_page

    with show_progress("Relating"):
        result = relate_terms(read_term_accuracy(accuracy), read_counts(counts), seed)
    if output is not None:
        write_result(output, "terms", result.to_dict(), result.plot())
        write_page(output, term_page(result))
    print_result(result.to_dict(), json, lambda: printed(result))
