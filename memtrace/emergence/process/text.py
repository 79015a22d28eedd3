"""The emergence process as it is printed."""

import math
from typing import TYPE_CHECKING

from memtrace.emergence.process.result import EXACT, EmergenceProcessResult
from memtrace.emergence.process.verdict import verdict
from memtrace.point_process.model import Model
from memtrace.report.numbers import count, interval, number, p_text, p_value, ratio
from memtrace.report.text import Columns, columns, named_values, sections

if TYPE_CHECKING:
    from rich.console import RenderableType


def text(fit: EmergenceProcessResult) -> "RenderableType":
    """Return the verdict, the numbers and the models."""
    caveat = f"; {fit.histories.caveat}" if fit.histories.caveat else ""
    blocks = [(f"Emergences{caveat}", named_values(_numbers(fit)))]
    if any(not math.isnan(model.aic) for model in fit.models):
        blocks.append(("Models of the rate", _models(fit)))
    if reasons := [
        (model.name, model.reason or "") for model in fit.models if math.isnan(model.aic)
    ]:
        blocks.append(("Models without an estimate", named_values(reasons)))
    return sections(fit.label, verdict(fit), blocks, fit.histories.source)


def _numbers(fit: EmergenceProcessResult) -> list[tuple[str, str]]:
    intervals, step = count(len(fit.stop), "interval"), f"{fit.histories.unit} step"
    rows = [
        ("emergences", f"{fit.n_events:,} in {intervals} between checkpoints"),
        ("exposure", f"{count(fit.exposure, step)} not yet memorized"),
        ("rate, per million and step", _rate(fit)),
    ]
    if fit.histories.copies_reason:
        rows.insert(0, ("copies", fit.histories.copies_reason))
    if fit.left_out:
        rows.append(("left out", f"{fit.left_out:,}: a checkpoint between was not evaluated"))
    if (trend := fit.trend).reason:
        rows.append(("rate, end over start", f"undefined: {trend.reason}"))
    else:
        said = f"{ratio(trend.rate_ratio)}  95% {interval(trend.interval(0.95), ratio)}"
        rows.append(("rate, end over start", f"{said}  {p_text(trend.p_value)}"))
        inside = "yes" if fit.equivalence.equivalent else "no"
        rows.append((f"within margin {number(fit.equivalence.margin)}", inside))
    if fit.dispersion.reason is None:
        said = f"{number(fit.dispersion.index)}  {p_text(fit.dispersion.p_value)}"
        rows.append(("dispersion, constant rate", said))
    if (local := fit.local_overdispersion).reason is None:
        said = f"{number(local.index)}  {p_text(local.p_value)} (1 for a smooth rate)"
        rows.append(("local overdispersion", said))
    if fit.change_point.index is not None:
        rows.append(("best change point", _change(fit)))
    rows.append(("evenness, gaps, last steps", f"undefined: {EXACT}"))
    return rows


def _rate(fit: EmergenceProcessResult) -> str:
    ends = fit.rate_ci95[0] * 1e6, fit.rate_ci95[1] * 1e6
    return f"{number(fit.rate * 1e6)}  95% {interval(ends)}"


def _change(fit: EmergenceProcessResult) -> str:
    change = fit.change_point
    times = change.rate_ratio
    said = "from a rate of 0" if math.isinf(times) else f"rate x {ratio(times)}"
    said = said if times else "to a rate of 0"
    return f"step {change.index:,}, {said}  {p_text(change.p_value)}"


def _models(fit: EmergenceProcessResult) -> Columns:
    fitted = [model for model in fit.models if not math.isnan(model.aic)]
    aic, bic = (min((getattr(m, c) for m in fitted), default=0.0) for c in ("aic", "bic"))
    names = ("model", "log-likelihood", "AIC", "BIC", "p")
    return columns(names, [_row(model, aic, bic) for model in fitted])


def _row(model: Model, aic: float, bic: float) -> tuple[str, ...]:
    differences = f"+{model.aic - aic:,.1f}", f"+{model.bic - bic:,.1f}"
    p = "" if model.p_value is None else p_value(model.p_value)
    return model.name, f"{model.log_likelihood:,.2f}", *differences, p
