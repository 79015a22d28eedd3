"""`memtrace extraction`: how much would sampling extract?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import fast_imports, one_or_list, print_result, printed, show_progress
from .output import write_document, write_page, writing_to
from .parameters import (
    Numbers,
    existing_folder,
    json_option,
    only_model,
    only_suite,
    output_option,
    runs_argument,
    step_option,
)
from .selection import check_same_sequences, with_likelihoods

if TYPE_CHECKING:
    from memtrace.likelihood import ExtractionFit


@click.command()
@runs_argument
@only_suite
@only_model
@step_option(otherwise="the last of each model with likelihoods")
@click.option(
    "--n",
    type=Numbers(least=1, whole=True),
    default="1,10,100,1000",
    help="Numbers of samples.",
)
@click.option(
    "--p",
    type=Numbers(least=0, most=1, ends=False),
    default="0.1,0.5,0.9",
    help="Chances that at least one of the samples is the continuation.",
)
@click.option(
    "--duplicates",
    type=existing_folder,
    help="Folder that `corpus duplicates` wrote, for numbers of texts. A corpus of up to "
    "2,000,000 rows needs none: its copies are found.",
)
@json_option
@output_option("extraction.json, report.html and the figures (PNG and SVG)")
def extraction(
    runs: Path,
    suite: str | None,
    model: str | None,
    step: str | None,
    n: tuple[float, ...],
    p: tuple[float, ...],
    duplicates: Path | None,
    json: bool,
    output: Path | None,
) -> None:
    """How much would sampling extract?

    RUNS is the folder that `memtrace scan --likelihood` wrote. A sequence is (n, p)-discoverable
    if at least one of n samples is its continuation with a chance of p or more (Hayes et al.
    2024). What unexposed sequences give is chance: scan with --include-unexposed.

    \b
    memtrace scan --model demo --step 1536 --likelihood --include-unexposed
    memtrace extraction runs
    memtrace extraction runs --n 1,100,10000 --p 0.5 --output extraction
    """
    from memtrace.runs.run import find_runs

    found = find_runs(runs, suite=suite, model=model)
    chosen = with_likelihoods(found, step)
    if step is None:
        chosen = list({(run.suite, run.model): run for run in chosen}.values())
    check_same_sequences(chosen)
    with fast_imports():
        from memtrace.likelihood import fit_extraction

    fits = []
    for run in chosen:
        with show_progress(run.label, run.configuration.sequences) as advance:
            fits.append(
                fit_extraction(
                    run,
                    n=[int(one) for one in n],
                    p=p,
                    duplicates=duplicates,
                    on_progress=advance,
                )
            )
    documents: list[dict[str, Any]] = [
        {"suite": run.suite, "model": run.model, **fit.to_dict()}
        for run, fit in zip(chosen, fits, strict=True)
    ]
    if output is not None:
        _write(output, documents, fits)
    print_result(one_or_list(documents), json, lambda: printed(*fits))


def _write(output: Path, documents: list[dict[str, Any]], fits: "list[ExtractionFit]") -> None:
    """Write extraction.json, report.html and the figures, named if there are several runs."""
    from memtrace.likelihood.extraction.figures import shown, single
    from memtrace.likelihood.extraction.page import extraction_page
    from memtrace.report.figures import write_figure

    with writing_to(output), show_progress("Drawing", len(fits), "checkpoints") as advance:
        write_document(output / "extraction.json", one_or_list(documents))
        for document, fit in zip(documents, fits, strict=True):
            name = f"{document['suite']}-{document['model']}-step{document['step']}-"
            for figure in shown(fit):
                prefix = name if len(fits) > 1 else ""
                write_figure(single(fit, figure), output / f"{prefix}{figure}")
            advance(1)
        write_page(output, extraction_page(fits))
