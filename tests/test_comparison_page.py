"""The page of a comparison: its charts show the numbers of the document."""

import json
import re

import numpy as np
import pytest
import yaml
from builders import write_run
from click.testing import CliRunner
from manifest_documents import document, model
from matplotlib.colors import LinearSegmentedColormap
from memtrace.cli.main import main

from memtrace.comparison import compare
from memtrace.comparison.charts import CHARTS
from memtrace.comparison.descriptions import described
from memtrace.comparison.figures import FIGURES, caption, drawn
from memtrace.comparison.heat_maps import SHARES
from memtrace.comparison.page import finding
from memtrace.corpus import open_corpus
from memtrace.report.figures import read_on
from memtrace.report.numbers import percent
from memtrace.report.page import Page

pytest.importorskip("altair")
ROWS, TEXTS = 120, 60
SIZES = {
    "tiny": 200_000,
    "small": 1_000_000,
    "middle": 4_000_000,
    "large": 30_000_000,
    "large-deduped": 30_000_000,
}
REMEMBERED = {"tiny": 2, "small": 3, "middle": 6, "large": 12, "large-deduped": 2}
"""Model -> it memorizes the texts below this number."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return five_models(tmp_path_factory.mktemp("comparison"))


def five_models(folder):
    """Write four sizes on one corpus, and a twin on another, at two steps of their own suite."""
    rng = np.random.default_rng(1)
    texts = rng.integers(1, 99, (TEXTS, 65)).astype(np.uint16)
    repeated = rng.permutation(np.concatenate((np.arange(TEXTS), np.arange(12).repeat(5))))
    again = rng.permutation(np.arange(TEXTS).repeat(2))
    corpora = {"repeated": repeated, "again": again}
    for name, which in corpora.items():
        np.save(folder / f"{name}.npy", texts[which])
    models = [model(name=name, parameters=size) for name, size in SIZES.items()]
    manifest = document(suite="own", models=models)
    (folder / "own.yaml").write_text(yaml.safe_dump(manifest))
    for name, last in REMEMBERED.items():
        corpus = "again" if name.endswith("deduped") else "repeated"
        opened = open_corpus(str(folder / f"{corpus}.npy"))
        for step in (2, 4):
            limit = last * step // 4
            write_run(
                folder / "runs",
                lambda rows, which=corpora[corpus], limit=limit: (which[rows] < limit) * 32,
                suite="own",
                model=name,
                step=step,
                record={"command": ["memtrace", "scan"], "corpus": {"name": opened.name}},
                corpus_digest=opened.digest,
                corpus_rows=ROWS,
                exposed_rows=ROWS,
                stop=ROWS,
            )
    return folder


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    from memtrace.runs.run import find_runs

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMTRACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return compare(find_runs(folder / "runs"), manifest=folder / "own.yaml")


@pytest.fixture(scope="module")
def shown(found):
    return finding(found)


def test_alternative_texts_tell_the_numbers_that_are_drawn(found, shown):
    told = {name: described(found, name) for name in drawn(found)}
    last = [one for one in found.points if found.runs[one.run].step == 4]
    for one in last:
        said = f"{found.runs[one.run].model} {percent(one.exposed.share.value)}"
        assert said in told["scale"]
    for name in ("precision", "recall"):
        most = max(getattr(one.every, name).value for one in found.predictions if not one.reason)
        assert f"most {percent(most)}" in told[name]
    index = [one.agreement.jaccard.value for one in found.overlaps if not one.reason]
    assert f"least {percent(min(index))}" in told["overlap"]
    assert f"{found.combinations.texts[0]} by" in told["combinations"]
    twins = found.deduplication[-1].last
    assert percent(twins.total.standard.share.value) in told["deduplication"]
    assert f"{twins.matched_total.both:,} by both" in told["both-corpora"] or len(twins.matched) > 1
    alts = {figure.description for figure in (shown.figure, *shown.figures)}
    assert alts == set(told.values())
    assert len(alts) == len(told)
    assert not any("nan" in alt or found.verdict in alt for alt in alts)


def test_one_size_is_no_chart_of_sizes(found, folder):
    runs = [run.run for run in found.runs if run.model == "large"]
    alone = compare(runs, manifest=folder / "own.yaml")
    assert "scale" not in drawn(alone)
    assert "overlap" in drawn(alone)


def values(chart):
    """Return all rows of data inside a chart."""
    parts = [chart, *chart.get("layer", [])]
    inside = [part.get("data", {}).get("values", []) for part in parts]
    return [row for rows in (*inside, *chart.get("datasets", {}).values()) for row in rows]


def test_every_figure_is_a_chart_on_a_page(found, shown):
    assert set(CHARTS) == set(FIGURES)
    figures = (shown.figure, *shown.figures)
    assert len(figures) == len(drawn(found))
    assert all(figure.chart and figure.image is None for figure in figures)
    assert finding(found, names=["scale"], charts=False).figure.chart is None


def test_shares_by_size_are_those_of_the_document(found):
    rows = {
        (row["model"], row["step"]): row for row in values(CHARTS["scale"](found)) if "model" in row
    }
    known = {(one["model"], one["step"]): one for one in found.to_dict()["scale"]}
    assert rows.keys() == {key for key, one in known.items() if one["texts"]}
    for key, row in rows.items():
        assert row["share"] == pytest.approx(known[key]["share"], rel=1e-4)
        assert [row["low"], row["high"]] == pytest.approx(known[key]["ci95"], rel=1e-4)
        assert row["parameters"] == SIZES[key[0]]
        assert row["count"] == f"{known[key]['texts']} of {known[key]['of_texts']}"


def test_a_line_has_a_band_of_four_models_and_more_only(found, folder):
    lines = {}
    for row in values(CHARTS["scale"](found)):
        if "line" in row:
            lines.setdefault(row["line"], []).append(row)
    assert lines
    for rows in lines.values():
        assert all(row["low"] < row["share"] < row["high"] for row in rows)
    two = [run.run for run in found.runs if run.model in ("small", "large")]
    two = compare(two, manifest=folder / "own.yaml")
    assert all(row["low"] == row["high"] for row in values(CHARTS["scale"](two)) if "line" in row)


@pytest.mark.parametrize("name", ["precision", "recall"])
def test_pairs_are_those_of_the_document(found, name):
    cells = {(row["from"], row["to"]): row["value"] for row in values(CHARTS[name](found))}
    known = {
        tuple(one[side].removeprefix("own/") for side in ("from", "to")): one[name]
        for one in found.to_dict()["prediction"]
        if not one["reason"]
    }
    assert cells == pytest.approx(known, rel=1e-4)


def test_overlap_is_symmetrical_and_tells_whose_texts_are_whose(found):
    cells = {(row["from"], row["to"]): row for row in values(CHARTS["overlap"](found))}
    for (a, b), row in cells.items():
        other = cells[b, a]
        assert (row["value"], row["shared"]) == (other["value"], other["shared"])
        assert (row["has"], row["other"]) == (other["other"], other["has"])


def test_a_combination_has_its_texts_and_a_dot_for_each_run_that_memorized_them(found):
    one, rows = found.combinations, values(CHARTS["combinations"](found))
    bars = [row for row in rows if "texts" in row]
    assert [row["texts"] for row in bars] == [f"{n:,}" for n in one.texts[:12]]
    assert max(row["height"] for row in bars) / bars[-1]["height"] == pytest.approx(
        one.texts[0] / one.texts[len(bars) - 1], rel=1e-4
    )
    dots = {(row["place"], -1 - row["line"]): row["member"] for row in rows if "member" in row}
    assert len(dots) == len(bars) * len(one.runs)
    assert all(one.members[place] == member for place, member in dots.items())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_number_in_a_heat_map_is_read_on_every_colour(found, show, scheme):
    finds = finding(found, names=["overlap"])
    rows = [row for part in finds.figure.chart["datasets"].values() for row in part]
    for place, row in enumerate(rows):
        row |= {"value": place / (len(rows) - 1), "few": place % 7 == 6}
    tab = show(Page("Which?", finds), 1280, scheme)
    tab.wait_for_selector(".chart svg text")
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    cells = tab.locator(".role-mark.mark-rect path").evaluate_all(
        """all => all.map((one) => [one.getAttribute("fill"), Number(getComputedStyle(one).opacity),
                                   one.getBoundingClientRect().toJSON()])"""
    )
    numbers = tab.locator(".role-mark.mark-text text").evaluate_all(
        """all => all.map((one) => [one.getAttribute("fill"),
                                   one.getBoundingClientRect().toJSON()])"""
    )
    assert len(numbers) == len(cells) > 50
    for colour, box in numbers:
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        (under,) = [c for c in cells if c[2]["left"] < x < c[2]["right"]
                    and c[2]["top"] < y < c[2]["bottom"]]  # fmt: skip
        seen = np.array(rgb(under[0])) * under[1] + np.array(rgb(ground)) * (1 - under[1])
        assert contrast(rgb(colour), seen) >= 4.5


def test_a_number_in_a_printed_heat_map_is_read_on_every_colour():
    colours = LinearSegmentedColormap.from_list("share", SHARES)
    for share in np.linspace(0, 1, 101):
        ground = colours(share)[:3]
        ink = {"black": (0, 0, 0), "white": (1, 1, 1)}[read_on(ground)]
        assert contrast(ink, ground) >= 4.5


def rgb(colour):
    """Return red, green and blue from 0 to 1 of a colour as a browser writes it."""
    named = {"black": (0, 0, 0), "white": (1, 1, 1)}
    if colour in named:
        return named[colour]
    if colour.startswith("#"):
        return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return tuple(float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3])


def contrast(a, b):
    """Return the contrast of two colours, by WCAG 2."""
    light = [
        float(np.dot(np.where(np.array(c) <= 0.04045, np.array(c) / 12.92,
                              ((np.array(c) + 0.055) / 1.055) ** 2.4), (0.2126, 0.7152, 0.0722)))
        for c in (a, b)
    ]  # fmt: skip
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_copies_seen_are_those_of_the_twins(found):
    rows = values(CHARTS["deduplication"](found))
    assert {row["model"] for row in rows} == {"large", "large-deduped"}
    (twins,) = found.deduplication
    for row in rows:
        (step,) = (one for one in twins.steps if one.step == row["step"])
        shares = step.by_copies[row["copies"]]
        side = shares.deduplicated if "deduped" in row["model"] else shares.standard
        assert row["count"] == f"{side.memorized} of {side.texts}"
        assert side.texts, "what has no text has no place"


@pytest.mark.parametrize("name", ["precision", "recall", "overlap"])
def test_heat_maps_have_one_scale_a_legend_and_numbers_and_shares_of_few_texts_are_pale(
    found, name
):
    chart = CHARTS[name](found)
    cells, *numbers = chart["layer"]
    colour = cells["encoding"]["color"]
    assert colour["scale"]["domain"] == [0, 1]
    assert colour["legend"]["values"] == [0, 0.5, 1]
    assert {layer["mark"]["type"] for layer in numbers} == {"text"}
    pairs = {
        (found.label(one.source), found.label(one.target)): one.every
        for one in found.drawn_predictions
    }
    if name == "overlap":
        pairs = {(found.label(o.a), found.label(o.b)): o.agreement for o in found.drawn_overlaps}
    rows = {(row["from"], row["to"]): row for row in values(chart)}
    few = []
    for place, one in pairs.items():
        of = {"precision": one.first, "recall": one.second, "overlap": one.either}[name]
        if of:
            assert rows[place]["few"] == (of < 10)
            few.append(of < 10)
    assert ("fewer than 10 texts" in caption(found, name)) == any(few)


def test_the_command_writes_its_page_which_is_small(folder, tmp_path):
    arguments = ["compare", str(folder / "runs"), "--manifest", str(folder / "own.yaml")]
    arguments += ["--models", "small,large,large-deduped", "--step", "4"]
    done = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    page, document = (tmp_path / "out" / name for name in ("report.html", "compare.json"))
    found = json.loads(done.stdout)
    assert {"scale", "prediction", "overlap", "deduplication", "paired"} <= found.keys()
    assert json.loads(document.read_text()) == found
    told = found["verdict"].split(",")[0]
    assert re.fullmatch(r"At step 4 small has memorized .*% of the texts .*", told)
    assert told in page.read_text(encoding="utf-8")
    assert page.stat().st_size < 3_000_000
    assert (tmp_path / "out" / "overlap.png").read_bytes()[:4] == b"\x89PNG"


def test_what_a_chart_cannot_hold_is_a_picture(found, monkeypatch):
    monkeypatch.setattr("memtrace.comparison.pair_charts.MOST_ROWS", 3)
    shown = finding(found, names=["precision", "scale"])
    assert shown.figure.chart is None
    assert shown.figure.image
    assert shown.figures[0].chart
