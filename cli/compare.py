"""`memtrace compare`: model sizes, checkpoints, seeds and corpora side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import fast_imports, print_result, printed, show_progress
from .output import write_document, writing_to
from .parameters import (
    Number,
    Store,
    existing_folder,
    json_option,
    manifest_option,
    only_suite,
    output_option,
    step_option,
)
from .selection import last_finished, runs_at

if TYPE_CHECKING:
    from memtrace.comparison import Comparison
    from memtrace.runs.run import Run


@click.command()
@click.argument("runs", type=Store(), nargs=-1)
@only_suite
@click.option("--models", help="Only these models, separated by commas.  [default: all of them]")
@step_option(otherwise="the last finished one of each model")
@click.option(
    "--duplicates",
    type=existing_folder,
    multiple=True,
    help="Folder that `corpus duplicates` wrote, once for each corpus. Corpora of up to 2,000,000 "
    "rows need none.",
)
@manifest_option
@click.option(
    "--recall",
    type=Number(0, 1, min_open=True, max_open=True),
    default=0.8,
    help="Share of the memorized texts that a compute budget is asked for.",
)
@click.option(
    "--profile",
    is_flag=True,
    help="Also estimate the counterfactual profile of models without log-likelihoods, by matched "
    "tokens. This reads all of their scores.",
)
@json_option
@output_option("compare.json, report.html and the figures (PNG and SVG)")
def compare(
    runs: tuple[Path, ...],
    suite: str | None,
    models: str | None,
    step: str | None,
    duplicates: tuple[Path, ...],
    manifest: Path | None,
    recall: float,
    profile: bool,
    json: bool,
    output: Path | None,
) -> None:
    """What do size, data and seed do to memorization?

    RUNS are folders that `memtrace scan` or `memtrace import` wrote, one or several: of models of
    several sizes, checkpoints, seeds, or corpora. Texts are compared that both of two runs scanned.
    Up to 64 runs are compared pair by pair; of more, runs of one step, and each with the last
    checkpoint of every model.

    \b
    memtrace compare runs
    memtrace compare runs --models 70m,1.4b,12b --step 143000
    memtrace compare runs --models 12b --step all --output comparison
    """
    chosen = _chosen(runs or (Path("runs"),), suite, models, step)
    with fast_imports():
        from memtrace.comparison.fit import compare_loaded
        from memtrace.comparison.runs import load_runs

    with show_progress("Reading", len(chosen), "runs") as advance:
        loaded = load_runs(chosen, duplicates=duplicates, manifest=manifest, on_progress=advance)
    with show_progress("Comparing", len(chosen), "runs") as advance:
        found = compare_loaded(loaded, recall=recall, profile=profile, on_progress=advance)
    if output is not None:
        _write(output, found)
    print_result(found.to_dict(), json, lambda: printed(found))


def _write(output: Path, found: "Comparison") -> None:
    """Write compare.json, report.html and the figures that have something to show."""
    from memtrace.comparison.figures import drawn, single
    from memtrace.comparison.page import comparison_page
    from memtrace.report.figures import write_figure
    from memtrace.report.page import page_html

    names = drawn(found)
    with writing_to(output), show_progress("Drawing", len(names), "figures") as advance:
        write_document(output / "compare.json", found.to_dict())
        page = page_html(comparison_page(found))
        (output / "report.html").write_text(page, encoding="utf-8")
        for name in names:
            write_figure(single(found, name), output / name)
            advance(1)


def _chosen(
    folders: tuple[Path, ...], suite: str | None, models: str | None, step: str | None
) -> "list[Run]":
    """Return the runs of these models and steps in all folders.

    Raises:
        RunError: A folder has no run, or a model none.
    """
    from memtrace.errors import RunError
    from memtrace.runs.run import find_runs

    found = [run for folder in folders for run in find_runs(folder, suite=suite)]
    if models is not None:
        wanted = [name.strip() for name in models.split(",") if name.strip()]
        there = sorted({run.model for run in found})
        if unknown := [name for name in wanted if name not in there]:
            raise RunError(f"no run of model {unknown[0]!r}; there are runs of {', '.join(there)}")
        found = [run for run in found if run.model in wanted]
    return runs_at(found, step) if step else last_finished(found)
