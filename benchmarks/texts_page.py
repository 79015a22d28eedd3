"""How large is the page of 100,000 memorized texts, and how soon does it show them?

    python benchmarks/texts_page.py --chromium /usr/bin/chromium [--screenshots DIR]

Texts are pseudo-random words, as long as 64 tokens are. Time is from the navigation until rows are
drawn, in headless Chromium, from a file; then that of a search and of a new order.
"""

import argparse
import random
import string
import tempfile
import time
from pathlib import Path

import polars as pl

from memtrace.report.texts_page import texts_page
from memtrace.texts.labels import LABELS
from memtrace.texts.memorized import MemorizedTexts

STEPS = (0, 1, 16, 64, 128, 192, 256, 320, 384, 448, 512)
NASTY = (
    "</script><script>document.title='hacked'</script>",
    "<img src=x onerror=\"document.title='hacked'\">",
    "\u202eright to left\u202c \x1b[31mred\x07\x00 \u2028 new line",
    "العربية and עברית",
)


def made(n: int, seed: int = 0) -> MemorizedTexts:
    """Return so many texts; the first ones have markup and control characters."""
    rng = random.Random(seed)
    words = [
        "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(20_000)
    ]

    def text(i: int) -> str:
        start = NASTY[i] if i < len(NASTY) else ""
        return start + " ".join(rng.choices(words, k=20)) + "\n"

    copies = [min(int(rng.paretovariate(1.2)), 5_000) for _ in range(n)]
    first = [i * 1_400 for i in range(n)]
    histories = [rng.randint(2, len(STEPS) - 1) for _ in range(n)]
    table = pl.DataFrame(
        {
            "text": first,
            "prompt": [text(i) for i in range(n)],
            "continuation": [text(i) for i in range(n)],
            "matched_tokens": [32] * n,
            "copies": copies,
            "copies_exposed": copies,
            "first_index": first,
            "last_index": [one + 1_000 * (m > 1) for one, m in zip(first, copies, strict=True)],
            "first_step": [one // 1024 for one in first],
            "last_step": [one // 1024 + (m > 1) for one, m in zip(first, copies, strict=True)],
            "copy_indices": [
                [one + k for k in range(min(m, 100))] for one, m in zip(first, copies, strict=True)
            ],
            "first_checkpoint": [STEPS[h] for h in histories],
            "lost_checkpoint": [None] * n,
            "history": ["0" * h + "1" * (len(STEPS) - h) for h in histories],
            "log_likelihood": [-rng.random() for _ in range(n)],
            "file": ["<b>train</b>.jsonl"] * n,
            "line": list(range(n)),
            "labels": [[rng.choice(LABELS)] for _ in range(n)],
        },
        schema_overrides={"lost_checkpoint": pl.Int64},
    )
    return MemorizedTexts("pythia", "12b", "tokens 0 to 63 of each row", STEPS, 32, 32, table, ())


def shown(page: object, count: str) -> float:
    """Return the seconds until the page says so many texts."""
    began = time.perf_counter()
    page.wait_for_function(  # type: ignore[attr-defined]
        "text => document.getElementById('shown').textContent.startsWith(text)", arg=count
    )
    return time.perf_counter() - began


def main() -> None:
    """Make the page, open it, and print what it took."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--chromium", default=None)
    parser.add_argument("--screenshots", type=Path, default=None)
    options = parser.parse_args()
    found = made(options.texts)
    began = time.process_time()
    html = texts_page(found)
    print(f"page: {len(html.encode()) / 1e6:.1f} MB, made in {time.process_time() - began:.1f} s")
    path = Path(tempfile.mkdtemp()) / "texts.html"
    path.write_text(html, encoding="utf-8")
    with sync_playwright() as chromium:
        browser = chromium.chromium.launch(executable_path=options.chromium)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        print(f"shown after {time.perf_counter() - began:.2f} s; title {page.title()!r}")
        page.fill("#search", "hacked")
        print(f"search: {shown(page, '2 of'):.2f} s")
        page.fill("#search", "")
        shown(page, f"{options.texts:,} of")
        page.select_option("#order", "continuation")
        page.wait_for_timeout(2_000)
        if options.screenshots:
            _screenshots(browser, path, options.screenshots)
        browser.close()


def _screenshots(browser: object, path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            page = browser.new_page(  # type: ignore[attr-defined]
                viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page.goto(path.as_uri())
            page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
            page.click(".row:nth-child(3)")
            page.screenshot(path=folder / f"texts-{width}-{scheme}.png", full_page=True)


if __name__ == "__main__":
    main()
