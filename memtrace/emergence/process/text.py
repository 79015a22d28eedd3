"""The emergence process in words and numbers: sentence, page and document.

It computes nothing; what grouped times cannot tell is null, with the reason.
"""

import math
from typing import TYPE_CHECKING, Any

from memtrace.emergence.process.fit import EXACT
from memtrace.point_process.models.model import Model
from memtrace.report.json import json_safe

if TYPE_CHECKING:
    from rich.console import RenderableType

    from memtrace.emergence.process.fit import EmergenceProcess

UNDEFINED = ("uniformity", "control", "contrasts", "last_steps", "scales", "checks")


def verdict(fit: "EmergenceProcess") -> str:
    """Return one sentence on the drift along training and the evenness of the intervals."""
    if not fit.n_events:
        return "Nothing emerged between two neighbouring checkpoints: there is no rate to follow."
    if fit.trend.reason:
        return f"{fit.n_events:,} sequences emerged; {fit.trend.reason}."
    low, high = fit.trend.interval(0.90)
    ratio = f"end/start {fit.trend.rate_ratio:.3g}, 90% interval {low:.3g} to {high:.3g}"
    margin = f"the margin of {fit.equivalence.margin:g}"
    found = fit.trend.p_value < 0.05
    if fit.equivalence.equivalent:
        drift = f"The rate of emergence is the same all along training within {margin} ({ratio})"
    elif found:
        kind = "rises" if fit.trend.theta > 0 else "falls"
        drift = f"The rate of emergence {kind} along training ({ratio})"
    else:
        drift = f"No drift of the rate of emergence was found, nor ruled out by {margin} ({ratio})"
    even = f"index {fit.bursts.index:.3g}, p = {fit.bursts.p_value:.2g}"
    if fit.bursts.p_value < 0.05:
        return f"{drift}; it is no Poisson process: emergences come in bursts ({even})."
    return f"{drift}; no bursts beyond those of a Poisson process were found ({even})."


def document(fit: "EmergenceProcess") -> dict[str, Any]:
    """Return the document; rates are emergences per sequence not yet memorized and step."""
    found, d, change = fit.histories, fit.dispersion, fit.change_point
    infinite = "no emergence before the change" if math.isinf(change.rate_ratio) else None
    safe: dict[str, Any] = json_safe(
        {
            "clock": "emergence",
            "label": fit.label,
            "suite": found.suite,
            "model": found.model,
            "sources": list(found.sources),
            "step": int(found.checkpoints[-1]),
            "events": fit.n_events,
            "events_left_out": fit.left_out,
            "exposure": fit.exposure,
            "window": None,
            "window_reason": "a window is an interval between neighbouring checkpoints",
            "windows": {
                "start": fit.windows.start,
                "stop": fit.stop,
                "events": fit.windows.counts,
                "exposure": fit.windows.exposures,
            },
            "seed": fit.seed,
            "rate_per_window": None,
            "rate_ci95": fit.rate_ci95,
            "rate_per_sequence_step": fit.rate,
            "dispersion": {
                "index_poisson": d.poisson.value,
                "index_binomial": d.binomial.value,
                "ci95": d.poisson.ci95,
                "p_value": d.poisson.p_value,
                "degrees_of_freedom": d.degrees_of_freedom,
                "reason": d.reason,
            },
            "bursts": dict(vars(fit.bursts)),
            "trend": {
                "rate_ratio": math.nan if fit.trend.reason else fit.trend.rate_ratio,
                "ci90": fit.trend.interval(0.90),
                "ci95": fit.trend.interval(0.95),
                "p_value": math.nan if fit.trend.reason else fit.trend.p_value,
                "reason": fit.trend.reason,
            },
            "equivalence": vars(fit.equivalence) | {"reason": fit.trend.reason},
            "change_point": {
                "index": None,
                "step": change.index,
                "rate_ratio": change.rate_ratio,
                "p_value": change.p_value,
                "reason": change.reason or infinite,
            },
            "models": [model.document() for model in fit.models],
            "best_model": fit.best.name,
            **{name: {"reason": EXACT} for name in UNDEFINED},
            "coverage": {
                "expected": found.total_steps,
                "seen": int(found.checkpoints[-1]),
                "missing_ranges": [],
                "reason": "in steps of training",
            },
            "verdict": fit.verdict,
        }
    )
    return safe


def page(fit: "EmergenceProcess") -> "RenderableType":
    """Return the page as rich prints it."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    box = Panel(Text(fit.verdict), title=Text(fit.label), title_align="left", border_style="blue")
    parts: list[Any] = [box]
    for heading, table in (("Emergences", _numbers(fit)), ("Models of the rate", _models(fit))):
        parts += [Text(""), Text(heading, style="bold"), Padding(table, (0, 0, 0, 2))]
    parts += [Text(""), Text(f"From {fit.histories.source}", style="dim")]
    return Group(*parts)


def _numbers(fit: "EmergenceProcess") -> Any:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=28, style="cyan")
    table.add_column(overflow="fold")
    low, high = (end * 1e6 for end in fit.rate_ci95)
    rows = [
        ("emergences", f"{fit.n_events:,} in {len(fit.stop)} intervals between checkpoints"),
        ("exposure", f"{fit.exposure:,} sequences not yet memorized times steps"),
        ("rate, per million and step", f"{fit.rate * 1e6:.4g}  95% \\[{low:.4g}, {high:.4g}]"),
    ]
    if fit.left_out:
        rows.append(("left out", f"{fit.left_out:,}: a checkpoint between was not looked at"))
    if not (trend := fit.trend).reason:
        a, b = trend.interval(0.95)
        rows.append(
            (
                "rate, end over start",
                f"{trend.rate_ratio:.4g}  95% \\[{a:.4g}, {b:.4g}]  p = {trend.p_value:.2g}",
            )
        )
        inside = "yes" if fit.equivalence.equivalent else "no"
        rows.append((f"within margin {fit.equivalence.margin:g}", inside))
    if fit.dispersion.reason is None:
        index = fit.dispersion.poisson
        rows.append(("dispersion, constant rate", f"{index.value:.4g}  p = {index.p_value:.2g}"))
    if fit.bursts.reason is None:
        text = f"{fit.bursts.index:.4g}  p = {fit.bursts.p_value:.2g} (1 for a smooth rate)"
        rows.append(("neighbouring intervals", text))
    if fit.change_point.index is not None:
        change = fit.change_point
        place = f"step {change.index:,}, rate x {change.rate_ratio:.3g}"
        rows.append(("best change point", f"{place}  p = {change.p_value:.2g}"))
    rows.append(("evenness, gaps, last steps", f"undefined: {EXACT}"))
    for row in rows:
        table.add_row(*row)
    return table


def _models(fit: "EmergenceProcess") -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", min_width=18, style="cyan")
    for name in ("log-likelihood", "AIC", "BIC", "p"):
        table.add_column(name, justify="right")
    table.add_column("")
    fitted = [model for model in fit.models if not math.isnan(model.aic)]
    aic, bic = (min((getattr(m, c) for m in fitted), default=0.0) for c in ("aic", "bic"))
    for model in fit.models:
        table.add_row(*_row(model, aic, bic))
    return table


def _row(model: Model, aic: float, bic: float) -> tuple[str, ...]:
    if math.isnan(model.aic):
        return model.name, "", "", "", "", model.reason or ""
    p = "" if model.p_value is None else f"{model.p_value:.2g}"
    differences = f"+{model.aic - aic:,.1f}", f"+{model.bic - bic:,.1f}"
    return model.name, f"{model.log_likelihood:,.2f}", *differences, p, model.reason or ""
