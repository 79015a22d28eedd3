"""`memtrace test-order`: does training order matter, in the log-likelihoods?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import fast_imports, one_or_list, print_result, printed, show_progress
from .output import write_document, write_page, writing_to
from .parameters import (
    Number,
    existing_folder,
    json_option,
    only_model,
    only_suite,
    output_option,
    runs_argument,
    seed_option,
    step_option,
)
from .selection import check_same_sequences, with_likelihoods

MORE = "All numbers: --full or --json; figures: --output DIR."

if TYPE_CHECKING:
    from memtrace.likelihood import OrderFit
    from memtrace.runs.run import Run


@click.command("test-order")
@runs_argument
@only_suite
@only_model
@step_option(otherwise="each with likelihoods that had seen a scanned sequence")
@click.option(
    "--baseline",
    metavar="STEP|MODEL",
    help="Checkpoint of the model, or another model in RUNS, whose likelihoods are taken out. "
    "Only sequences count that it had not seen.  [default: the earliest scanned checkpoint with "
    "likelihoods]",
)
@click.option(
    "--margin",
    type=Number(min=0, min_open=True),
    default=0.01,
    help="Difference in nats a token from which an effect of exposure matters.",
)
@click.option(
    "--duplicates",
    type=existing_folder,
    help="Folder that `corpus duplicates` wrote, which tells sequences that occur once. A corpus "
    "of up to 2,000,000 rows needs none: its copies are found.",
)
@seed_option("permutations and samples")
@click.option("--full", is_flag=True, help="Of several checkpoints print all numbers too.")
@json_option
@output_option("order.json, report.html and the figures (PNG and SVG)")
def test_order(
    runs: Path,
    suite: str | None,
    model: str | None,
    step: str | None,
    baseline: str | None,
    margin: float,
    duplicates: Path | None,
    seed: int,
    full: bool,
    json: bool,
    output: Path | None,
) -> None:
    """Does training order matter, in the log-likelihoods?

    RUNS is the folder that `memtrace scan --likelihood` wrote, best with --include-unexposed and
    at several checkpoints. Exposed sequences are compared with unexposed ones, and among
    themselves by how long ago they were seen.

    \b
    memtrace scan --model demo --step 1024,1536 --likelihood --include-unexposed
    memtrace test-order runs
    memtrace test-order runs --step 1536 --baseline 1024 --output order
    """
    from memtrace.runs.run import find_runs

    everything = find_runs(runs, suite=suite)
    chosen = with_likelihoods([one for one in everything if model in (None, one.model)], step)
    check_same_sequences(chosen)
    with fast_imports():
        from memtrace.likelihood import test_order as test

    pairs = pairs_of(chosen, everything, baseline, later=step in (None, "all"))
    fits = []
    for run, other in pairs:
        with show_progress(run.label, run.configuration.sequences) as advance:
            fits.append(
                test(
                    run,
                    baseline=other,
                    duplicates=duplicates,
                    margin=margin,
                    seed=seed,
                    on_progress=advance,
                )
            )
    documents = [_document(run, fit) for (run, _), fit in zip(pairs, fits, strict=True)]
    if output is not None:
        _write(output, documents, fits)
    print_result(one_or_list(documents), json, lambda: _text(fits, full))


def pairs_of(
    chosen: "list[Run]", everything: "list[Run]", baseline: str | None, *, later: bool = True
) -> "list[tuple[Run, Run | None]]":
    """Return each run with its baseline.

    Args:
        chosen: Runs with likelihoods.
        everything: Runs among which baselines are.
        baseline: Step or model of the baseline; None for the earliest.
        later: Leave out checkpoints that had seen no more than their baseline.
    """
    pairs = [(run, _baseline(run, everything, baseline)) for run in chosen]
    return _later(pairs) if later else pairs


def _baseline(run: "Run", runs: "list[Run]", asked: str | None) -> "Run | None":
    """Return the baseline of a run: a step of its model, another model, or the earliest."""
    from memtrace.errors import RunError
    from memtrace.likelihood import earliest_baseline

    if asked is None:
        return earliest_baseline(run, runs)
    if asked.strip().isdecimal():
        model, wanted = run.model, f"step {int(asked):,} of {run.suite}/{run.model}"
        found = [
            one
            for one in runs
            if (one.suite, one.model, one.step) == (run.suite, model, int(asked))
        ]
    else:
        wanted = f"model {asked!r}"
        found = [one for one in runs if one.model == asked and one.configuration.likelihood]
    if not found:
        there = ", ".join(one.label for one in runs if one.configuration.likelihood)
        raise RunError(
            f"there is no run of {wanted} to be the --baseline; with likelihoods there are {there}"
        )
    # In the same order the earliest had seen least; in another one the last knows most.
    return found[0] if found[0].suite == run.suite else found[-1]


def _later(pairs: "list[tuple[Run, Run | None]]") -> "list[tuple[Run, Run | None]]":
    """Leave out checkpoints that had seen no more than their baseline; keep one in any case."""
    later = [
        (run, other)
        for run, other in pairs
        if run.exposed_rows
        > max(
            run.configuration.start,
            other.exposed_rows if other is not None and other.suite == run.suite else 0,
        )
    ]
    return later or pairs[-1:]


def _document(run: "Run", fit: "OrderFit") -> dict[str, Any]:
    return {"suite": run.suite, "model": run.model, **fit.to_dict()}


def _text(fits: "list[OrderFit]", full: bool) -> str:
    from memtrace.likelihood.order.several import LEGEND, order_table

    if len(fits) == 1:
        return printed(fits[0])
    parts = [printed(order_table(fits)), printed(LEGEND)]
    parts += [printed(f"{fits[-1].source.label}: {fits[-1].verdict}")]
    parts += [printed(fit) for fit in fits] if full else [MORE]
    return "\n\n".join(parts)


def _write(output: Path, documents: list[dict[str, Any]], fits: "list[OrderFit]") -> None:
    """Write order.json, report.html and the figures, named if there are several checkpoints."""
    from memtrace.likelihood.order.figures import curves, shown, single, with_curve, with_difference
    from memtrace.likelihood.order.page import order_page
    from memtrace.report.figures import write_figure

    with writing_to(output), show_progress("Drawing", len(fits), "checkpoints") as advance:
        write_document(output / "order.json", one_or_list(documents))
        if len(fits) > 1 and (with_curve(fits) or with_difference(fits)):
            write_figure(curves(fits), output / "curves")
        for document, fit in zip(documents, fits, strict=True):
            name = f"{document['suite']}-{document['model']}-step{document['step']}-"
            for figure in shown(fit):
                prefix = name if len(fits) > 1 else ""
                write_figure(single(fit, figure), output / f"{prefix}{figure}")
            advance(1)
        write_page(output, order_page(fits))
