"""One web page of a fit that needs nothing beside it: verdict, figures and numbers in one file.

It computes nothing; several fits are one page with a table and small multiples on top.
"""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memtrace.point_process.several import comparison
from memtrace.point_process.text import strata_page, summary
from memtrace.report.figures import new_figure, styled
from memtrace.report.html import picture
from memtrace.report.text import rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from memtrace.point_process.fit import PoissonFit

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#22303c}
body{max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.2rem;border-top:1px solid #c5d9e7;padding-top:1rem}
.verdict{background:#eef4f8;border-left:4px solid #2f6690;padding:.8rem 1rem;font-size:1.05rem}
table{border-collapse:collapse;font-size:.9rem;display:block;overflow-x:auto}
td,th{padding:.25rem .8rem;border-bottom:1px solid #e3ebf0;text-align:right}
td:first-child,th:first-child{text-align:left}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1rem}
figure{margin:0}img{max-width:100%;height:auto}figcaption{font-size:.85rem;color:#5a6b78}
pre{background:#f7f9fa;padding:1rem;overflow-x:auto;font-size:.8rem}
"""
CAPTIONS = {
    "rate": "Rate along training. The band holds the whole curve at once with 95% confidence; "
    "dotted lines are cuts known beforehand.",
    "cumulative": "Share of the events so far less the share of the sequences so far. 95% of "
    "random orders stay inside the band everywhere.",
    "fano": "In random order the variance over the mean is 1 - p at every length. A drift makes it "
    "grow with the length; shocks to whole steps lift it from one step on.",
    "residuals": "What the best model does not explain, in standard normal scores; 95% of fitting "
    "models stay inside the dashed lines everywhere.",
    "rootogram": "How many windows hold so many events, hung from what random order expects.",
    "qq": "The figure of the Pythia paper. It sorts the windows first, so it cannot see in which "
    "order they came: a drift shows only by what it adds to their variance.",
    "control": "Sequences not yet trained on are a randomised control group: what is extractable "
    "there was not memorized from them.",
}
COLUMNS = {
    "label": "fit",
    "events": "events",
    "rate_per_million": "per million",
    "rate_ratio": "end/start",
    "ci90": "90% interval",
    "p_value": "p",
    "p_value_holm": "p, Holm",
    "p_value_by": "p, Benjamini-Yekutieli",
    "equivalent": "within margin",
    "dispersion": "dispersion",
    "best_model": "best model",
}


def html_report(
    fits: Sequence["PoissonFit"], strata: Sequence[list[dict[str, Any]] | None] | None = None
) -> str:
    """Return a self-contained page of one fit or several.

    Args:
        fits: What to show.
        strata: The documents of each fit's strata, where there are any.
    """
    title = "Does training order matter?"
    parts = [f"<h1>{title}</h1>"]
    if len(fits) > 1:
        parts.append(_overview(fits))
    strata = strata or [None] * len(fits)
    parts += [_section(fit, several) for fit, several in zip(fits, strata, strict=True)]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width">'
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}{view}</head>\n<body>{body}</body></html>\n'
    )


def _overview(fits: Sequence["PoissonFit"]) -> str:
    from memtrace.point_process.figures import small_multiples

    header = "".join(f"<th>{name}</th>" for name in COLUMNS.values())
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[key])}</td>" for key in COLUMNS) + "</tr>"
        for row in comparison(fits)
    )
    note = (
        "Checkpoints of one model share most of their memorized sequences; the adjusted p-values "
        "hold whatever that dependence."
    )
    picture = _image(small_multiples(fits), "rate over training of each fit")
    return f"<table><tr>{header}</tr>{rows}</table><p>{note}</p>{picture}"


def _section(fit: "PoissonFit", strata: list[dict[str, Any]] | None) -> str:
    from memtrace.point_process.figures import FIGURES

    figures = []
    for name, draw in FIGURES.items():
        if name == "control" and fit.control is None:
            continue
        with styled():
            figure = new_figure()
            draw(fit, figure.add_subplot())
        caption = f"<figcaption>{CAPTIONS[name]}</figcaption>"
        figures.append(f"<figure>{_image(figure, name)}{caption}</figure>")
    label = html.escape(fit.events.label or "Poisson fit")
    verdict = f'<p class="verdict">{html.escape(fit.verdict)}</p>'
    pictures = f'<div class="figures">{"".join(figures)}</div>'
    text = summary(fit)
    if strata is not None:
        text += f"\n\nStrata by multiplicity of the prefix\n{rendered(strata_page(strata))}"
    return f"<h2>{label}</h2>{verdict}{pictures}<pre>{html.escape(text)}</pre>"


def _image(figure: "Figure", name: str) -> str:
    return f'<img alt="{html.escape(name)}" src="{picture(figure)}">'


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(_cell(end) for end in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "undefined"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    return html.escape(f"{value:,}" if isinstance(value, int) else value)
