"""`memtrace fit-poisson`: is memorization a Poisson process in training order?

It chooses the runs and writes the answer; the library does the statistics.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import json_option, print_answer

if TYPE_CHECKING:
    from memtrace.point_process import PoissonFit
    from memtrace.runs import Run


@click.command("fit-poisson")
@click.argument("runs", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"))
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
@json_option
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for fit.json and the figures (PNG and SVG).",
)
def fit_poisson(
    runs: Path,
    suite: str | None,
    model: str | None,
    step: str | None,
    window: int,
    margin: float,
    seed: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Is memorization a Poisson process in training order?

    RUNS is the folder that `memtrace scan` wrote.

    \b
    memtrace fit-poisson runs
    memtrace fit-poisson runs --model 1.4b --step 143000 --output figures
    memtrace fit-poisson runs --step all --json > fits.json
    """
    from memtrace.point_process import EventSequence
    from memtrace.point_process import fit_poisson as fit
    from memtrace.runs import find_runs

    chosen = _choose(find_runs(runs, suite=suite, model=model), step)
    fits = [
        fit(EventSequence.from_run(run), window=window, margin=margin, seed=seed) for run in chosen
    ]
    documents = [_document(run, one) for run, one in zip(chosen, fits, strict=True)]
    answer = documents[0] if len(documents) == 1 else documents
    if output is not None:
        _write(output, answer, chosen, fits)
    print_answer(answer, as_json, lambda: "\n\n\n".join(one.summary() for one in fits))


def _document(run: "Run", fit: "PoissonFit") -> dict[str, object]:
    return {"suite": run.suite, "model": run.model, "step": run.step, **fit.to_dict()}


def _choose(found: "list[Run]", step: str | None) -> "list[Run]":
    """Return the runs of the wanted steps, or the last finished one of each model."""
    from memtrace.steps import parse_steps

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


def _write(output: Path, answer: object, chosen: "list[Run]", fits: "list[PoissonFit]") -> None:
    """Write fit.json and the figures of each fit, named by model and step if there are several."""
    import json

    from memtrace import plots
    from memtrace.errors import RunError

    try:
        output.mkdir(parents=True, exist_ok=True)
        text = json.dumps(answer, indent=2, allow_nan=False) + "\n"
        (output / "fit.json").write_text(text, encoding="utf-8")
        for run, fit in zip(chosen, fits, strict=True):
            prefix = f"{run.suite}-{run.model}-step{run.step}-" if len(fits) > 1 else ""
            plots.save(fit, output, prefix)
    except OSError as error:
        raise RunError(
            f"cannot write to {output}: {error.strerror or error}; choose another --output"
        ) from error
