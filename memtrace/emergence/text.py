"""Memorization over checkpoints as it is printed: the verdict first, then what is behind it."""

import math
from typing import TYPE_CHECKING

from memtrace.emergence.hazard import HazardModel, Rate
from memtrace.emergence.moves import Moves
from memtrace.emergence.outcomes import Outcomes
from memtrace.emergence.parametric import Parametric
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.verdict import verdict
from memtrace.report.numbers import DASH, count, interval, number, p_text, percent, ratio
from memtrace.report.text import Columns, columns, named_values, sections
from memtrace.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

Rows = list[tuple[str, str]]
WIDTH = 32
"""Of the names in a table, so that those of several lie below each other."""
LEGEND = "(control: of those of which it had seen no copy)"
LARGEST_POWER = 1000.0
"""Of two; beyond it a float is infinite."""
TOGETHER = 2.0
"""Index of local overdispersion from which a warning is printed."""
MOST_ROWS = 14
"""Checkpoints printed; the JSON has all."""
NAMES = {
    "log_time_since_exposure": "10 times as long since exposure",
    "position": "seen last rather than first",
    "log_learning_rate": "twice the learning rate",
}
UNITS = {
    "log_time_since_exposure": math.log(10),
    "position": 1.0,
    "log_learning_rate": math.log(2),
}
SCALES = {
    "training": "training step",
    "exposure": "since exposure",
    "share": "share of the rest",
}


def text(fit: EmergenceResult) -> "RenderableType":
    """Return the verdict and the tables."""
    found = fit.histories
    # Beside every interval, since without copies told apart most of them are far too narrow.
    caveat = f"; {found.caveat}" if found.caveat else ""
    names: list[tuple[str, Columns]] = [
        (f"Memorized by checkpoint {LEGEND}", _by_checkpoint(fit)),
        (f"{found.unit.capitalize()}s", named_values(_outcomes(fit), WIDTH)),
        ("Time of emergence, of those that emerge (non-parametric)", _time_scales(fit)),
        (
            f"Hazard: emergences per million {found.unit}s not yet memorized, per step",
            _hazards(fit),
        ),
        (f"What moves the hazard (factor{_who(fit)})", named_values(_regression(fit), WIDTH)),
        ("Learning and forgetting", named_values(_moves(fit), WIDTH)),
        ("Distributions of the time since exposure", named_values(_distributions(fit), WIDTH)),
    ]
    blocks = [(f"{name}{caveat}", block) for name, block in names]
    if beware := _beware(fit):
        blocks.insert(0, ("Beware", named_values(beware, WIDTH)))
    title = f"{found.label}, {len(found.checkpoints)} checkpoints"
    return sections(title, verdict(fit), blocks, found.source)


def _beware(fit: EmergenceResult) -> Rows:
    rows: Rows = []
    found = fit.histories
    if found.caveat:
        narrow = f"{found.caveat}, so intervals are too narrow where there are copies"
        rows.append(("of all intervals", f"{narrow}: {found.copies_reason}"))
    if found.of_sample:
        rows.append(("of all counts", found.of_sample))
    local = fit.local_overdispersion
    if local.index > TOGETHER and local.p_value < 0.05:
        rows.append(("of all intervals but the factors", _together(fit)))
    return rows


def _together(fit: EmergenceResult) -> str:
    factor, unit = math.sqrt(fit.local_overdispersion.index), fit.histories.unit
    return (
        f"they take {unit}s as independent, but here many emerge together: think of them as about "
        f"{number(factor, 2)} times as wide"
    )


def _by_checkpoint(fit: EmergenceResult) -> Columns:
    names = ("step", "trained on", "memorized", "95%", "generic", "new", "again", "lost", "control")
    rows = [row for row in fit.checkpoints if row.exposed or row.unexposed]
    every = max(1, math.ceil(len(rows) / MOST_ROWS))
    shown = []
    for row in rows[::-1][::every][::-1]:
        counts = (f"{n:,}" for n in (row.generic, row.learned, row.learned_again, row.lost))
        cells = [
            f"{row.step:,}",
            f"{row.exposed:,}",
            _part(row.memorized, row.exposed),
            interval(row.share_ci95, percent),
            *counts,
            _part(row.extractable, row.unexposed),
        ]
        if fit.histories.copies_known:
            cells.append(_part(row.memorized_sequences, row.exposed_sequences))
        shown.append(tuple(cells))
    return columns((*names, "of rows") if fit.histories.copies_known else names, shown)


def _outcomes(fit: EmergenceResult) -> Rows:
    out = fit.outcomes
    unknown = out.emerged - out.evaluated_before
    rows = [
        ("evaluated after being trained on", f"{fit.texts:,}"),
        ("generic: memorized unseen", f"{out.generic:,}"),
        ("emerged", f"{out.emerged:,} ({_part(out.emerged, fit.texts)}){_copies_of(fit)}"),
    ]
    near, passages = fit.histories.near_copies
    if near:
        one = f"{near:,} texts of the corpus share a continuation: counted as {passages:,}"
        rows.append(("near-copies", one))
    if unknown:
        rows.append(("not evaluated before exposure", f"{unknown:,} of them; some may be generic"))
    return [*rows, *_kept(out, fit.confirmed), *_retention(fit)] if out.emerged else rows


def _copies_of(fit: EmergenceResult) -> str:
    out = fit.outcomes
    if out.copies is None or not out.emerged:
        return ""
    return (
        f"; {out.emerged_repeated:,} of them repeated, {count(out.copies, 'copy', 'copies')} in all"
    )


def _kept(out: Outcomes, confirmed: int) -> Rows:
    return [
        ("found again by the next checkpoint", f"{confirmed:,}"),
        ("never lost", f"{out.always_retained:,} ({_part(out.always_retained, out.emerged)})"),
        ("lost, not learned again", f"{out.lost:,} ({_part(out.lost, out.emerged)})"),
        ("lost and learned again", f"{out.learned_again:,}"),
        ("memorized at the last checkpoint", f"{out.memorized_at_last_checkpoint:,}"),
    ]


def _retention(fit: EmergenceResult) -> Rows:
    kept = fit.retention
    shares = zip(kept.checkpoints, kept.retained, kept.lost, kept.lost_for_a_time, strict=True)
    return [
        (
            f"after {count(n, 'more checkpoint')}",
            f"{percent(retained)} retained, {percent(lost)} lost, {percent(again)} lost for a time",
        )
        for n, retained, lost, again in shares
    ]


def _time_scales(fit: EmergenceResult) -> Columns:
    names = ("time scale", "in all", "95%", "a quarter in", "half in", "three quarters in")
    rows = []
    for name, scale in fit.time_scales.items():
        parts = (_turnbull(scale.among_emerged(part)) for part in (0.25, 0.5, 0.75))
        ends = interval(scale.emerged_ci95, percent)
        rows.append((SCALES[name], percent(scale.emerged), ends, *parts))
    return columns(names, rows)


def _hazards(fit: EmergenceResult) -> Columns:
    rows = [_rate_row(rate) for rate in fit.hazard_since_exposure]
    if not fit.hazard.reason:
        factor, low, high = fit.hazard.factor("log_hazard")
        rows.append(("all of training, if constant", "", "", _million(factor), _ends((low, high))))
    return columns(("steps since exposure", "emerged", "of evaluations", "hazard", "95%"), rows)


def _rate_row(rate: Rate) -> tuple[str, ...]:
    where = f"({number(rate.start)}, {number(rate.stop)}]"
    return where, f"{rate.events:,}", f"{rate.at_risk:,}", _million(rate.rate), _ends(rate.ci95)


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


def _moves(fit: EmergenceResult) -> Rows:
    """Shares by text first; the rates of a chain take all texts as alike."""
    rows = [
        (f"{name} by the next evaluation", _shares(found, fit.histories.unit))
        for name, found in (("lost", fit.forgetting), ("learned", fit.learning))
    ]
    for name, panel in (("any", fit.panel), ("two in a row", fit.steady)):
        if panel.reason:
            rows.append((f"positive evaluations: {name}", panel.reason))
            continue
        rate = f"{_million(panel.learning)} per million and step"
        rows.append((f"rate of learning, {name}", f"{rate}{_alike(panel.learning_ci95)}"))
        rate = f"{_million(panel.forgetting)} per million and step"
        rows.append((f"rate of forgetting, {name}", f"{rate}{_alike(panel.forgetting_ci95)}"))
        if panel.forgetting:
            rows.append(
                ("", f"at this rate kept for {number(panel.mean_retention, 3)} steps on average")
            )
        if panel.embeddable is False:
            rows.append(("", "no chain in continuous time moves so much between two checkpoints"))
    return rows


def _shares(found: Moves, unit: str) -> str:
    if math.isnan(found.share):
        return found.reason or DASH
    said = f"{percent(found.share)}, of {count(found.followed, unit)}"
    if found.reason:
        return f"{said}; {found.reason}"
    return f"{said}  95% {interval(found.ci95, percent)}"


def _alike(ends: Interval) -> str:
    return f"  95% {_ends(ends)} if all had equal rates"


def _distributions(fit: EmergenceResult) -> Rows:
    if not fit.distributions:
        return [("undefined", "nothing emerged")]
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


def _ends(ends: Interval) -> str:
    return interval((ends[0] * 1e6, ends[1] * 1e6), lambda end: number(end, 3))


def _million(rate: float) -> str:
    return number(rate * 1e6, 3)


def _part(n: int, total: int) -> str:
    return percent(n / total) if total else DASH


def _turnbull(ends: Interval) -> str:
    if math.isnan(ends[0]):
        return DASH
    return f"({number(ends[0], 3)}, {number(ends[1], 3)}]"
