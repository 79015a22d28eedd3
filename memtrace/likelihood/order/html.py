"""One web page of order in likelihoods, of one checkpoint or several."""

from collections.abc import Sequence
from typing import Any

from memtrace.likelihood.order.figures import CAPTIONS, curves, shown, single
from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.several import COLUMNS, LEGEND, table_rows
from memtrace.likelihood.order.text import printed
from memtrace.likelihood.order.verdict import verdict
from memtrace.report.figures import png
from memtrace.report.html import fits_page, picture
from memtrace.report.text import rendered

TITLE = "Does training order matter, in the likelihoods?"
NOTE = f"{LEGEND} Checkpoints are not replicates: their likelihoods are of the same sequences."


def html_report(fits: Sequence[OrderResult]) -> str:
    """Return a page that needs nothing beside it."""
    overview = _overview(fits) if len(fits) > 1 else None
    return fits_page(TITLE, [_section(fit) for fit in fits], overview)


def _overview(fits: Sequence[OrderResult]) -> dict[str, Any]:
    return {
        "columns": COLUMNS,
        "rows": table_rows(fits),
        "note": NOTE,
        "image": picture(png(curves(fits))),
        "alt": f"Effect of exposure by age at {len(fits)} checkpoints, and at each in all",
    }


def _section(fit: OrderResult) -> dict[str, Any]:
    return {
        "label": fit.source.label or "Order in likelihoods",
        "verdict": verdict(fit),
        "figures": [
            {
                "image": picture(png(single(fit, name))),
                "alt": f"{CAPTIONS[name]} {verdict(fit)}",
                "caption": CAPTIONS[name],
            }
            for name in shown(fit)
        ],
        "text": rendered(printed(fit)),
    }
