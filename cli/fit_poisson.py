"""`memtrace fit-poisson`: is memorization a Poisson process in training order?

It chooses the runs and writes the answer; the library does the statistics.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Store, estimate_text, json_option, one_or_list, print_answer
from .output import write_answer, write_document, writing_to

if TYPE_CHECKING:
    from memtrace.point_process import EventSequence, PoissonFit
    from memtrace.point_process.models.piecewise import Cut
    from memtrace.runs.run import Run


@click.command("fit-poisson")
@click.argument("runs", type=Store(), default="runs")
@click.option("--suite", help="Only this suite.")
@click.option("--model", help="Only this model; every model found if left out.")
@click.option(
    "--step",
    help="Checkpoints: 1000 or 1000,2000 or 1000:143000:1000 (end included) or all; the last "
    "finished one of each model if left out.",
)
@click.option(
    "--window", type=click.IntRange(min=1), default=512, help="Length of a window in sequences."
)
@click.option(
    "--margin",
    type=click.FloatRange(min=1, min_open=True),
    default=1.05,
    help="Ratio of the rates at the end and the start of training from which a drift matters.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the simulations.")
@click.option(
    "--cuts",
    help="Steps at which the rate may change, chosen before looking: 1000,2000. Those known of a "
    "model, such as the end of Pythia's warm-up, are added.",
)
@click.option(
    "--multiplicity",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the table of multiplicities, for strata of prefixes that occur once, a few "
    "times and often.",
)
@click.option(
    "--clock",
    type=click.Choice(["order", "emergence"]),
    default="order",
    help="order: where in training the sequences memorized at a checkpoint lie. emergence: when, "
    "from checkpoint to checkpoint, sequences came to be memorized; --step chooses the "
    "checkpoints, --window has no meaning.",
)
@json_option
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for fit.json, report.html and the figures (PNG and SVG).",
)
def fit_poisson(
    runs: Path,
    suite: str | None,
    model: str | None,
    step: str | None,
    window: int,
    margin: float,
    seed: int,
    cuts: str | None,
    multiplicity: Path | None,
    clock: str,
    json: bool,
    output: Path | None,
) -> None:
    """Is memorization a Poisson process in training order?

    RUNS is the folder that `memtrace scan` wrote.

    \b
    memtrace fit-poisson runs
    memtrace fit-poisson runs --model 1.4b --step 143000 --output figures
    memtrace fit-poisson runs --step all --json > fits.json
    memtrace fit-poisson runs --model 1.4b --clock emergence
    """
    from memtrace.point_process import EventSequence
    from memtrace.point_process import fit_poisson as fit
    from memtrace.runs.run import find_runs

    found = find_runs(runs, suite=suite, model=model)
    if clock == "emergence":
        if multiplicity is not None:
            raise click.UsageError("--multiplicity has no meaning with --clock emergence")
        _fit_emergence(_choose(found, step or "all"), margin, seed, cuts, json, output)
        return
    chosen = _choose(found, step)
    fits = []
    for run in chosen:
        events = EventSequence.from_run(run)
        known = _cuts(run.suite, run.model, events, cuts)
        fits.append(fit(events, window=window, margin=margin, seed=seed, cuts=known))
    documents = [
        {**_document(run, one), "strata": _strata(run, multiplicity, margin)}
        for run, one in zip(chosen, fits, strict=True)
    ]
    _adjust(documents, fits)
    if output is not None:
        _write(output, documents, chosen, fits)
    print_answer(one_or_list(documents), json, lambda: _text(documents, fits))


def _fit_emergence(
    chosen: "list[Run]",
    margin: float,
    seed: int,
    cuts: str | None,
    json: bool,
    output: Path | None,
) -> None:
    """Fit the process of emergence times of each model."""
    from memtrace.emergence import read_histories
    from memtrace.emergence.process.fit import fit_emergence_process
    from memtrace.point_process import EventSequence

    models: dict[tuple[str, str], list[Run]] = {}
    for run in chosen:
        models.setdefault((run.suite, run.model), []).append(run)
    fits = []
    for (suite, model), group in models.items():
        histories = read_histories(group)
        # A training of one sequence a step: what is known of it beforehand are steps.
        axis = EventSequence.from_positions([], n=histories.total_steps, sequences_per_step=1)
        known = _cuts(suite, model, axis, cuts)
        fits.append(fit_emergence_process(histories, margin=margin, seed=seed, cuts=known))
    documents = [fit.to_dict() for fit in fits]
    if output is not None:
        for (suite, model), fit, document in zip(models, fits, documents, strict=True):
            name = "fit" if len(fits) == 1 else f"{suite}-{model}-fit"
            write_answer(output, name, document, fit.plot())
    print_answer(one_or_list(documents), json, lambda: "\n\n\n".join(fit.summary() for fit in fits))


def _cuts(suite: str, model: str, events: "EventSequence", steps: str | None) -> "list[Cut]":
    """Return the cuts known of the model and those of the command, which are steps."""
    from memtrace.manifests.steps import parse_steps
    from memtrace.point_process.models.piecewise import Cut, known_cuts

    found = {cut.index: cut for cut in known_cuts(suite, model, events)}
    unit = events.sequences_per_step or 1
    try:
        asked = parse_steps(steps, range(1, -(-events.n // unit))) if steps else []
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cuts") from error
    found |= {step * unit: Cut(step * unit, f"step {step:,}") for step in asked}
    return [found[index] for index in sorted(found)]


def _strata(run: "Run", folder: Path | None, margin: float) -> list[dict[str, Any]] | None:
    if folder is None:
        return None
    from memtrace.corpus.duplicates import scan_multiplicity
    from memtrace.point_process.strata import multiplicity_strata

    strata = multiplicity_strata(
        run.scores(),
        scan_multiplicity(folder),
        n=run.exposed_rows,
        sequences_per_step=run.sequences_per_step,
        continuation_tokens=run.continuation_tokens,
        margin=margin,
    )
    return [one.document() for one in strata]


def _adjust(documents: list[dict[str, Any]], fits: "list[PoissonFit]") -> None:
    """Add to each drift's p-value what it is among so many fits."""
    from memtrace.point_process.several import comparison
    from memtrace.report.json import json_safe

    if len(fits) == 1:
        return
    for document, row in zip(documents, comparison(fits), strict=True):
        adjusted = {key: row[key] for key in ("p_value_holm", "p_value_by")}
        document["trend"] |= json_safe(adjusted)


def _text(documents: list[dict[str, Any]], fits: "list[PoissonFit]") -> str:
    from memtrace.point_process.several import comparison
    from memtrace.point_process.text import comparison_page, page, strata_page
    from memtrace.report.text import rendered

    # click removes the colours where stdout is no terminal.
    pages = []
    for document, fit in zip(documents, fits, strict=True):
        parts = [rendered(page(fit), colour=True)]
        if document["sample"] is not None:
            parts.append(estimate_text(document["sample"]))
        if document["strata"] is not None:
            table = rendered(strata_page(document["strata"]), colour=True)
            parts.append(f"Strata by multiplicity of the prefix\n{table}")
        pages.append("\n\n".join(parts))
    if len(fits) > 1:
        pages.insert(0, rendered(comparison_page(comparison(fits)), colour=True))
    return "\n\n\n".join(pages)


def _document(run: "Run", fit: "PoissonFit") -> dict[str, Any]:
    from memtrace.runs.estimate import estimate_run

    # Of a sampled scan: what it says of the sequences that were not drawn.
    estimate = estimate_run(run)
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        **fit.to_dict(),
        "sample": {**asdict(run.configuration.sample), **asdict(estimate)}
        if estimate and run.configuration.sample
        else None,
    }


def _choose(found: "list[Run]", step: str | None) -> "list[Run]":
    """Return the runs of the wanted steps, or the last finished one of each model."""
    from memtrace.manifests.steps import parse_steps

    if step is None:
        return _last_finished(found)
    try:
        wanted = parse_steps(step, [run.step for run in found])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--step") from error
    return [run for run in found if run.step in wanted]


def _last_finished(found: "list[Run]") -> "list[Run]":
    from memtrace.errors import RunError

    last: dict[tuple[str, str], Run] = {}
    for run in reversed(found):
        if (run.suite, run.model) not in last and not run.shards_left():
            last[run.suite, run.model] = run
    if not last:
        raise RunError(
            f"no run is finished, not even {found[-1].label}; finish it with "
            f"`{found[-1].command}`, or name its --step to fit what is there"
        )
    return list(reversed(last.values()))


def _write(
    output: Path, documents: list[dict[str, Any]], chosen: "list[Run]", fits: "list[PoissonFit]"
) -> None:
    """Write fit.json, report.html and the figures, named by model and step if there are several."""
    from memtrace.point_process import figures as plots
    from memtrace.point_process.html import html_report

    with writing_to(output):
        write_document(output / "fit.json", one_or_list(documents))
        (output / "report.html").write_text(
            html_report(fits, [d["strata"] for d in documents]), encoding="utf-8"
        )
        if len(fits) > 1:
            plots.write_figure(plots.small_multiples(fits), output / "small-multiples")
        for run, fit in zip(chosen, fits, strict=True):
            prefix = f"{run.suite}-{run.model}-step{run.step}-" if len(fits) > 1 else ""
            plots.save(fit, output, prefix)
