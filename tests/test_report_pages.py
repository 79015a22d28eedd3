"""The pages of a report in a browser: they lead to each other, and all can use them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import write_run
from click.testing import CliRunner
from memtrace.cli.main import main

HOSTILE_NAME = "<b>model<b>"

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Return the folder of a report on two checkpoints, one of them without likelihoods."""
    folder = tmp_path_factory.mktemp("report")
    for step in (20, 40):
        write_run(
            folder / "runs",
            lambda rows, step=step: np.where(rows % (400 // step) == 0, 32, 3),
            likelihood=(lambda rows: -(rows % 7.0)) if step == 40 else None,
            model=HOSTILE_NAME,
            step=step,
            stop=1000,
            corpus_rows=1000,
            sequences_per_step=10,
            exposed_rows=10 * step,
        )
    arguments = ["report", str(folder / "runs"), "--output", str(folder / "out"), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [Path(page).name for page in document["pages"]] == [
        "index.html",
        "order.html",
        "likelihoods.html",
        "extraction.html",
        "emergence.html",
        "comparison.html",
    ]
    return folder / "out"


def test_every_page_of_a_report_leads_to_all_others(browser, report) -> None:
    tab = browser.new_page()
    tab.goto((report / "index.html").as_uri())
    addresses = tab.locator("nav.pages a").evaluate_all("all => all.map((one) => one.href)")
    assert len(addresses) == 6
    for address in addresses:
        tab.goto(address)
        assert tab.locator("nav.pages a[aria-current]").count() == 1
        assert tab.locator(".answer").first.inner_text()
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["index", "order", "likelihoods", "extraction", "emergence", "comparison"]
)
def test_axe_finds_no_violation_in_a_report(browser, report, name, scheme) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    viewport = {"width": 390, "height": 800}
    tab = browser.new_page(viewport=viewport, color_scheme=scheme)
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto((report / f"{name}.html").as_uri())
    box = tab.locator(".answer").first.bounding_box()
    assert box["y"] + box["height"] <= 800
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    tab.wait_for_timeout(300)
    found = axe.Axe().run(tab)
    tab.close()
    assert found.violations_count == 0, found.generate_report()
    assert complaints == []


def test_a_printed_page_has_no_navigation_and_the_whole_answer(browser, report) -> None:
    tab = browser.new_page(viewport={"width": 720, "height": 1000})
    tab.goto((report / "emergence.html").as_uri())
    whole = tab.locator(".rest p").first
    assert not whole.is_visible()
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert whole.is_visible()
    assert not tab.locator("nav.pages").is_visible()
    tab.close()


def test_every_page_of_a_report_is_below_three_megabytes(report) -> None:
    assert all(page.stat().st_size < 3_000_000 for page in report.glob("*.html"))


def test_a_checkpoint_on_the_first_page_is_reached_by_keyboard(browser, report) -> None:
    tab = browser.new_page()
    tab.goto((report / "index.html").as_uri())
    tab.locator("tbody a").nth(1).press("Enter")
    tab.wait_for_url("**/order.html#fit-2")
    assert tab.locator("#fit-2[open]").count() == 1
    tab.close()


def test_a_click_on_a_checkpoint_leads_to_its_events(browser, report) -> None:
    pytest.importorskip("vl_convert")
    tab = browser.new_page()
    tab.goto((report / "index.html").as_uri())
    tab.locator(".chart svg .mark-rect path").nth(1).click()
    tab.wait_for_url("**/order.html#fit-2")
    assert tab.locator("#fit-2[open]").count() == 1
    tab.close()


def test_the_page_of_order_says_what_likelihoods_show(report) -> None:
    assert "page Likelihoods" in (report / "order.html").read_text()


def test_a_report_names_what_it_leaves_out(tmp_path) -> None:
    write_run(tmp_path / "runs")
    done = CliRunner().invoke(main, ["report", str(tmp_path / "runs"), "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    index = (tmp_path / "index.html").read_text()
    assert "page Likelihoods" not in (tmp_path / "order.html").read_text()
    for reason in ("--likelihood", "two checkpoints", "another model or checkpoint"):
        assert reason in done.output
        assert reason in index


def test_a_report_of_runs_that_are_not_finished_names_the_command(tmp_path) -> None:
    run = write_run(tmp_path / "runs", shards=[], record={"command": ["memtrace", "scan", "x"]})
    done = CliRunner().invoke(main, ["report", str(tmp_path / "runs"), "--output", str(tmp_path)])
    assert done.exit_code == 1
    assert "memtrace scan x" in run.command
    assert (
        f"no run is finished, not even {run.label}; finish it with `{run.command}`" in done.output
    )
    assert not list(tmp_path.glob("*.html"))


def test_reasons_on_the_first_page_begin_as_sentences_do(tmp_path) -> None:
    write_run(tmp_path / "runs")
    CliRunner().invoke(main, ["report", str(tmp_path / "runs"), "--output", str(tmp_path)])
    page = (tmp_path / "index.html").read_text().partition('class="not-made"')[2]
    reasons = re.findall(r"<dd>(.)([^ ]*)", page.partition("</dl>")[0])
    assert reasons
    # A name, such as demo/demo, keeps its small letter.
    assert all(first.isupper() or "/" in rest for first, rest in reasons), reasons


def test_a_model_of_unknown_order_does_not_keep_the_others_from_their_pages(tmp_path) -> None:
    unknown = {"suite": "local", "model": "mine", "sequences_per_step": None}
    write_run(tmp_path / "runs", lambda rows: np.where(rows % 20, 3, 32), **unknown)
    arguments = ["report", str(tmp_path / "runs"), "--output", str(tmp_path / "out")]
    alone = CliRunner().invoke(main, [*arguments, "--json"])
    assert alone.exit_code == 0, alone.output
    document = json.loads(alone.stdout)
    assert [Path(page).name for page in document["pages"]] == ["index.html"]
    assert {"Order of local/mine", "Likelihoods", "Emergence"} < set(document["left_out"])
    index = (tmp_path / "out" / "index.html").read_text()
    assert "5 of 100 scanned sequences (5%)" in index
    assert "whether it was trained on them is not known" in index
    write_run(tmp_path / "runs")
    both = CliRunner().invoke(main, arguments)
    assert both.exit_code == 0, both.output
    index = (tmp_path / "out" / "index.html").read_text()
    assert "Order of local/mine" in index
    fitted = CliRunner().invoke(main, ["fit-poisson", str(tmp_path / "runs"), "--json"])
    assert json.loads(fitted.stdout)["model"] == "demo"
    assert "local/mine step 512 has no known order of training and is left out" in fitted.stderr


def test_of_step_0_alone_a_report_says_that_nothing_had_been_trained_on(tmp_path) -> None:
    for model in ("a", "b"):
        untrained = {"model": model, "step": 0, "exposed_rows": 0, "sequences_per_step": 10}
        write_run(tmp_path / "runs", lambda rows: np.where(rows % 100, 3, 32), **untrained)
    done = CliRunner().invoke(
        main, ["report", str(tmp_path / "runs"), "--output", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    index = (tmp_path / "out" / "index.html").read_text()
    assert "None of the scanned sequences had been trained on." in index
