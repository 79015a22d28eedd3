"""A browser that shows pages to tests."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memtrace.report.page import Page, page_html


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Debian's browser; while it is open no other event loop can run."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@pytest.fixture
def show(browser, tmp_path) -> Iterator[Callable[..., Any]]:
    """Return a function that shows a page, and fails at the end if it complained or asked."""
    complaints: list[str] = []
    contexts = []

    def shown(page: Page, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path / "page.html"
        path.write_text(page_html(page), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        tab.on("request", lambda request: complaints.append(request.url) if foreign(request) else 0)
        tab.goto(Path(path).as_uri())
        return tab

    def foreign(request: Any) -> bool:
        return not request.url.startswith(("file:", "data:"))

    yield shown
    for context in contexts:
        context.close()
    assert complaints == []
