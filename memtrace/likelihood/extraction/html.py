"""One web page of what sampling would extract, of one checkpoint or several."""

from collections.abc import Sequence
from typing import Any

from memtrace.likelihood.extraction.figures import CAPTIONS, FIGURES, single
from memtrace.likelihood.extraction.result import ExtractionResult
from memtrace.likelihood.extraction.text import printed
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.figures import png
from memtrace.report.html import fits_page, picture
from memtrace.report.text import rendered


def html_report(fits: Sequence[ExtractionResult]) -> str:
    """Return a page that needs nothing beside it."""
    return fits_page("How much would sampling extract?", [_section(fit) for fit in fits])


def _section(fit: ExtractionResult) -> dict[str, Any]:
    return {
        "label": fit.label,
        "verdict": verdict(fit),
        "figures": [
            {
                "image": picture(png(single(fit, name))),
                "alt": f"{CAPTIONS[name]} {verdict(fit)}",
                "caption": CAPTIONS[name],
            }
            for name in FIGURES
        ],
        "text": rendered(printed(fit)),
    }
