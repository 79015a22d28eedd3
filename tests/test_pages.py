"""Pages in a browser: they load nothing, run nothing that texts hold, and can be used by all."""

import re
import shutil
from dataclasses import replace
from html import unescape
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from test_evaluations_terms import COUNTS, drawn
from test_intervention import measured, put

from memtrace.evaluations import compare_interventions, relate_terms
from memtrace.evaluations.intervention.page import intervention_page
from memtrace.evaluations.terms.page import term_page
from memtrace.point_process import EventSequence, fit_poisson
from memtrace.point_process.page import MOST_PANELS, fit_page
from memtrace.point_process.simulate import log_linear_drift, random_order
from memtrace.report.charts import HEIGHT, LABEL, apart
from memtrace.report.page import Fact, Finding, Page, Shown, Table, page_html, parted
from memtrace.report.typeset import NO_VALUE

CHROMIUM = shutil.which("chromium")
HOSTILE_NAME = "<b>model<b>"
HOSTILE = "<img src=x onerror=alert(1)>\x07\u202e</script><script>alert(2)</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def several() -> Page:
    rng = np.random.default_rng(0)
    fits = [fit_poisson(log_linear_drift(20_000, 300, ratio, rng)) for ratio in (1.0, 1.2, 3.0)]
    fits.append(fit_poisson(EventSequence.from_positions([], n=100, label=HOSTILE)))
    fits.append(fit_poisson(random_order(4_000, 4_000, rng)))
    return fit_page(fits)


@pytest.fixture(scope="module")
def one() -> Page:
    return fit_page([fit_poisson(random_order(20_000, 300, np.random.default_rng(1)))])


@pytest.fixture(scope="module")
def of_evaluations(tmp_path_factory) -> list[Page]:
    """Return the pages of interventions and of terms."""
    folder = tmp_path_factory.mktemp("evals")
    for step in (71_000, 143_000):
        put(folder, "standard", "70m-deduped", step, measured(0.6, winobias=0.6))
        put(folder, "intervention", "70m-deduped", step, measured(0.4, ppl=6.6, winobias=0.5))
    rng = np.random.default_rng(0)
    accuracy = [drawn([0.1, 0.5, 0.8], rng, model=model) for model in ("70m", "12b")]
    terms = relate_terms(pl.concat(accuracy), COUNTS)
    changed = compare_interventions(folder)
    for one in (terms, changed):
        assert "<img" in one._repr_html_()
    return [intervention_page(changed), term_page(terms)]


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_of_evaluations_answer_first_and_axe_finds_no_violation(
    show, of_evaluations, width, scheme
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for page in of_evaluations:
        tab = show(page, width, scheme)
        box = tab.locator(".answer").first.bounding_box()
        assert box["y"] + box["height"] <= 800
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert tab.locator("img, .chart svg").count() >= 1
        found = axe.Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_answer_is_seen_without_scrolling_and_nothing_is_wider_than_the_window(
    show, one, several, width
) -> None:
    for page in (one, several):
        tab = show(page, width)
        box = tab.locator(".answer").first.bounding_box()
        assert box["y"] + box["height"] <= 800
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(show, several, one, scheme) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for page in (one, several):
        tab = show(page, 768, scheme)
        tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        tab.wait_for_timeout(300)
        found = axe.Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()


def test_charts_are_drawn_under_the_policy_and_tell_what_is_under_the_pointer(show, one) -> None:
    pytest.importorskip("vl_convert")
    tab = show(one)
    tab.wait_for_selector(".chart svg path")
    points = tab.locator(".chart svg .mark-symbol path")
    assert points.count() >= 5
    points.nth(2).hover()
    assert "memorized" in tab.locator("#vg-tooltip-element").inner_text()


def test_the_box_of_numbers_stays_on_a_narrow_screen(show, one) -> None:
    pytest.importorskip("vl_convert")
    tab = show(one, 390)
    tab.wait_for_selector(".chart svg path")
    points = tab.locator(".chart svg .mark-symbol path")
    for place in (0, points.count() // 2, points.count() - 1):
        points.nth(place).hover()
        tab.wait_for_timeout(100)
        box = tab.locator("#vg-tooltip-element").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_what_has_no_value_is_sorted_last_either_way(show) -> None:
    table = Table("Rows", ["row", "square"], [["a", "-"], ["b", "4"], ["c", "9"], ["d", "-"]])
    tab = show(Page("Many?", Finding("all", "rows", "Some.", tables=[table])))
    head = tab.locator("thead th", has_text="square").get_by_role("button")
    for values in (["4", "9"], ["9", "4"]):
        head.click()
        cells = tab.locator("tbody td").all_inner_texts()
        assert cells == [*values, NO_VALUE, NO_VALUE]


def test_tables_sort_by_number_and_lead_to_the_finding(show, several) -> None:
    tab = show(several)
    events = tab.locator("thead th", has_text="events").get_by_role("button")
    column = "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[1].textContent)"
    for ascending in (True, False):
        events.click()
        counts = [int(cell.replace(",", "")) for cell in tab.evaluate(column)]
        assert counts == sorted(counts, reverse=not ascending)
    tab.locator("tbody a").first.click()
    tab.wait_for_selector("details.finding[open]")


def rows_page(n: int) -> Page:
    rows = [[f"row {i}", str(i * i)] for i in range(n)]
    table = Table("Rows", ["row", "square"], rows)
    return Page("Many?", Finding("all", "rows", "Some.", tables=[table]))


def test_a_long_table_ends_below_a_row_says_which_are_seen_and_is_filtered(show) -> None:
    tab = show(rows_page(40))
    cut = """() => { const box = document.querySelector(".scroll").getBoundingClientRect();
        return [...document.querySelectorAll("tbody tr")].map((row) => row.getBoundingClientRect())
            .filter((row) => row.top < box.bottom - 2 && row.bottom > box.bottom + 2).length; }"""
    seen = tab.locator(".sight span")
    playwright.expect(seen).to_contain_text("Rows 1 to")
    last = int(seen.inner_text().split()[3])
    assert 10 < last < 40
    assert seen.inner_text() == f"Rows 1 to {last} of 40"
    assert tab.evaluate(cut) == 0
    tab.evaluate("document.querySelector('.scroll').scrollTop = 1e6")
    playwright.expect(seen).to_have_text(f"Rows {40 - last + 1} to 40 of 40")
    tab.get_by_role("searchbox").fill("row 3")
    assert tab.locator("tbody tr:visible").count() == 11
    playwright.expect(seen).to_have_text("All 11 rows")
    tab.get_by_role("searchbox").fill("")
    tab.get_by_role("button", name="Show all").click()
    playwright.expect(seen).to_have_text("All 40 rows")


def test_a_printed_table_is_whole(show) -> None:
    tab = show(rows_page(60))
    tab.emulate_media(media="print")
    box = tab.locator(".scroll")
    assert box.evaluate("one => one.scrollHeight - one.clientHeight") == 0
    assert tab.locator("tbody tr").last.is_visible()


def test_a_phone_sees_the_names_and_the_first_numbers_of_a_table(show) -> None:
    names = ["task", "share", "95%", *(f"more {i}" for i in range(8))]
    rows = [["a task of many words and lambada_openai", "1.4%", "1.2% to 1.6%", *["12,345"] * 8]]
    finding = Finding("all", "rows", "One.", tables=[Table("Wide", names, rows)])
    tab = show(Page("Wide?", finding), 390)
    for cell in ("th[scope=row]", "td >> nth=0", "td >> nth=1"):
        box = tab.locator(f"tbody {cell}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_terms_are_explained_by_pointer_and_by_keyboard(show, several) -> None:
    tab = show(several)
    term = tab.locator("button.term:visible").first
    meaning = tab.locator(f"#{term.get_attribute('popovertarget')}")
    assert not meaning.is_visible()
    term.hover()
    assert meaning.is_visible()
    tab.mouse.move(0, 0)
    assert not meaning.is_visible()
    term.press("Enter")
    assert meaning.is_visible()


def test_names_and_texts_with_markup_or_without_a_space_do_nothing(show) -> None:
    hostile = HOSTILE + "/folder" * 40
    figure = Shown(
        hostile,
        hostile,
        hostile,
        chart={
            "data": {"values": [{"x": hostile}]},
            "mark": "point",
            "encoding": {"x": {"field": "x", "type": "nominal", "title": hostile}},
        },
    )
    table = Table(hostile, [hostile], [[hostile]])
    finding = Finding(
        "one",
        hostile,
        hostile,
        hostile,
        [Fact(hostile, hostile, hostile)],
        figure,
        [hostile],
        [hostile],
        [figure],
        [table],
        hostile,
        [(hostile, hostile)],
    )
    tab = show(Page(hostile, finding, [finding], links=[("index.html", hostile)]), 390)
    tab.wait_for_timeout(300)
    assert tab.locator("img[src=x]").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_long_answer_begins_with_its_first_sentence_and_loses_nothing() -> None:
    long = f"The effect is 2.5 nats (p < 0.001). {'And so on, ' * 30}to the end. The last."
    first, rest = parted(long)
    assert first == "The effect is 2.5 nats (p < 0.001)."
    assert f"{first} {rest}" == long
    assert parted("Short. Whole.") == ("Short. Whole.", "")


@pytest.mark.parametrize("levels", [[0.0, 0.0, 0.0], [3.0, 1.0, 1.01], [1.0], []])
def test_labels_of_lines_keep_their_order_and_do_not_cover_each_other(levels) -> None:
    moved = apart(levels, 2.0)
    ordered = [moved[i] for i in sorted(range(len(levels)), key=lambda i: levels[i])]
    assert all(b - a >= 0.99 * LABEL / HEIGHT * 2 for a, b in pairwise(ordered))
    assert all(at >= level for at, level in zip(moved, levels, strict=True))


def test_a_hundred_and_fifty_four_checkpoints_are_one_page_of_two_and_a_half_megabytes() -> None:
    rng = np.random.default_rng(2)
    fit = fit_poisson(random_order(20_000, 1_200, rng))
    page = fit_page([fit] * (MOST_PANELS + 1))
    findings = [replace(page.findings[0], name=f"fit-{i}") for i in range(154)]
    html = page_html(replace(page, findings=findings))
    assert len(html) < 2_500_000
    assert html.count('class="finding"') == 154
    text = unescape(re.sub("<[^>]*>", "", html))
    above = [*page.summary.tested, *page.summary.limits]
    assert max(text.count(line) for line in above if line in findings[0].limits) == 1


def test_of_many_checkpoints_a_page_has_the_table_and_opens_one_at_a_time(show, several) -> None:
    findings = [replace(several.findings[0], name=f"fit-{i}", label=str(i)) for i in range(60)]
    rows = [(str(i), "1") for i in range(60)]
    table = Table("All", ("fit", "n"), rows, [one.address for one in findings])
    summary = replace(several.summary, tables=[table], figure=None, figures=())
    tab = show(replace(several, findings=findings, summary=summary), 390)
    assert tab.locator(".finding:visible").count() == 0
    assert tab.evaluate("document.documentElement.scrollHeight") < 2_500
    for i in (3, 7):
        tab.locator(f"tbody a[href='#fit-{i}']").click()
        playwright.expect(tab.locator(".finding:visible")).to_have_id(f"fit-{i}")
    tab.locator("#fit-7 .beside a").last.click()
    playwright.expect(tab.locator(".finding:visible")).to_have_id("fit-8")


def test_charts_are_printed_in_ink_from_a_dark_screen_and_keep_their_slider(show, several) -> None:
    pytest.importorskip("vl_convert")
    tab = show(several, 768, "dark")
    slider, shown = tab.locator("input[type=range]"), tab.locator("output")
    slider.focus()
    slider.press("ArrowLeft")
    chosen = shown.inner_text()
    assert chosen == slider.get_attribute("aria-valuetext")
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink')"
    dark = tab.evaluate(ink)
    labels = tab.locator(".chart svg text")
    playwright.expect(labels.first).to_have_attribute("fill", dark)
    for media in ("print", "screen"):
        tab.emulate_media(media=media)
        playwright.expect(tab.locator("html.printed")).to_have_count(int(media == "print"))
        assert (tab.evaluate(ink) == dark) == (media == "screen")
        playwright.expect(labels.first).to_have_attribute("fill", tab.evaluate(ink))
        playwright.expect(shown).to_have_text(chosen)
