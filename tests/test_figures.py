"""Figures for papers: of every analysis each has the house style, and shows something."""

from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from builders import write_run
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image
from test_comparison_page import five_models
from test_evaluations_abilities import evaluated
from test_evaluations_terms import COUNTS, drawn
from test_intervention import measured, put
from test_point_process_texts import fit_of

from memtrace.comparison import compare
from memtrace.comparison import figures as comparison
from memtrace.comparison.fit import compare_loaded
from memtrace.comparison.runs import load_runs
from memtrace.emergence import figures as emergence
from memtrace.emergence import fit_emergence
from memtrace.emergence.descriptions import described as alt_of_emergence
from memtrace.emergence.process.fit import fit_emergence_process
from memtrace.evaluations import compare_interventions, emergence_of_abilities, relate_terms
from memtrace.likelihood import fit_extraction
from memtrace.likelihood import test_order as order_of
from memtrace.likelihood.extraction import figures as extraction
from memtrace.likelihood.extraction.descriptions import described as alt_of_extraction
from memtrace.likelihood.extraction.page import extraction_page
from memtrace.likelihood.order import figures as order
from memtrace.likelihood.order.descriptions import described as alt_of_order
from memtrace.point_process import figures as poisson
from memtrace.point_process import fit_poisson
from memtrace.point_process.simulate import log_linear_drift
from memtrace.report.figures import (
    BLUE,
    COLUMN,
    FONT,
    GREY,
    INK,
    PAGE,
    RED,
    encoded,
    keep_sources,
    new_figure,
    spread,
)
from memtrace.report.numbers import number, percent
from memtrace.runs.run import find_runs
from memtrace.texts.groups import Texts

STEPS = (10, 20, 40)
ROWS = 1200
DIFFERENT = Texts.from_labels(np.arange(ROWS))
NAMED = ("texts", "control", "exposure")
"""Figures whose y axis has names in place of a scale."""
OF_TRAINING = ("profile", "time-since-training")
OF_MODELS = (
    "scale",
    "precision",
    "recall",
    "overlap",
    "combinations",
    "deduplication",
    "both-corpora",
)
LEGENDS = ("Learned and lost", "Memorized by copies seen", "Texts that both twins had seen")
"""Panels of bars on bars, or of points at names, which have no end to be named at."""


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Callable[[str], Any]:
    """Return a function that gives the result of an analysis; each is made once."""
    folder = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=ROWS)

    def likelihood(exposed: int) -> Callable[[Any], Any]:
        """Return likelihoods that exposure raises by 2 nats, with an error of each checkpoint."""

        def drawn_for(rows: Any) -> Any:
            return noise[rows] - 8 + 2 * (rows < exposed) + 0.3 * rng.normal(size=len(rows))

        return drawn_for

    def kept(rows: Any, step: int) -> Any:
        """Say which rows a checkpoint has memorized; the second has some that the third lost."""
        return ((rows * 7) % 60 < step) | ((rows % 50 == 3) & (step == STEPS[1]))

    def runs() -> list[Any]:
        for step in STEPS:
            exposed = 20 * step
            write_run(
                folder / "runs",
                lambda rows, step=step: np.where(kept(rows, step), 32, 3),
                likelihood=likelihood(exposed),
                step=step,
                stop=ROWS,
                corpus_rows=ROWS,
                sequences_per_step=20,
                exposed_rows=exposed,
            )
        return find_runs(folder / "runs")

    def interventions() -> Any:
        for step in (71_000, 143_000):
            put(folder / "evals", "standard", "70m-deduped", step, measured(0.6))
            put(folder / "evals", "intervention", "70m-deduped", step, measured(0.4, ppl=6.6))
        return compare_interventions(folder / "evals")

    def terms() -> Any:
        accuracy = [drawn([0.1, 0.5, 0.8], rng, model=model) for model in ("70m", "12b")]
        return relate_terms(pl.concat(accuracy), COUNTS)

    def models() -> Any:
        own = five_models(folder / "models")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MEMTRACE_CACHE", str(folder / "cache"))
            last = [run for run in find_runs(own / "runs") if run.step == 4]
            return compare(last, manifest=own / "own.yaml")

    (folder / "models").mkdir()
    labels = rng.integers(0, 120, 500)
    made: dict[str, Callable[[], Any]] = {
        "runs": runs,
        "poisson": lambda: fit_poisson(log_linear_drift(32_768, 900, 1.4, rng)),
        "texts": lambda: fit_of(labels, range(60), 400),
        "emergence": lambda: fit_emergence(result("runs")),
        "process": lambda: fit_emergence_process(result("emergence").histories),
        "order": lambda: order_of(result("runs")[-1], baseline=result("runs")[0]),
        "early": lambda: order_of(result("runs")[1], baseline=result("runs")[0]),
        "extraction": lambda: fit_extraction(result("runs")[-1]),
        "abilities": lambda: emergence_of_abilities(evaluated(folder / "abilities"), 0.5, 0),
        "intervention": interventions,
        "terms": terms,
        "comparison": models,
        "training": lambda: compare_loaded(load_runs(result("runs"), texts=DIFFERENT)),
    }

    @cache
    def result(name: str) -> Any:
        return made[name]()

    return result


def drawings() -> dict[str, tuple[Callable[[Callable[[str], Any]], Any], float]]:
    """Return for every figure how it is drawn of the results, and its width in inches."""
    wide = {
        "poisson": lambda of: poisson.overview(of("poisson")),
        "poisson/several": lambda of: poisson.small_multiples([of("poisson")] * 3),
        "emergence": lambda of: emergence.overview(of("emergence")),
        "order": lambda of: order.overview(of("order")),
        "order/several": lambda of: order.curves([of("early"), of("order")]),
        "extraction": lambda of: extraction.overview(of("extraction")),
        "abilities": lambda of: of("abilities").plot(),
        "intervention": lambda of: of("intervention").plot(),
        "terms": lambda of: of("terms").plot(),
        "comparison": lambda of: of("comparison").plot(),
        "training": lambda of: of("training").plot(),
    }
    narrow: dict[str, Any] = {"process": lambda of: of("process").plot()}
    single = (("emergence", emergence), ("order", order), ("extraction", extraction))
    for name, module in (*single, ("poisson", poisson)):
        for one in module.FIGURES:
            result = "texts" if one in ("texts", "control") else name
            narrow[f"{name}/{one}"] = lambda of, result=result, one=one, module=module: (
                module.single(of(result), one)
            )
    for one in OF_MODELS + OF_TRAINING:
        narrow[f"comparison/{one}"] = lambda of, one=one: comparison.single(
            of("comparison" if one in OF_MODELS else "training"), one
        )
    return {name: (draw, PAGE) for name, draw in wide.items()} | {
        name: (draw, COLUMN) for name, draw in narrow.items()
    }


@pytest.mark.parametrize("name", list(drawings()))
def test_every_figure_has_the_style_of_papers_and_no_empty_panel(results, name) -> None:
    draw, width = drawings()[name]
    figure = draw(results)
    figure.draw_without_rendering()

    assert figure.get_figwidth() == width
    written = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert {text.get_fontsize() for text in written} == {FONT}
    for ax in figure.axes:
        if not ax.axison and ax.get_title(loc="left") == "" and not ax.texts:
            continue  # a place of the grid that no panel takes
        assert ax.axison
        assert ax.lines or ax.collections or ax.patches or ax.containers or ax.images
        assert ax.get_ylabel() or figure.get_supylabel() or _are_names(ax.get_yticklabels())
        if ax.get_label() == "<colorbar>":
            continue
        below = [other for other in ax.get_shared_x_axes().get_siblings(ax) if other is not ax]
        dotted = any(_are_names(other.get_yticklabels()) for other in (ax, *below))
        named = _are_names(ax.get_xticklabels()) or (below and dotted)
        assert named or ax.get_xlabel() or any(other.get_xlabel() for other in below)
        title = ax.get_title(loc="left")
        assert ax.get_legend() is None or any(one in title for one in LEGENDS)
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert box.x0 >= -1
    assert box.x1 <= figure.bbox.x1 + 1


def _are_names(labels: Any) -> bool:
    """Return whether an axis has names in place of a scale."""
    return any(one.get_text() and not one.get_text()[0].isdigit() for one in labels)


def test_what_cannot_be_drawn_is_not_among_the_figures(tmp_path) -> None:
    for folder, matched in (("none", 3), ("all", 32)):
        for step in STEPS:
            write_run(
                tmp_path / folder,
                lambda rows, matched=matched: np.full(len(rows), matched),
                likelihood=lambda rows, m=matched: np.full(len(rows), 0.0 if m == 32 else -90.0),
                step=step,
                stop=ROWS,
                corpus_rows=ROWS,
                sequences_per_step=20,
                exposed_rows=20 * step,
            )
        runs = find_runs(tmp_path / folder)
        extracted, emerged = fit_extraction(runs[-1]), fit_emergence(runs)
        figures = [extraction.single(extracted, one) for one in extraction.shown(extracted)]
        figures += [emergence.single(emerged, one) for one in emergence.figures_of(emerged)]
        figures += [extracted.plot(), emerged.plot()]
        assert all(ax.axison for figure in figures for ax in figure.axes)
        # Flat curves and probabilities of one size are a sentence, not a figure.
        assert extraction.shown(extracted) == []
        in_place = extraction_page([extracted]).summary.figure
        assert in_place is not None
        assert in_place.chart is in_place.image is None
        assert ("100%" if folder == "all" else "10%") in in_place.caption


def test_alternative_texts_tell_the_numbers_that_are_drawn(results) -> None:
    emerged, extracted, ordered = (results(name) for name in ("emergence", "extraction", "order"))
    texts = {
        **{one: alt_of_emergence(emerged, one) for one in emergence.FIGURES},
        **{one: alt_of_extraction(extracted, one) for one in extraction.shown(extracted)},
        **{one: alt_of_order(ordered, one) for one in order.shown(ordered)},
    }
    last = emerged.checkpoints[-1]
    most_lost = max(row.lost for row in emerged.checkpoints)
    scale = emerged.time_scales["training"]
    for name, drawn_number in {
        "memorized": percent(last.memorized / last.exposed),
        "flows": f"{most_lost:,}.",
        "time-training": percent(float(scale.share[-1])),
        "time-share": percent(float(emerged.time_scales["share"].share[-1])),
        "samples": percent(extracted.greedy["exposed"].share),
        "probabilities": f"{extracted.classes['unexposed'].counts.exposure:,} unexposed",
        "by-age": number(ordered.recency.bins[-1].nats, 3),
        "exposure": number(ordered.raw.nats, 3),
    }.items():
        assert drawn_number in texts[name], (name, texts[name])
    assert len(set(texts.values())) == len(texts) == 11
    for text in texts.values():
        assert not {emerged.verdict, extracted.verdict, ordered.verdict} & {text}
        assert "nan" not in text


@pytest.mark.parametrize("levels", [[0.5, 0.5, 0.5], [1.0, 0.99, 0.0], [0.0, 0.0], [0.3], []])
def test_names_at_ends_of_lines_keep_their_order_and_their_distance(levels) -> None:
    places = spread(levels, 0.1)
    order = sorted(range(len(levels)), key=lambda i: levels[i])
    gaps = np.diff([places[i] for i in order])

    assert (gaps >= 0.1 - 1e-12).all()
    assert max(places, default=0) <= 1


def test_the_colours_are_told_apart_by_the_colour_blind() -> None:
    """Machado et al. (2009), severity 1, in linear light; distance in lightness and hue."""
    blindness = {
        "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    }
    for matrix in blindness.values():
        seen = [np.clip(np.array(matrix) @ _linear(colour), 0, 1) for colour in (BLUE, RED, GREY)]
        for one, other in combinations([*seen, _linear(INK)], 2):
            assert np.linalg.norm(_lab(one) - _lab(other)) > 15


def _linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(xyz @ linear / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_files_say_where_the_numbers_come_from(tmp_path: Path) -> None:
    figure = new_figure()
    figure.add_subplot().plot([1, 2])
    keep_sources(figure, ["run <a> & b", "", "run <a> & b"])
    encoded(figure).write(tmp_path / "figure")

    with Image.open(tmp_path / "figure.png") as image:
        assert image.info["Source"] == "run <a> & b"
    assert "run &lt;a&gt; &amp; b" in (tmp_path / "figure.svg").read_text()
