"""`memtrace fit-poisson`: is memorization a Poisson process in training order?"""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import estimate_text, fast_imports, one_or_list, print_result, printed, show_progress
from .fit_table import check_options, is_indices, read_indices
from .output import write_document, write_page, write_result, writing_to
from .parameters import (
    Steps,
    Store,
    Whole,
    existing_folder,
    json_option,
    margin_option,
    min_probability_option,
    only_model,
    only_suite,
    output_option,
    seed_option,
    step_option,
    window_option,
)
from .selection import by_model, check_same_sequences, last_finished, runs_at

if TYPE_CHECKING:
    from memtrace.point_process import EventSequence, PoissonFit
    from memtrace.point_process.models.piecewise import Cut
    from memtrace.runs.run import Run
    from memtrace.runs.sampling import CountEstimate

logger = logging.getLogger("memtrace")


@click.command("fit-poisson")
@click.argument("runs", type=Store(or_table=True), default="runs", metavar="RUNS|TABLE")
@click.option(
    "--sequences", type=Whole(min=1), help="Of a TABLE: how many sequences were examined in all."
)
@click.option(
    "--sequences-per-step",
    type=Whole(min=1),
    help="Sequences that a step consumes, of a TABLE, or of runs whose order is not known.",
)
@click.option("--column", help="Of a TABLE: the column of indices, where it has several.")
@only_suite
@only_model
@step_option(otherwise="the last finished one of each model")
@window_option
@margin_option
@seed_option("the simulations")
@click.option(
    "--cuts",
    type=Steps(),
    help="Steps at which the rate may change, chosen before the data were seen: 1000,2000. Those "
    "known of a model, such as the end of Pythia's warm-up, are added.",
)
@click.option(
    "--duplicates",
    type=existing_folder,
    help="Folder that `corpus duplicates` wrote, for statistics by text; by default the folder "
    "`duplicates` in the prefix pack. A corpus of up to 2,000,000 rows needs none: its copies are "
    "found.",
)
@click.option(
    "--row-interval",
    is_flag=True,
    help="Where sequences are copies, also give an interval of the share that is memorized: at "
    "least 95%, with the copies as they are.",
)
@click.option(
    "--time-scale",
    type=click.Choice(["order", "emergence"]),
    default="order",
    help="order: where in training the sequences memorized at a checkpoint lie. emergence: when, "
    "from checkpoint to checkpoint, texts came to be memorized; --step chooses the "
    "checkpoints, --window has no meaning.",
)
@min_probability_option
@click.option("--full", is_flag=True, help="Of several fits print all numbers, not only the table.")
@json_option
@output_option("fit.json, report.html and the figures (PNG and SVG)")
@click.pass_context
def fit_poisson(
    ctx: click.Context,
    runs: Path,
    sequences: int | None,
    sequences_per_step: int | None,
    column: str | None,
    suite: str | None,
    model: str | None,
    step: str | None,
    window: int,
    margin: float,
    seed: int,
    cuts: str | None,
    duplicates: Path | None,
    row_interval: bool,
    time_scale: str,
    min_probability: float | None,
    full: bool,
    json: bool,
    output: Path | None,
) -> None:
    """Is memorization a Poisson process in training order?

    RUNS is the folder that `memtrace scan` wrote. TABLE has the indices of the memorized sequences
    in training order, counted from 0 (Parquet, CSV or .npy); --sequences says of how many.

    \b
    memtrace fit-poisson runs
    memtrace fit-poisson indices.parquet --sequences 146432000 --sequences-per-step 1024
    memtrace fit-poisson runs --model 1.4b --step 143000 --output figures
    memtrace fit-poisson runs --step all --json > fits.json
    memtrace fit-poisson runs --model 1.4b --time-scale emergence
    """
    from memtrace.runs.run import find_runs

    check_options(ctx, runs)
    if is_indices(runs) and sequences:
        with fast_imports():
            from memtrace.point_process import fit_poisson as fit_events
        events = read_indices(runs, sequences, sequences_per_step, column)
        known = _cuts("", "", events, cuts)
        fit = fit_events(events, window=window, margin=margin, seed=seed, cuts=known)
        if output is not None:
            _write(output, [fit.to_dict()], [fit], [""])
        print_result(fit.to_dict(), json, lambda: printed(fit))
        return
    found = find_runs(runs, suite=suite, model=model)
    if sequences_per_step:
        found = [run.in_order(sequences_per_step) for run in found]
    if time_scale == "emergence":
        at = runs_at(found, step or "all")
        _fit_emergence(at, duplicates, min_probability, margin, seed, cuts, json, output)
        return
    chosen = runs_at(found, step) if step else _in_order(last_finished(found))
    check_same_sequences(chosen)
    with fast_imports():
        from memtrace.point_process import EventSequence, fit_run
        from memtrace.runs.estimate import estimate_run
        from memtrace.runs.events import read_events
        from memtrace.runs.likelihoods import find_probable

    fits, estimates = [], []
    with show_progress("Fitting", len(chosen), "checkpoints") as advance:
        for run in chosen:
            logger.debug("%s: reading its events", run.label)
            found_events = (
                find_probable(run, min_probability)
                if min_probability
                else read_events(run, hashes=True)
            )
            estimates.append(estimate_run(run, found_events))
            axis = EventSequence.from_positions(
                [], n=run.exposed_rows, sequences_per_step=run.configuration.sequences_per_step
            )
            known = _cuts(run.suite, run.model, axis, cuts)
            number = len(found_events.sequence_index)
            logger.debug("%s: fitting %s events", run.label, f"{number:,}")
            fits.append(
                fit_run(
                    run,
                    duplicates=duplicates,
                    found=found_events,
                    min_probability=min_probability,
                    window=window,
                    margin=margin,
                    seed=seed,
                    cuts=known,
                    row_interval=row_interval,
                )
            )
            advance(1)
    documents = [
        {**_document(run, one, estimate), "min_probability": min_probability}
        for run, one, estimate in zip(chosen, fits, estimates, strict=True)
    ]
    _adjust(documents, fits)
    if output is not None:
        names = [f"{run.suite}-{run.model}-step{run.step}-" for run in chosen]
        _write(output, documents, fits, names if len(fits) > 1 else [""])
    print_result(one_or_list(documents), json, lambda: _text(documents, fits, full))


def _in_order(chosen: "list[Run]") -> "list[Run]":
    """Leave out runs whose order of training is unknown, unless there is no other."""
    known = [run for run in chosen if run.is_order_known]
    for run in chosen if known else []:
        if not run.is_order_known:
            logger.warning("%s has no known order of training and is left out", run.label)
    return known or chosen


def _fit_emergence(
    chosen: "list[Run]",
    duplicates: Path | None,
    min_probability: float | None,
    margin: float,
    seed: int,
    cuts: str | None,
    json: bool,
    output: Path | None,
) -> None:
    """Fit the process of emergence times of each model."""
    from memtrace.emergence import read_histories
    from memtrace.emergence.process.fit import fit_emergence_process
    from memtrace.emergence.process.page import process_page
    from memtrace.point_process import EventSequence

    models = by_model(chosen)
    fits = []
    with show_progress("Fitting", len(models), "models") as advance:
        for (suite, model), group in models.items():
            histories = read_histories(
                group, duplicates=duplicates, min_probability=min_probability
            )
            # A training of one sequence a step: what is known of it beforehand are steps.
            axis = EventSequence.from_positions([], n=histories.total_steps, sequences_per_step=1)
            known = _cuts(suite, model, axis, cuts)
            fits.append(fit_emergence_process(histories, margin=margin, seed=seed, cuts=known))
            advance(1)
    documents = [fit.to_dict() for fit in fits]
    if output is not None:
        for (suite, model), fit, document in zip(models, fits, documents, strict=True):
            name = "fit" if len(fits) == 1 else f"{suite}-{model}-fit"
            write_result(output, name, document, fit.plot())
        write_page(output, process_page(fits))
    print_result(one_or_list(documents), json, lambda: printed(*fits))


def _cuts(suite: str, model: str, events: "EventSequence", steps: str | None) -> "list[Cut]":
    """Return the cuts known of the model and those of the command, which are steps."""
    from memtrace.manifests.schedule import last_step, rows_before
    from memtrace.manifests.steps import parse_steps
    from memtrace.point_process.models.piecewise import Cut, known_cuts

    found = {cut.index: cut for cut in known_cuts(suite, model, events)}
    schedule = events.schedule or 1
    last = last_step(schedule, max(events.n - 1, 0))
    for step in parse_steps(steps, range(1, last + 1)) if steps else []:
        index = rows_before(schedule, step)
        found[index] = Cut(index, f"step {step:,}")
    return [found[index] for index in sorted(found)]


def _adjust(documents: list[dict[str, Any]], fits: "list[PoissonFit]") -> None:
    """Add to each drift's p-value what it is among so many fits."""
    from memtrace.point_process.order import UNDERPOWERED
    from memtrace.point_process.several import comparison
    from memtrace.report.json import json_safe

    if len(fits) == 1:
        return
    for document, fit, row in zip(documents, fits, comparison(fits), strict=True):
        adjusted = {key: row[key] for key in ("p_value_holm", "p_value_by")}
        of = document["texts"]["trend"]["once"] if fit.has_copies else document["trend"]
        of |= json_safe(adjusted)
        if not row["powered"]:
            of["reason"] = of["reason"] or f"no drift of {UNDERPOWERED:g}-fold could be found"


def _text(documents: list[dict[str, Any]], fits: "list[PoissonFit]", full: bool) -> str:
    """Return the numbers of a single fit, of several their table and, if wanted, all numbers."""
    parts = []
    if len(fits) > 1:
        parts.append(_table(documents, fits))
    if len(fits) == 1 or full:
        parts += [_numbers(document, fit) for document, fit in zip(documents, fits, strict=True)]
    else:
        parts.append("All numbers: --full or --json; figures: --output DIR.")
    return "\n\n\n".join(parts)


def _table(documents: list[dict[str, Any]], fits: "list[PoissonFit]") -> str:
    """Return the table of several fits, of one model by step."""
    from memtrace.point_process.several import comparison
    from memtrace.point_process.text import comparison_table

    models = {f"{one['suite']}/{one['model']}" for one in documents}
    names, heading, title = [fit.events.label for fit in fits], "fit", ""
    if len(models) == 1:
        names, heading, title = [f"{d['step']:,}" for d in documents], "step", f"{models.pop()}\n\n"
    return title + printed(comparison_table(comparison(fits), names, heading))


def _numbers(document: dict[str, Any], fit: "PoissonFit") -> str:
    parts = [printed(fit)]
    if document["sample"] is not None:
        parts.append(estimate_text(document["sample"]))
    return "\n\n".join(parts)


def _document(run: "Run", fit: "PoissonFit", estimate: "CountEstimate | None") -> dict[str, Any]:
    """Return the document of a fit; the estimate is that of a sampled scan for all sequences."""
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        **fit.to_dict(),
        "sample": {**asdict(run.configuration.sample), **asdict(estimate)}
        if estimate and run.configuration.sample
        else None,
    }


def _write(
    output: Path, documents: list[dict[str, Any]], fits: "list[PoissonFit]", prefixes: list[str]
) -> None:
    """Write fit.json, report.html and the figures, whose names begin with the prefixes."""
    from memtrace.point_process.figures import small_multiples
    from memtrace.point_process.figures.drawing import draw_all
    from memtrace.point_process.page import fit_page
    from memtrace.report.figures import write_figure

    with writing_to(output):
        write_document(output / "fit.json", one_or_list(documents))
        with show_progress("Drawing", len(fits), "checkpoints") as advance:
            drawings = draw_all(fits, advance)
        if len(fits) > 1:
            write_figure(small_multiples(fits), output / "small-multiples")
        for prefix, drawn in zip(prefixes, drawings, strict=True):
            for name, drawing in drawn.items():
                drawing.write(output / f"{prefix}{name}")
        write_page(output, fit_page(fits))
