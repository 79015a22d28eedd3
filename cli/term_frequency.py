"""`memtrace term-frequency`: does accuracy on a term go with how often training has shown it?

It parses options and writes the answer; the library relates.
"""

from pathlib import Path

import click

from .console import json_option, print_answer
from .output import output_option, write_answer


@click.command("term-frequency")
@click.argument("accuracy", type=click.Path(exists=True, path_type=Path), metavar="CSV")
@click.option(
    "--counts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Table of term, step, count (Parquet or CSV), as `memtrace corpus count` writes; counts "
    "of one step only stand for all checkpoints.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the simulations.")
@json_option
@output_option("terms")
def term_frequency(
    accuracy: Path, counts: Path, seed: int, json: bool, output: Path | None
) -> None:
    """Relate accuracy by term to counts of terms: how strongly, and since which checkpoint.

    CSV is a table, or a folder of tables, with the columns model, checkpoint, task, fewshot, acc
    and acc_stderr; the term is what follows the last underscore of the task, or a column of its
    own.

    \b
    memtrace corpus count pile/document --suite pythia --terms terms.txt --tokenizer tokenizer.json --output counts.parquet
    memtrace term-frequency pythia/evals/csv --counts counts.parquet
    """  # noqa: E501
    from memtrace.evaluations.terms import read_counts, read_term_accuracy, relate_terms

    answer = relate_terms(read_term_accuracy(accuracy), read_counts(counts), seed)
    if output is not None:
        write_answer(output, "terms", answer.to_dict(), answer.plot())
    print_answer(answer.to_dict(), json, answer.summary)
