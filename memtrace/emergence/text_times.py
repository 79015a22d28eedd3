"""When texts emerge, as it is printed: times, shares, hazards, and what moves them."""

import math

from memtrace.emergence.hazard import HazardModel, Rate
from memtrace.emergence.parametric import Parametric
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.timescales import QUARTILES
from memtrace.emergence.verdict import estimand, no_earlier_look, too_few
from memtrace.report.numbers import DASH, interval, number, p_text, percent, ratio
from memtrace.report.text import Columns, columns, named_values
from memtrace.types import Interval

Rows = list[tuple[str, str]]
WIDTH = 32
"""Of the names in a table, so that those of several lie below each other."""
LARGEST_POWER = 1000.0
"""Of two; beyond it a float is infinite."""
NAMES = {
    "log_time_since_exposure": "10 times as long since exposure",
    "position": "seen last rather than first",
    "log_learning_rate": "twice the learning rate",
}
LATER = "at equal time since exposure, so also later in training: no effect of order by itself"
UNITS = {
    "log_time_since_exposure": math.log(10),
    "position": 1.0,
    "log_learning_rate": math.log(2),
}
QUARTILE_NAMES = ("time scale", "a quarter by", "half by", "95%", "three quarters by")
SCALES = {
    "training": "training step",
    "exposure": "since exposure",
    "share": "share of the rest",
}


def timed(fit: EmergenceResult, beside: str) -> list[tuple[str, Columns]]:
    """Return what is known of the times of emergence; nothing where no look came before them."""
    if reason := no_earlier_look(fit):
        return [("Time of emergence, and hazard", named_values([("not known", reason)], WIDTH))]
    unit = fit.histories.unit
    times: list[tuple[str, Columns]] = [
        (f"When those that emerged had done so{_between(fit)}", _quartiles(fit)),
        (f"Share that emerges (non-parametric){beside}", named_values(_shares_in_all(fit), WIDTH)),
    ]
    return [
        *(times if fit.outcomes.emerged else []),
        (f"Hazard: emergences per million {unit}s not yet memorized, per step{beside}",
         _hazards(fit)),
        (f"What moves the hazard (factor, p unadjusted{_who(fit)})",
         named_values(_regression(fit), WIDTH)),
        ("Distributions of the time since exposure", named_values(_distributions(fit), WIDTH)),
    ]  # fmt: skip


def _between(fit: EmergenceResult) -> str:
    told = f": of {fit.outcomes.emerged:,}, at some time between these bounds"
    return told if _known(fit) else ""


def _quartiles(fit: EmergenceResult) -> Columns:
    if not _known(fit):
        return named_values([("not said", too_few(fit) or DASH)], WIDTH)
    return columns(QUARTILE_NAMES, quartile_rows(fit))


def quartile_rows(fit: EmergenceResult) -> list[tuple[str, ...]]:
    """Return between which bounds a quarter, half and three quarters had emerged, by scale."""
    rows = []
    for name, scale in fit.time_scales.items():
        form = percent if name == "share" else number
        low, half, high = (scale.among_emerged(part) for part in QUARTILES)
        cells = (low.bounds, half.bounds, half.ci95, high.bounds)
        rows.append((SCALES[name], *(interval(ends, form) for ends in cells)))
    return rows


def _known(fit: EmergenceResult) -> bool:
    return bool(fit.time_scales["share"].quartiles)


def _shares_in_all(fit: EmergenceResult) -> Rows:
    """Say which share emerges by each scale, and what it is the share of."""
    rows = []
    for name, scale in fit.time_scales.items():
        ends = interval(scale.emerged_ci95, percent)
        sure = "" if ends == DASH else f"  95% {ends}"
        said = f"{percent(scale.emerged)}{sure}; " if scale.given else ""
        rows.append((SCALES[name], f"{said}{estimand(fit, name)}"))
    return rows


def _hazards(fit: EmergenceResult) -> Columns:
    rows = [_rate_row(rate) for rate in fit.hazard_since_exposure]
    if not fit.hazard.reason:
        factor, low, high = fit.hazard.factor("log_hazard")
        rows.append(
            (
                "all of training, if constant",
                "",
                "",
                per_million(factor),
                rate_interval((low, high)),
            )
        )
    return columns(("steps since exposure", "emerged", "of evaluations", "hazard", "95%"), rows)


def _rate_row(rate: Rate) -> tuple[str, ...]:
    where = f"({number(rate.start)}, {number(rate.stop)}]"
    return (
        where,
        f"{rate.events:,}",
        f"{rate.at_risk:,}",
        per_million(rate.rate),
        rate_interval(rate.ci95),
    )


def _regression(fit: EmergenceResult) -> Rows:
    model, effect = fit.regression, fit.effect
    name = "trained on rather than not yet"
    ends = interval(effect.ci95, ratio)
    said = f"x {ratio(effect.hazard_ratio)}  95% {ends}  {p_text(effect.p_value)}"
    rows = [(name, effect.reason or said)]
    rows.append(("twice as many copies seen", _copies(fit)))
    if model.reason:
        return [*rows, ("all else", model.reason)]
    rows += [
        _factor_row(model, name, NAMES[name], unit)
        for name, unit in UNITS.items()
        if name in model.coefficients
    ]
    if "position" in model.coefficients:
        rows.append(("", LATER))
    spread = "undefined" if math.isnan(model.dispersion) else number(model.dispersion, 3)
    rows.append(("dispersion", f"{spread} (above 1 it widens these intervals; 1 for a true model)"))
    return rows


def _who(fit: EmergenceResult) -> str:
    """Say what the factors are of: the table above them is of all texts."""
    return "; all but that of copies: texts that occur once" if fit.histories.copies_known else ""


def _copies(fit: EmergenceResult) -> str:
    found = fit.copies
    if not fit.histories.copies_known:
        return "unknown, as the copies are"
    low, high = (2**power if power < LARGEST_POWER else math.inf for power in found.ci95)
    if not found.reason:
        ends = interval((low, high), ratio)
        return f"x {ratio(2**found.exponent)}  95% {ends}  {p_text(found.p_value)}"
    known = [f"at least x {ratio(low)}"] if low > 0 else []
    known += [f"at most x {ratio(high)}"] if math.isfinite(high) else []
    return "; ".join([found.reason, *known])


def _factor_row(model: HazardModel, name: str, said: str, unit: float) -> tuple[str, str]:
    factor, low, high = model.factor(name, unit)
    ends = interval((low, high), ratio)
    return said, f"x {ratio(factor)}  95% {ends}  {p_text(model.p_value(name))}"


def _distributions(fit: EmergenceResult) -> Rows:
    if not fit.distributions:
        return [("undefined", "nothing emerged")]
    if fit.time_scales["exposure"].first_seen.matters:
        return [("of all texts", estimand(fit, "exposure"))]
    rows = []
    for one in fit.distributions:
        rows.append((one.distribution, _fitted(one)))
        rows.append(("", f"log-likelihood {one.log_likelihood:,.2f}"))
        if one.reason:
            rows.append(("", one.reason))
    return rows


def _fitted(one: Parametric) -> str:
    said = "without a share that never emerges"
    if one.emerging < 1:
        said = f"{percent(one.emerging)} would emerge at some time"
    if "emerging" in one.intervals:
        said += f"  95% {interval(one.intervals['emerging'], percent)}"
    if one.shape_ci95 is not None:
        said += f"; shape {ratio(one.shape)}  95% {interval(one.shape_ci95, ratio)}"
    return said


def rate_interval(ends: Interval) -> str:
    """Return an interval of a rate per step as one per million and step."""
    return interval((ends[0] * 1e6, ends[1] * 1e6), lambda end: number(end, 3))


def per_million(rate: float) -> str:
    """Return a rate per step as one per million and step."""
    return number(rate * 1e6, 3)
