"""The printed text of a fit: verdict first, then the numbers behind it; tables of several fits."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memtrace.point_process.diagnostics.dispersion import LESS
from memtrace.point_process.order import Order
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.texts.text import control_rows, order_rows, text_rows
from memtrace.point_process.verdict import verdict
from memtrace.report.numbers import (
    DASH,
    count,
    interval,
    number,
    p_text,
    p_value,
    percent,
    ratio,
)
from memtrace.report.text import columns, named_values, sections
from memtrace.types import UNDEFINED, Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

Rows = list[tuple[str, str]]


def printed(fit: PoissonResult) -> "RenderableType":
    """Return what is printed of one fit, as rich takes it."""
    blocks = [
        ("Events", named_values(_events(fit))),
        *(
            [("Order of texts: the primary end point", named_values(order_rows(fit.by_text)))]
            if fit.by_text
            else []
        ),
        ("Tests behind the answer: p, and p adjusted by Holm", named_values(_gate(fit.gate))),
        (
            "Order of rows" if fit.by_text else "Order of rows: the primary end point",
            named_values(_order(fit)),
        ),
        ("Order: descriptive, unadjusted", named_values(_described(fit))),
        (f"Windows of {count(fit.window, 'sequence')}", named_values(_windows(fit))),
        ("Models of the rate", _models(fit, "positions")),
        ("Models of the window counts", _models(fit, "window counts")),
    ]
    return sections(fit.events.label or "Poisson fit", verdict(fit), blocks, fit.events.source)


def comparison_table(
    rows: Sequence[dict[str, Any]], names: Sequence[str] = (), heading: str = "fit"
) -> "RenderableType":
    """Return the table of several fits.

    Args:
        rows: What `comparison` returns.
        names: What to call each fit; its label if left out.
        heading: What the names are.
    """
    names = names or [row["label"] for row in rows]
    titles = (
        heading,
        "events",
        "texts",
        "per million",
        "end/start",
        "90% interval",
        "p",
        "p, Holm",
    )
    cells = (
        (
            name,
            f"{row['events']:,}",
            DASH if row["texts"] is None else f"{row['texts']:,}",
            number(row["rate_per_million"], 3),
            bounded(row["rate_ratio"]),
            interval(row["ci90"], bounded),
            p_value(row["p_value"]),
            p_value(row["p_value_holm"]),
        )
        for name, row in zip(names, rows, strict=True)
    )
    return columns(titles, cells)


def _events(fit: PoissonResult) -> Rows:
    events = fit.events
    return [
        ("memorized", f"{events.n_events:,} of {count(events.exposure, 'sequence')} scanned"),
        ("rate per window", _rate(fit)),
        ("rate per million", number(events.fraction * 1e6)),
        ("coverage", _coverage(fit)),
        *text_rows(fit.by_text, fit.by_text_reason, fit.event_texts, row_interval=fit.row_interval),
        *control_rows(fit.by_text, fit.by_text_reason, events),
    ]


def _rate(fit: PoissonResult) -> str:
    """Return the rate of rows: with copies a count of this run, without an interval."""
    if fit.has_copies:
        return f"{number(fit.rate_per_window)}: a census of this run, copies counted each"
    return _with_ci(fit.rate_per_window, fit.rate_ci95, number)


def _coverage(fit: PoissonResult) -> str:
    events = fit.events
    if events.n == 0:
        return "no sequence had been trained on"
    if events.exposure == events.n:
        what = "trained on" if events.source else "examined"
        return f"complete: all {count(events.n, 'sequence')} {what}"
    gaps = count(len(events.missing), "range is", "ranges are")
    return f"{events.exposure:,} of the {events.n:,} sequences trained on; {gaps} missing"


def _order(fit: PoissonResult) -> Rows:
    trend, even = fit.trend, fit.equivalence
    if trend.reason:
        return [("undefined", trend.reason)]
    if fit.has_copies:
        return [("drift", f"{p_text(trend.p_value)}, valid with any number of copies")]
    if fit.order.no_ratio:
        return [("rate, end over start", fit.order.no_ratio)]
    inside = "yes" if even.equivalent else "no"
    ci90, ci95 = (interval(trend.interval(level), bounded) for level in (0.9, 0.95))
    ends = f"90% {ci90}, 95% {ci95}"
    return [
        (
            "rate, end over start",
            f"{bounded(trend.rate_ratio)}, {ends}, {p_text(trend.p_value)}",
        ),
        (f"within margin {even.margin:g}", f"{inside}, {p_text(even.p_value)}"),
        ("minimum detectable ratio", f"{ratio(trend.detectable_ratio())} at 80% power"),
    ]


def _gate(order: Order) -> Rows:
    """Return the tests of the gate, with what is counted for that of dispersion."""
    found = order.departures
    rows = [(one.name, f"{p_text(one.p_value)}, {p_value(one.p_holm)}") for one in found.made]
    parts = {"steps" if order.events.sequences_per_step else "parts": found.steps}
    parts["windows"] = order.dispersion
    rows += [
        (
            f"variance between {unit}",
            f"{number(d.binomial.value)} times, {p_text(d.binomial.p_value)}",
        )
        for unit, d in parts.items()
        if d is not None and not math.isnan(d.binomial.p_value)
    ]
    return rows or [("undefined", "no order to test")]


def _described(fit: PoissonResult) -> Rows:
    u, change = fit.uniformity, fit.change_point
    if u.reason:
        return [("undefined", u.reason)]
    distance = percent(u.ks)
    if not fit.has_copies:
        distance += f", at most {percent(u.ks_upper95)} (95% bound)"
    rows = [
        ("Laplace z", f"{number(u.laplace_z)}, {p_text(u.laplace_p_value)}"),
        ("KS distance", f"{distance}, {p_text(u.p_value)}"),
        ("Anderson-Darling", f"{number(u.anderson_darling)}, {p_text(u.anderson_darling_p_value)}"),
        ("Neyman, 4 components", f"{number(u.neyman_statistic)}, {p_text(u.neyman_p_value)}"),
    ]
    if change.index is not None:
        step = fit.events.step_of(change.index)
        place = f"sequence {change.index:,}" if step is None else f"step {step:,.1f}"
        moved = f"{place}, rate x {ratio(change.rate_ratio)}, {p_text(change.p_value)}"
        rows.append(("best change point", moved))

    compared = {
        ("last step" if k == 1 else f"last {k:,} steps") + " to the rest": one
        for k, one in fit.last_steps.items()
    }
    return rows + [
        (name, f"{_with_ci(one.ratio, _known(fit, one.ratio_ci95), ratio)}, {p_text(one.p_value)}")
        for name, one in (compared | fit.contrasts).items()
    ]


def _windows(fit: PoissonResult) -> Rows:
    d = fit.dispersion
    if d.reason:
        return [("undefined", d.reason)]
    varies = f"coefficient of variation {ratio(d.cv)} beyond chance"
    if not fit.has_copies:
        varies += f"; {LESS}" if d.varies_less else f", at most {ratio(d.cv_upper95)}"
    rows = [
        (
            "windows",
            f"{len(fit.windows.counts):,}, mean count {number(fit.windows.counts.mean())}",
        ),
        *(
            (name, f"{_with_ci(one.value, _known(fit, one.ci95), number)}, {p_text(one.p_value)}")
            for name, one in (
                ("dispersion, binomial", d.binomial),
                ("dispersion, Poisson", d.poisson),
            )
        ),
        ("rate between windows", varies),
    ]
    if fit.events.ramp is not None:
        rows.append(("steps", "their size changes along the run: all windows have equal sequences"))
    tests = ((name, p) for name, p in fit.checks.p_values().items() if not math.isnan(p))
    return [*rows, *((name, p_text(p)) for name, p in tests)]


def _models(fit: PoissonResult, of: str) -> "RenderableType":
    """Return a table of the fitted models, and below it notes, and why others are undefined."""
    from rich.console import Group

    chosen = [model for model in fit.models if model.of == of]
    fitted = [model for model in chosen if not model.reason and not math.isnan(model.aic)]
    # Differences say what the values, of eight digits, hide.
    aic = min((m.aic for m in fitted), default=math.nan)
    bic = min((m.bic for m in fitted), default=math.nan)
    rows = [
        (
            model.name,
            f"{model.log_likelihood:,.2f}",
            f"+{model.aic - aic:,.1f}",
            f"+{model.bic - bic:,.1f}",
            DASH if model.p_value is None else p_value(model.p_value),
        )
        for model in fitted
    ]
    table = columns(("model", "log-likelihood", "AIC", "BIC", "p"), rows)
    reasons = [(m.name, m.reason or DASH) for m in chosen if m not in fitted]
    reasons += [(m.name, m.note) for m in fitted if m.note]
    return Group(*([table] if fitted else []), *([named_values(reasons)] if reasons else []))


def _known(fit: PoissonResult, ends: Interval) -> Interval:
    """Return an interval of rows; with copies none, for copies are not independent."""
    return UNDEFINED if fit.has_copies else ends


def _with_ci(value: float, ends: Interval, form: Any) -> str:
    """Return a value with its interval, a dash if there is neither."""
    text = interval(ends, form)
    return form(value) if text == DASH else f"{form(value)}, 95% {text}"


def bounded(value: float) -> str:
    """Return the ratio of a drift, which is neither 0 nor infinite: its logarithm is finite."""
    return ratio(min(max(value, 1e-300), 1e300))
