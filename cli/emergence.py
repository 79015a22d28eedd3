"""`memtrace emergence`: when in training does it happen, for a sequence and for an ability?"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import one_or_list, print_result, printed, show_progress
from .output import write_document, write_page, write_result, write_table, writing_to
from .parameters import (
    Number,
    existing_folder,
    json_option,
    min_probability_option,
    only_model,
    only_suite,
    optional_runs,
    output_option,
    seed_option,
)
from .selection import by_model

if TYPE_CHECKING:
    from memtrace.emergence import EmergenceFit


logger = logging.getLogger("memtrace")


@click.command()
@optional_runs
@only_suite
@only_model
@click.option(
    "--duplicates",
    type=existing_folder,
    help="Folder that `corpus duplicates` wrote, which tells copies of a text from other "
    "sequences. Corpora of up to 2,000,000 rows need none.",
)
@click.option(
    "--evals",
    type=existing_folder,
    help="Folder of the evaluation harness's JSON files, at any depth, instead of RUNS.",
)
@click.option(
    "--level",
    type=Number(0, 1, min_open=True, max_open=True),
    default=0.5,
    help="With --evals: fraction of its gain that a curve has to make.",
)
@min_probability_option
@seed_option("the simulations")
@json_option
@output_option(
    "emergence.json, report.html, the figures (PNG and SVG) and, of RUNS, sequences.parquet: a row "
    "for each text that was ever memorized"
)
def emergence(
    runs: Path | None,
    suite: str | None,
    model: str | None,
    duplicates: Path | None,
    evals: Path | None,
    level: float,
    min_probability: float | None,
    seed: int,
    json: bool,
    output: Path | None,
) -> None:
    """How early in training do memories and abilities emerge?

    RUNS is the folder that `memtrace scan` wrote, with several checkpoints of a model. Scan with
    --include-unexposed to tell memories from what is extractable without having been seen.

    \b
    memtrace emergence runs
    memtrace emergence runs --model 1.4b --output figures
    memtrace emergence runs --min-probability 0.01
    memtrace emergence --evals pythia/evals --level 0.5 --json
    """
    if (runs is None) == (evals is None):
        raise click.UsageError(
            "give either RUNS, a folder of scans, or --evals, one of evaluations"
        )
    if evals is not None:
        if suite or model or duplicates or min_probability:
            raise click.UsageError(
                "--suite, --model, --duplicates and --min-probability are for RUNS, not --evals"
            )
        _abilities(evals, level, seed, json, output)
    elif runs is not None:
        fits, alone = _memorization(runs, suite, model, duplicates, min_probability, seed)
        documents = [fit.to_dict() for fit in fits]
        if output is not None:
            _write(output, fits, documents, alone)
        print_result(one_or_list(documents), json, lambda: printed(*fits))


def _abilities(evals: Path, level: float, seed: int, json: bool, output: Path | None) -> None:
    from memtrace.evaluations.abilities.fit import emergence_of_abilities
    from memtrace.evaluations.abilities.page import ability_page

    with show_progress("Fitting the curves"):
        result = emergence_of_abilities(evals, level, seed)
    if output is not None:
        write_result(output, "emergence", result.to_dict(), result.plot())
        write_page(output, ability_page(result))
    print_result(result.to_dict(), json, lambda: printed(result))


def _memorization(
    runs: Path,
    suite: str | None,
    model: str | None,
    duplicates: Path | None,
    min_probability: float | None,
    seed: int,
) -> "tuple[list[EmergenceFit], list[str]]":
    """Fit each model of a folder; return also the names of those left out for one checkpoint."""
    from memtrace.runs.run import find_runs

    models = by_model(find_runs(runs, suite=suite, model=model))
    from memtrace.emergence import fit_emergence

    fits, alone = [], [key for key, group in models.items() if len(group) == 1]
    for key in alone if len(alone) < len(models) else []:
        logger.warning("%s/%s has one checkpoint and is left out", *key)
        del models[key]
    for (_, name), group in models.items():
        total = sum(run.configuration.stop - run.configuration.start for run in group)
        with show_progress(f"Reading {name}", total, "scores") as advance:
            fits.append(
                fit_emergence(
                    group,
                    duplicates=duplicates,
                    min_probability=min_probability,
                    seed=seed,
                    on_progress=advance,
                )
            )
    return fits, [f"{of}/{name}" for of, name in alone]


def _write(
    output: Path, fits: "list[EmergenceFit]", documents: list[dict[str, Any]], alone: list[str]
) -> None:
    """Write the documents, tables and figures, in a folder for each model if there are several."""
    from memtrace.emergence.figures import save_emergence
    from memtrace.emergence.page import emergence_page

    with writing_to(output), show_progress("Drawing", len(fits), "models") as advance:
        for fit, document in zip(fits, documents, strict=True):
            found = fit.histories
            folder = output / f"{found.suite}-{found.model}" if len(fits) > 1 else output
            folder.mkdir(exist_ok=True)
            write_document(folder / "emergence.json", document)
            write_table(folder / "sequences.parquet", fit.sequence_table())
            save_emergence(fit, folder)
            advance(1)
        write_page(output, emergence_page(fits, alone))
