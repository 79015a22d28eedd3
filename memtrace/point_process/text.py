"""The printed page of a fit: verdict first, then the numbers behind it.

It decides nothing: every number comes from the fit.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memtrace.point_process.models.model import Model
from memtrace.report.text import named_values, rendered
from memtrace.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from memtrace.point_process.fit import PoissonFit

Rows = list[tuple[str, str]]


def summary(fit: "PoissonFit") -> str:
    """Return the page as plain text."""
    return rendered(page(fit))


def page(fit: "PoissonFit") -> "RenderableType":
    """Return the page as rich prints it."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    title = fit.events.label or "Poisson fit"
    panel = Panel(Text(fit.verdict), title=Text(title), title_align="left", border_style="blue")
    blocks = [
        ("Events", named_values(_events(fit))),
        ("Order: the primary end point", named_values(_order(fit))),
        ("Order: descriptive, unadjusted", named_values(_described(fit))),
        (f"Windows of {fit.window:,} sequences", named_values(_windows(fit))),
        ("Models of the rate", _models(fit, "positions")),
        ("Models of the window counts", _models(fit, "window counts")),
    ]
    parts: list[Any] = [panel]
    for heading, table in blocks:
        parts += [Text(""), Text(heading, style="bold"), Padding(table, (0, 0, 0, 2))]
    if fit.events.source:
        parts += [Text(""), Text(f"From {fit.events.source}", style="dim")]
    return Group(*parts)


def comparison_page(rows: Sequence[dict[str, Any]]) -> "RenderableType":
    """Return the table of several fits."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("fit", no_wrap=True)
    names = ("events", "per million", "end/start", "90% interval", "p", "Holm", "BY", "within")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["label"],
            f"{row['events']:,}",
            _number(row["rate_per_million"]),
            _short(row["rate_ratio"]),
            " to ".join(map(_short, row["ci90"])),
            *(_bare_p(row[key]) for key in ("p_value", "p_value_holm", "p_value_by")),
            {True: "yes", False: "no", None: "undefined"}[row["equivalent"]],
        )
    return table


def strata_page(strata: Sequence[dict[str, Any]]) -> "RenderableType":
    """Return the table of strata by multiplicity."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("prefix occurs", "events", "of", "per million", "end/start", "90% interval", "p"):
        table.add_column(name, justify="left" if name == "prefix occurs" else "right")
    for row in strata:
        values = [_number(row[k] or math.nan) for k in ("rate_per_million", "rate_ratio")]
        interval = "undefined" if row["ci90"] is None else _range(row["ci90"])
        p = "undefined" if row["p_value"] is None else _bare_p(row["p_value"])
        counts = (f"{row['events']:,}", f"{row['exposure']:,}")
        table.add_row(row["name"], *counts, *values, interval, p)
    return table


def _events(fit: "PoissonFit") -> Rows:
    events = fit.events
    rate = "undefined"
    if events.exposure:
        rate = f"{_number(fit.rate_per_window)}  95% {_range(fit.rate_ci95)}"
    return [
        ("memorized", f"{events.n_events:,} of {events.exposure:,} sequences looked at"),
        ("rate per window", rate),
        ("rate per million", _number(events.fraction * 1e6)),
        ("coverage", _coverage(fit)),
        ("not yet trained on", _control(fit)),
    ]


def _coverage(fit: "PoissonFit") -> str:
    events = fit.events
    if events.n == 0:
        return "no sequence had been trained on"
    if events.exposure == events.n:
        return f"complete: all {events.n:,} sequences trained on"
    ranges = len(events.missing)
    gaps = "1 range is" if ranges == 1 else f"{ranges:,} ranges are"
    return f"{events.exposure:,} of the {events.n:,} sequences trained on; {gaps} missing"


def _control(fit: "PoissonFit") -> str:
    events, compared = fit.events, fit.control
    if not events.unexposed_exposure:
        return "none scanned (no control group)"
    counts = f"{events.unexposed_events:,} of {events.unexposed_exposure:,}"
    if compared is None:
        return counts
    low, high = (end * fit.window for end in compared.difference_ci95)
    added = _number(compared.difference * fit.window)
    p = _p(compared.p_value)
    return f"{counts}; training adds {added} per window  95% {_range((low, high))}  {p}"


def _order(fit: "PoissonFit") -> Rows:
    trend, even = fit.trend, fit.equivalence
    if trend.reason:
        return [("undefined", trend.reason)]
    inside = "yes" if even.equivalent else "no"
    return [
        (
            "rate, end over start",
            f"{_number(trend.rate_ratio)}  90% {_range(trend.interval(0.9))}  "
            f"95% {_range(trend.interval(0.95))}  {_p(trend.p_value)}",
        ),
        (f"within margin {even.margin:g}", f"{inside}  {_p(even.p_value)}"),
        ("smallest drift to be found", f"{_number(trend.detectable_ratio())} (power 80%)"),
    ]


def _described(fit: "PoissonFit") -> Rows:
    u, change = fit.uniformity, fit.change_point
    if u.reason:
        return [("undefined", u.reason)]
    rows = [
        ("Laplace z", f"{u.laplace_z:.3f}  {_p(u.laplace_p_value)}"),
        (
            "events out of place (KS)",
            f"{u.ks:.3%}, at most {u.ks_upper95:.3%} (95% bound)  {_p(u.p_value)}",
        ),
        ("Anderson-Darling", f"{u.anderson_darling:.3f}  {_p(u.anderson_darling_p_value)}"),
        ("Neyman, 4 components", f"{u.neyman_statistic:.3f}  {_p(u.neyman_p_value)}"),
    ]
    if change.index is not None:
        where, unit = change.index, fit.events.sequences_per_step
        place = f"step {where / unit:,.1f}" if unit else f"sequence {where:,}"
        ratio = _number(change.rate_ratio)
        rows.append(("best change point", f"{place}, rate x {ratio}  {_p(change.p_value)}"))
    for k, compared in fit.last_steps.items():
        name = "last step" if k == 1 else f"last {k:,} steps"
        rows.append(
            (
                f"{name} to the rest",
                _ratio(compared.ratio, compared.ratio_ci95) + f"  {_p(compared.p_value)}",
            )
        )
    for name, compared in fit.contrasts.items():
        ratio = _ratio(compared.ratio, compared.ratio_ci95)
        rows.append((name, f"{ratio}  {_p(compared.p_value)}"))
    return rows


def _windows(fit: "PoissonFit") -> Rows:
    d = fit.dispersion
    if d.reason:
        return [("undefined", d.reason)]
    rows = [
        (
            "windows",
            f"{len(fit.windows.counts):,}, mean count {_number(fit.windows.counts.mean())}",
        ),
        (
            "dispersion, binomial",
            f"{d.binomial.value:.4f}  95% {_range(d.binomial.ci95)}  {_p(d.binomial.p_value)}",
        ),
        (
            "dispersion, Poisson",
            f"{d.poisson.value:.4f}  95% {_range(d.poisson.ci95)}  {_p(d.poisson.p_value)}",
        ),
        ("rate between windows", f"varies by {d.cv:.2%} beyond chance, at most {d.cv_upper95:.2%}"),
    ]
    tests = ((name, p) for name, p in fit.checks.p_values().items() if not math.isnan(p))
    return [*rows, *((name, _p(p)) for name, p in tests)]


def _models(fit: "PoissonFit", of: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", min_width=18, style="cyan")
    for name in ("log-likelihood", "AIC", "BIC", "p"):
        table.add_column(name, justify="right")
    table.add_column("")
    chosen = [model for model in fit.models if model.of == of]
    fitted = [model for model in chosen if not math.isnan(model.aic)]
    # Differences say what the values, of eight digits, hide.
    aic = min((m.aic for m in fitted), default=math.nan)
    bic = min((m.bic for m in fitted), default=math.nan)
    for model in chosen:
        table.add_row(*_model_row(model, aic, bic))
    return table


def _model_row(model: Model, aic: float, bic: float) -> tuple[str, ...]:
    if model.reason:
        return model.name, "", "", "", "", model.reason
    p = "" if model.p_value is None else _bare_p(model.p_value)
    least = f"{model.log_likelihood:,.2f}"
    return model.name, least, f"+{model.aic - aic:,.1f}", f"+{model.bic - bic:,.1f}", p, ""


def _ratio(ratio: float, interval: Interval) -> str:
    return f"{_number(ratio)}  95% {_range(interval)}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "infinite"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _short(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else _number(value)


def _range(interval: Interval) -> str:
    return f"[{_number(interval[0])}, {_number(interval[1])}]"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-300 else "p < 1e-300"


def _bare_p(p: float) -> str:
    if math.isnan(p):
        return "undefined"
    return f"{p:.2g}" if p >= 1e-300 else "< 1e-300"
