"""The page of texts in a browser: what is printed, and what is said in place of a long error."""

import shutil

import polars as pl
import pytest

from memtrace.report.texts_page import parted_note, texts_page
from memtrace.texts.memorized import MemorizedTexts

N = 700
NOTE = "no tokenizer was found ('/a/b' (c) has none): add one with `--tokenizer`"

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")


def texts(n: int = N) -> MemorizedTexts:
    rows = [
        {
            "text": i, "prompt": f"<b>before {i}", "continuation": f"after {i}\n" * 5,
            "matched_tokens": 4, "copies": 1 + i % 3, "copies_exposed": 1, "last_index": i,
            "first_step": 1000 + i, "last_step": 2000 + i, "first_checkpoint": 4096,
            "lost_checkpoint": None, "history": "1", "log_likelihood": -0.5, "file": None,
            "line": None, "labels": ["rare"], "copy_indices": [i],
        }
        for i in range(n)
    ]  # fmt: skip
    schema = {"lost_checkpoint": pl.Int64, "file": pl.String, "line": pl.Int64}
    table = pl.DataFrame(rows, schema_overrides=schema)
    return MemorizedTexts("a", "b", "tokens 0 to 7", (4096,), 4, 4, table, (NOTE,))


@pytest.fixture
def tab(browser, tmp_path):
    path = tmp_path / "texts.html"
    path.write_text(texts_page(texts()), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 390, "height": 800})
    opened.goto(path.as_uri())
    opened.wait_for_selector("body[data-ready]")
    yield opened
    opened.close()


def printed(tab) -> list[str]:
    tab.emulate_media(media="print")
    tab.wait_for_selector("#paper pre")
    found = tab.locator("#paper pre:visible").all_inner_texts()
    assert not tab.locator("#list").is_visible()
    return found


def test_a_print_has_the_first_of_many_texts_in_full_and_says_so(tab) -> None:
    shown = printed(tab)
    assert 100 < len(shown) < N
    assert shown[3] == "<b>before 3|" + "after 3\\n\n" * 5
    said = tab.locator("#paper p").first.inner_text()
    assert said.startswith(f"{len(shown)} of {N} texts printed, the first of {N} that are chosen")


def test_a_print_has_what_is_chosen_alone(tab) -> None:
    tab.locator("#search").fill("before 12")
    tab.locator("#shown", has_text="11 of").wait_for()
    assert len(printed(tab)) == 11
    assert tab.locator("#paper p").first.inner_text().startswith(f"11 of {N} texts printed")


def test_an_opened_text_is_seen_beside_its_list_and_numbers_are_those_of_print(tab) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.locator(".row").nth(2).click()
    for place in ("#list", "#detail"):
        assert tab.locator(place).is_visible()
    facts = tab.locator("#detail .meta").inner_text()
    assert "steps 1,002 to 2,002" in facts
    assert "log-likelihood \N{MINUS SIGN}0.5 nats" in facts
    note = tab.locator(".remark summary").first
    assert note.inner_text() == "No tokenizer was found: add one with --tokenizer."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_a_list_with_an_opened_text(tab, scheme) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab.emulate_media(color_scheme=scheme)
    tab.locator(".row").nth(2).click()
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = axe.Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()


def test_with_the_colours_of_a_system_the_chosen_text_is_seen(tab) -> None:
    chosen = tab.locator(".row").nth(2)
    chosen.click()
    for colours, line in (("none", "none"), ("active", "solid")):
        tab.emulate_media(forced_colors=colours)
        style = "one => getComputedStyle(one).outlineStyle"
        assert tab.locator(".row[aria-selected=true]").evaluate(style) == line
        assert tab.locator(".row[aria-selected=false]").first.evaluate(style) == "none"


@pytest.mark.parametrize(
    ("note", "said", "cause"),
    [
        (NOTE, "No tokenizer was found: add one with `--tokenizer`.", "'/a/b' (c) has none."),
        ("unknown (the folder is gone): give it", "Unknown: give it.", "The folder is gone."),
        ("copies are not known: make a table", "Copies are not known: make a table.", ""),
        ("f(x) is odd", "F(x) is odd.", ""),
    ],
)
def test_a_note_loses_nothing(note, said, cause) -> None:
    assert parted_note(note) == (said, cause)
