"""`memtrace report`: every page that a folder of runs allows, and an index."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import fast_imports, print_result, show_progress
from .output import writing_to
from .parameters import (
    existing_folder,
    json_option,
    only_model,
    only_suite,
    runs_argument,
    seed_option,
)
from .selection import by_model, finished, last_finished, with_likelihoods
from .test_order import pairs_of

if TYPE_CHECKING:
    from memtrace.point_process import PoissonFit
    from memtrace.report.page import Fact, Page
    from memtrace.runs.run import Run
    from memtrace.texts.memorized import MemorizedTexts

ORDER = "order.html"
MOST_COMPARED = 32
"""Runs of which all pairs are compared."""
UNKNOWN_ORDER = (
    "the training order is unknown: `memtrace models init` writes a manifest that tells it"
)


@click.command()
@runs_argument
@only_suite
@only_model
@click.option(
    "--duplicates",
    type=existing_folder,
    help="Folder that `corpus duplicates` wrote. Corpora of up to 2,000,000 rows need none.",
)
@click.option(
    "--evals", type=existing_folder, help="Folder of the evaluation harness's JSON files."
)
@seed_option("the simulations")
@json_option
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the pages; index.html is the first.",
)
def report(
    runs: Path,
    suite: str | None,
    model: str | None,
    duplicates: Path | None,
    evals: Path | None,
    seed: int,
    json: bool,
    output: Path,
) -> None:
    """Write every page that the runs allow: one report, offline.

    RUNS is the folder that `memtrace scan` wrote. The pages need no network and no program but a
    browser. What the runs do not allow is named on the first page, with the reason.

    \b
    memtrace report runs --output report
    memtrace report runs --evals pythia/evals --output report
    """
    from memtrace.report.page import page_html
    from memtrace.report.texts_page import texts_page, title_of
    from memtrace.runs.run import find_runs

    found = finished(find_runs(runs, suite=suite, model=model))
    in_order, unordered = _in_order(found)
    beside: list[Fact] = []
    builders: dict[str, Callable[[], Page]] = {
        "likelihoods.html": lambda: _likelihoods(in_order, duplicates, seed, beside),
        "extraction.html": lambda: _extraction(found, duplicates),
        "emergence.html": lambda: _emergence(in_order, duplicates, seed),
        "comparison.html": lambda: _comparison(found, duplicates),
        **(_of_evaluations(evals, seed) if evals else {}),
    }
    fits = _fits(in_order, duplicates, seed) if in_order else []
    texts, without_texts = _texts(runs, found, duplicates)
    pages, left_out = _built(builders)
    left_out |= without_texts | unordered
    first = _with_order(fits, texts, left_out, beside) if fits else _unordered(found, left_out)
    pages = first | pages
    titles = {name: page.question for name, page in pages.items()}
    titles |= {name: title_of(one) for name, one in texts.items()}
    links = [(name, _short(name, texts)) for name in titles]
    with writing_to(output):
        for name, page in pages.items():
            _write(output / name, page_html(replace(page, links=links, name=_short(name, texts))))
        for name, one in texts.items():
            _write(output / name, texts_page(one, links, _short(name, texts)))
    document = {"pages": [str(output / name) for name in titles], "left_out": left_out}
    print_result(document, json, lambda: _printed(output, titles, left_out))


def _in_order(found: "list[Run]") -> "tuple[list[Run], dict[str, str]]":
    """Return the runs whose order of training is known; say of the other models why not."""
    others = by_model([run for run in found if not run.is_order_known])
    left_out = {f"Order of {suite}/{model}": UNKNOWN_ORDER for suite, model in others}
    return [run for run in found if run.is_order_known], left_out


def _require_any(in_order: "list[Run]") -> None:
    """Refuse a page of order where that of no run is known."""
    from memtrace.errors import FitError

    if not in_order:
        raise FitError(UNKNOWN_ORDER)


def _unordered(found: "list[Run]", left_out: dict[str, str]) -> "dict[str, Page]":
    from memtrace.point_process.unordered import unordered_page
    from memtrace.runs.events import read_events

    return {"index.html": unordered_page([(run, read_events(run)) for run in found], left_out)}


def _built(
    builders: "dict[str, Callable[[], Page]]",
) -> "tuple[dict[str, Page], dict[str, str]]":
    """Build the pages that the data allow; say of the others why not."""
    from memtrace.errors import FitError, RunError

    pages, left_out = {}, {}
    for name, build in builders.items():
        try:
            pages[name] = build()
        except (FitError, RunError) as error:
            left_out[_capitalized(name)] = str(error)
    return pages, left_out


def _fits(found: "list[Run]", duplicates: Path | None, seed: int) -> "list[tuple[Run, PoissonFit]]":
    from memtrace.errors import FitError

    with fast_imports():
        from memtrace.point_process import fit_run
    fits = []
    with show_progress("Fitting", len(found), "checkpoints") as advance:
        for run in found:
            if run.shards():
                fits.append((run, fit_run(run, duplicates=duplicates, seed=seed)))
            advance(1)
    if not fits:
        raise FitError(f"{found[-1].label} has seen no sequence: scan a later step")
    return fits


def _with_order(
    fits: "list[tuple[Run, PoissonFit]]",
    texts: "dict[str, MemorizedTexts]",
    left_out: dict[str, str],
    beside: "list[Fact]",
) -> "dict[str, Page]":
    from memtrace.point_process.overview import overview_page
    from memtrace.point_process.page import fit_page

    chosen = [(f"{run.suite}/{run.model}", run.step, fit) for run, fit in fits]
    return {
        "index.html": overview_page(chosen, ORDER, left_out),
        ORDER: fit_page(
            [fit for _, fit in fits],
            texts=[_address(run, texts) for run, _ in fits],
            beside=beside,
        ),
    }


def _texts(
    runs: Path, found: "list[Run]", duplicates: Path | None
) -> "tuple[dict[str, MemorizedTexts], dict[str, str]]":
    """Return the page's name and the texts of each model whose corpus is at hand.

    Of the other models it says why not.
    """
    from memtrace.errors import MemtraceError
    from memtrace.texts.memorized import memorized_texts

    pages: dict[str, MemorizedTexts] = {}
    left_out = {}
    with show_progress("Reading texts", len(by_model(found)), "models") as advance:
        for suite, model in by_model(found):
            try:
                read = memorized_texts(runs, suite=suite, model=model, duplicates=duplicates)
            except MemtraceError as error:
                left_out[f"Texts of {suite}/{model}"] = str(error)
            else:
                pages |= {f"texts-{len(pages) + 1}.html": one for one in read}
            advance(1)
    return pages, left_out


def _address(run: "Run", texts: "dict[str, MemorizedTexts]") -> str:
    mine = (run.suite, run.model)
    return next((name for name, one in texts.items() if (one.suite, one.model) == mine), "")


def _likelihoods(
    found: "list[Run]", duplicates: Path | None, seed: int, beside: "list[Fact]"
) -> "Page":
    """Return the page; what it says of order is put beside that of the memorized sequences."""
    from memtrace.likelihood import test_order as test
    from memtrace.likelihood.order.page import headline, order_fact, order_page

    _require_any(found)
    fits = []
    pairs = pairs_of(with_likelihoods(found, None), found, None)
    with show_progress("Order in likelihoods", len(pairs), "checkpoints") as advance:
        for run, baseline in pairs:
            fits.append(test(run, baseline=baseline, duplicates=duplicates, seed=seed))
            advance(1)
    chosen = fits[headline(fits)]
    if not chosen.order.reason and not chosen.controls.failed:
        fact = order_fact(chosen)
        beside.append(replace(fact, note=f"{fact.note}; {chosen.source.label}, page Likelihoods"))
    return order_page(fits)


def _extraction(found: "list[Run]", duplicates: Path | None) -> "Page":
    from memtrace.likelihood import fit_extraction
    from memtrace.likelihood.extraction.page import extraction_page

    fits = []
    chosen = with_likelihoods(found, None)
    with show_progress("Extraction", len(chosen), "checkpoints") as advance:
        for run in chosen:
            fits.append(fit_extraction(run, duplicates=duplicates))
            advance(1)
    return extraction_page(fits)


def _emergence(found: "list[Run]", duplicates: Path | None, seed: int) -> "Page":
    from memtrace.emergence import fit_emergence
    from memtrace.emergence.page import emergence_page
    from memtrace.errors import FitError

    _require_any(found)
    models = by_model(found).values()
    groups = [group for group in models if len(group) > 1]
    alone = [f"{run.suite}/{run.model}" for run, *others in models if not others]
    if not groups:
        raise FitError("no model was scanned at two checkpoints or more")
    fits = []
    with show_progress("Emergence", len(groups), "models") as advance:
        for group in groups:
            fits.append(fit_emergence(group, duplicates=duplicates, seed=seed))
            advance(1)
    return emergence_page(fits, alone)


def _comparison(found: "list[Run]", duplicates: Path | None) -> "Page":
    """Compare all runs, or the last of each model where pairs of all would be too many to read."""
    from memtrace.comparison import compare
    from memtrace.comparison.page import comparison_page
    from memtrace.errors import FitError

    chosen = found if len(found) <= MOST_COMPARED else last_finished(found)
    if len(chosen) < 2:
        raise FitError(
            f"a page compares {MOST_COMPARED} checkpoints of one model at most, of {len(found)}: "
            "choose some with `memtrace compare RUNS --step STEPS --output DIR`"
            if len(found) > MOST_COMPARED
            else "one run has nothing to be compared with: scan another model or checkpoint"
        )
    tables = [] if duplicates is None else [duplicates]
    with show_progress("Comparing", len(chosen), "runs") as advance:
        return comparison_page(compare(chosen, duplicates=tables, on_progress=advance))


def _of_evaluations(evals: Path, seed: int) -> "dict[str, Callable[[], Page]]":
    from memtrace.evaluations.abilities.fit import emergence_of_abilities
    from memtrace.evaluations.abilities.page import ability_page
    from memtrace.evaluations.intervention.fit import compare_interventions
    from memtrace.evaluations.intervention.page import intervention_page

    return {
        "abilities.html": lambda: ability_page(emergence_of_abilities(evals, 0.5, seed)),
        "interventions.html": lambda: intervention_page(compare_interventions(evals)),
    }


def _short(name: str, texts: "dict[str, MemorizedTexts]") -> str:
    """Return what the navigation calls a page: a word, with the model where there are several."""
    if name == "index.html":
        return "Overview"
    if name in texts:
        return "Texts" if len(texts) == 1 else f"Texts of {texts[name].label}"
    return _capitalized(name)


def _capitalized(name: str) -> str:
    return name.removesuffix(".html").capitalize()


def _write(path: Path, page: str) -> None:
    path.write_text(page, encoding="utf-8")


def _printed(output: Path, titles: dict[str, str], left_out: dict[str, str]) -> str:
    width = max(map(len, titles))
    lines = [f"{name:{width}}  {title}" for name, title in titles.items()]
    lines += [f"left out: {title[0].lower()}{title[1:]}: {why}" for title, why in left_out.items()]
    return "\n".join([*lines, f"Open {output / 'index.html'}"])
