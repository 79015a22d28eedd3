"""What readers see of a page: marks beside the pointer, headings on paper, reasons, legends."""

import json
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtrace.report.charts import Frames
from memtrace.report.page import Finding, Page, Shown, Table

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
pytest.importorskip("playwright.sync_api")


def line_chart(levels: list[float], title: str = "y") -> dict:
    """Return the chart of a line through levels."""
    rows = [{"x": x, "y": y} for x, y in enumerate(levels)]
    encoding = {
        "x": {"field": "x", "type": "quantitative"},
        "y": {"field": "y", "type": "quantitative", "title": title},
        "tooltip": [{"field": "x"}, {"field": "y"}],
    }
    name = f"data-{abs(hash(tuple(levels)))}"
    mark = {"type": "line", "point": {"size": 40}}
    chart = {"datasets": {name: rows}, "data": {"name": name}, "mark": mark}
    return {**chart, "encoding": encoding, "width": "container", "height": 280}


def page_of(*charts: dict, **values) -> Page:
    figures = [Shown("A line", "A line", chart=chart) for chart in charts]
    return Page("Which?", Finding("all", "lines", "Some.", figure=figures[0], **values))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("levels", [list(range(20, 0, -1)), list(range(20)), [3.0] * 20])
def test_the_box_of_a_mark_covers_neither_it_nor_the_line(show, levels, width) -> None:
    pytest.importorskip("vl_convert")
    tab = show(page_of(line_chart(levels)), width)
    points = tab.locator(".chart .mark-symbol path")
    points.first.wait_for()
    points.nth(10).hover()
    box = tab.locator("#vg-tooltip-element.visible").bounding_box()
    line = tab.locator(".chart .mark-line path").evaluate(
        """one => { const at = one.getScreenCTM(), n = one.getTotalLength();
            const place = (i) => one.getPointAtLength(n * i / 199).matrixTransform(at);
            return [...Array(200).keys()].map(place).map((p) => [p.x, p.y]); }"""
    )
    covered = [
        (x, y)
        for x, y in line
        if box["x"] <= x <= box["x"] + box["width"] and box["y"] <= y <= box["y"] + box["height"]
    ]
    assert not covered
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1) | st.text()), max_size=5))
def test_a_chart_is_put_together_from_its_frame_and_its_rows(rows) -> None:
    charts = [{"datasets": {f"data-{i}": rows}, "data": {"name": f"data-{i}"}} for i in range(2)]
    frames = Frames()
    split = [json.loads(json.dumps(frames.split(one))) for one in charts]
    (frame,) = frames.all
    for chart, own in zip(charts, split, strict=True):
        assert own["frame"] == 0
        name = frame["data"]["name"]
        columns, cells = own["datasets"][name]["columns"], own["datasets"][name]["rows"]
        back = [dict(zip(columns, row, strict=True)) for row in cells]
        every = {key for row in rows for key in row}
        assert back == [
            {key: row.get(key) for key in every} for row in chart["datasets"].popitem()[1]
        ]


def test_charts_that_differ_in_their_domains_share_a_frame_and_are_drawn_by_their_own(show) -> None:
    pytest.importorskip("vl_convert")
    charts, frames = [line_chart([1.0, 2.0]) for _ in range(2)], Frames()
    for chart, most in zip(charts, (40, 7000), strict=True):
        chart["encoding"]["y"]["scale"] = {"domain": [0, most]}
    split = [frames.split(one) for one in charts]
    assert [one["frame"] for one in split] == [0, 0]
    assert [one["domains"] for one in split] == [[[0, 40]], [[0, 7000]]]
    for chart, last in zip(charts, ("40", "7,000"), strict=True):
        tab = show(page_of(chart))
        tab.locator(".chart svg").get_by_text(last, exact=True).wait_for()


def test_charts_that_differ_in_more_than_rows_have_frames_of_their_own() -> None:
    frames = Frames()
    titles = [frames.split(line_chart([1.0], title))["frame"] for title in ("y", "z", "y")]
    assert titles == [0, 1, 0]
    assert [one["encoding"]["y"]["title"] for one in frames.all] == ["y", "z"]


def test_headings_of_a_table_stand_on_every_printed_sheet(show) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    rows = [[f"row {i}", str(i * i)] for i in range(200)]
    table = Table("Rows", ["row", "squared"], rows, legend="What it is.")
    tab = show(Page("Many?", Finding("all", "rows", "Some.", tables=[table])))
    paper = pdfium.PdfDocument(tab.pdf(format="A4"))
    sheets = ["".join(sheet.get_textpage().get_text_range().split()) for sheet in paper]
    with_rows = [sheet for sheet in sheets if re.search(r"row\d+", sheet)]
    assert len(with_rows) > 2
    assert all("squared" in sheet for sheet in with_rows)


def test_a_table_is_named_by_its_title_and_its_legend_stands_below(show) -> None:
    table = Table("Rows", ["row", "n"], [["a", "1"]], legend="n: how many, " + "at most, " * 20)
    tab = show(Page("Which?", Finding("all", "rows", "Some.", tables=[table])), 390)
    assert tab.get_by_role("table", name="Rows", exact=True).count() == 1
    title, legend = (tab.locator(f".table .{name}").bounding_box() for name in ("title", "legend"))
    assert title["y"] < legend["y"]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_breaks_at_an_underscore_and_short_text_stays_on_its_line(show, width) -> None:
    rows = [["crows_pairs_english_socioeconomic", "70m-deduped", "1"], ["piqa", "12b", "2"]]
    table = Table("Rows", ["measure", "model", "n"], rows)
    tab = show(Page("Which?", Finding("all", "rows", "Some.", tables=[table])), width)
    high = tab.locator("tbody td").first.evaluate(
        "one => { const all = document.createRange(); all.selectNodeContents(one);"
        " return all.getClientRects().length; }"
    )
    assert high == 1
    lines = tab.locator("tbody th").first.evaluate(
        """one => {
            let text = "", last = null;
            for (const node of [...one.childNodes].filter((n) => n.data))
                for (let i = 0; i < node.data.length; i++) {
                    const at = document.createRange(); at.setStart(node, i); at.setEnd(node, i + 1);
                    const top = Math.round(at.getBoundingClientRect().top);
                    text += (last !== null && top > last ? "/" : "") + node.data[i]; last = top;
                }
            return text; }"""
    )
    assert lines.replace("/", "") == rows[0][0]
    assert all(line.endswith("_") for line in lines.split("/")[:-1])
    assert ("/" in lines) == (width == 390)


@pytest.mark.parametrize("width", [390, 1280])
def test_what_is_pressed_is_24_pixels_high_and_shows_that_it_has_the_focus(show, width) -> None:
    rows = [[f"row {i}", str(i)] for i in range(40)]
    table = Table("Rows", ["row", "n"], rows, ["#all-table-1"] * 40)
    page = Page("Which?", Finding("all", "rows", "Some.", "More.", tables=[table]))
    tab = show(page, width)
    seen = 0
    for _ in range(50):
        tab.keyboard.press("Tab")
        one = tab.locator(":focus")
        if not one.count():
            break
        seen += 1
        assert one.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
        assert one.bounding_box()["height"] >= 24
    assert seen > 40


def test_a_reason_for_several_pages_is_said_once(show) -> None:
    left_out = (("Likelihoods", "none was scanned"), ("Texts", "m/a has none"),
                ("Extraction", "none was scanned"))  # fmt: skip
    tab = show(Page("Which?", Finding("all", "rows", "Some.", not_made=left_out)))
    assert tab.locator(".not-made dt").all_inner_texts() == ["Likelihoods, Extraction", "Texts"]
    assert tab.locator(".not-made dd").all_inner_texts() == ["None was scanned", "m/a has none"]
