"""The printed page of a fit: plain text, one statistic a line, aligned.

It decides nothing: every number comes from the fit.
"""

import math
import textwrap
from typing import TYPE_CHECKING

from memtrace.point_process.poisson import Interval

if TYPE_CHECKING:
    from memtrace.point_process.report import PoissonFit

WIDTH = 88
LABEL = 28


def summary(fit: "PoissonFit") -> str:
    """Return the page: verdict first, then the numbers behind it."""
    blocks = [
        textwrap.fill(fit.verdict, WIDTH),
        _lines("Events", _events(fit)),
        _lines("Order", _order(fit)),
        _lines(f"Windows of {fit.window:,} sequences", _windows(fit)),
        _lines("Models", _models(fit)),
    ]
    title = fit.events.label or "Poisson fit"
    return "\n\n".join([f"{title}\n{'=' * len(title)}", *blocks])


def _lines(heading: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([heading, *(f"  {name:<{LABEL}}{value}" for name, value in rows)])


def _events(fit: "PoissonFit") -> list[tuple[str, str]]:
    events = fit.events
    rows = [
        ("memorized", f"{events.n_events:,} of {events.exposure:,} sequences looked at"),
        ("rate per window", _rate(fit)),
        ("rate per million", _number(events.fraction * 1e6)),
        ("coverage", _coverage(fit)),
    ]
    return [*rows, ("not yet trained on", _control(fit))]


def _rate(fit: "PoissonFit") -> str:
    if not fit.events.exposure:
        return "undefined"
    return f"{_number(fit.rate_per_window)}  95% {_range(fit.rate_ci95)}"


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
    return f"{counts}; training adds {added} per window  95% {_range((low, high))}"


def _order(fit: "PoissonFit") -> list[tuple[str, str]]:
    trend, even, u = fit.trend, fit.equivalence, fit.uniformity
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
        ("Laplace z", f"{u.laplace_z:.3f}  {_p(u.laplace_p_value)}"),
        (
            "events out of place (KS)",
            f"{u.ks:.3%}, at most {u.ks_upper95:.3%} (95% bound)  {_p(u.p_value)}",
        ),
    ]


def _windows(fit: "PoissonFit") -> list[tuple[str, str]]:
    d = fit.dispersion
    if d.reason:
        return [("undefined", d.reason)]
    return [
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


def _models(fit: "PoissonFit") -> list[tuple[str, str]]:
    return [
        (
            model.name,
            model.reason
            or f"log-likelihood {model.log_likelihood:,.2f}  AIC {model.aic:,.2f}  "
            f"BIC {model.bic:,.2f}",
        )
        for model in fit.models
    ]


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "undefined"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _range(interval: Interval) -> str:
    return f"[{_number(interval[0])}, {_number(interval[1])}]"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-300 else "p < 1e-300"
