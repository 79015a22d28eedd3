"""One web page of a fit or several that needs nothing beside it: verdicts, figures, numbers."""

from collections.abc import Sequence
from typing import Any

from memtrace.point_process.figures import small_multiples
from memtrace.point_process.figures.descriptions import CAPTIONS, described, several_described
from memtrace.point_process.figures.drawing import Drawings, draw_all
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.several import comparison
from memtrace.point_process.text import printed
from memtrace.point_process.verdict import verdict
from memtrace.report.figures import png
from memtrace.report.html import fits_page, picture
from memtrace.report.numbers import DASH, interval, number, p_value, ratio
from memtrace.report.text import rendered

COLUMNS = (
    "fit",
    "events",
    "texts",
    "per million",
    "end/start",
    "90% interval",
    "p",
    "p, Holm",
    "p, Benjamini-Yekutieli",
    "within margin",
    "dispersion",
    "best model",
)
NOTE = (
    "Checkpoints of one model share most of their memorized sequences; the adjusted p-values hold "
    "whatever that dependence."
)


def html_report(
    fits: Sequence[PoissonResult],
    drawings: Sequence[Drawings] | None = None,
) -> str:
    """Return a self-contained page of one fit or several.

    Args:
        fits: What to show.
        drawings: The figures of each fit, where they are drawn already.
    """
    drawn = drawings if drawings is not None else draw_all(fits)
    sections = [_section(fit, pictures) for fit, pictures in zip(fits, drawn, strict=True)]
    overview = _overview(fits) if len(fits) > 1 else None
    return fits_page("Does training order matter?", sections, overview)


def _overview(fits: Sequence[PoissonResult]) -> dict[str, Any]:
    return {
        "columns": COLUMNS,
        "note": NOTE,
        "rows": [_row(row) for row in comparison(fits)],
        "image": picture(png(small_multiples(fits))),
        "alt": several_described(fits),
    }


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["label"],
        f"{row['events']:,}",
        DASH if row["texts"] is None else f"{row['texts']:,}",
        number(row["rate_per_million"]),
        ratio(row["rate_ratio"]),
        interval(row["ci90"], ratio),
        *(p_value(row[key]) for key in ("p_value", "p_value_holm", "p_value_by")),
        {True: "yes", False: "no", None: DASH}[row["equivalent"]],
        number(row["dispersion"]),
        row["best_model"],
    )


def _section(fit: PoissonResult, drawings: Drawings) -> dict[str, Any]:
    return {
        "label": fit.events.label or "Poisson fit",
        "verdict": verdict(fit),
        "figures": [
            {
                "image": picture(drawing.png),
                "alt": described(fit, name),
                "caption": CAPTIONS[name],
            }
            for name, drawing in drawings.items()
        ],
        "text": rendered(printed(fit)),
    }
