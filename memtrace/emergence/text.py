"""The printed page of memorization over checkpoints: the answer first, then what is behind it.

It decides nothing: every number comes from the fit.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memtrace.emergence.hazard import HazardModel, Rate
from memtrace.emergence.panel import Panel
from memtrace.emergence.parametric import Parametric
from memtrace.report.text import named_values
from memtrace.types import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from memtrace.emergence.fit import EmergenceFit

Rows = list[tuple[str, str]]
WIDTH = 32
"""Of the names in a table, so that those of several lie below each other."""
LEGEND = "(generic: extractable before; control: of those not yet trained on)"
TOGETHER = 2.0
MOST_ROWS = 14
"""Checkpoints printed; the JSON has all."""
NAMES = {
    "log_time_since_exposure": "10 times as long since exposure",
    "position": "seen last rather than first",
    "log2_multiplicity": "prefix twice as frequent",
    "log_learning_rate": "twice the learning rate",
}
UNITS = {
    "log_time_since_exposure": math.log(10),
    "position": 1.0,
    "log2_multiplicity": 1.0,
    "log_learning_rate": math.log(2),
}


def verdict(fit: "EmergenceFit") -> str:
    """Return what happened, when, and what was lost, in plain sentences."""
    out, share = fit.outcomes, fit.clocks["share"]
    first = (
        f"{out.emerged:,} of {fit.sequences:,} sequences came to be memorized after they had been "
        f"trained on"
    )
    if out.before_exposure:
        first += f" ({out.before_exposure:,} more were extractable before: no memories)"
    if not out.emerged:
        return f"{first}."
    low, high = share.among_emerged(0.5)
    when = (
        f"half of those that emerge do so within the first {high:.0%} of the training that is left "
        f"after they are seen (between {low:.0%} and {high:.0%})"
    )
    lost = out.emerged - out.always_held
    kept = f"{lost / out.emerged:.1%} were lost at some later checkpoint"
    if lost:
        kept += f", {out.learned_again / lost:.0%} of these learned again"
    return f"{first}; {when}; {kept}. {_effect_sentence(fit.effect)}"


def _effect_sentence(model: HazardModel) -> str:
    if model.reason:
        return "Whether exposure caused it is unknown: there is no control group to compare with."
    factor, low, high = _factor(model, "exposed", 1.0)
    interval = f"x {factor:.3g}, 95% {low:.3g} to {high:.3g}"
    if low > 1:
        return (
            f"Being trained on makes a sequence emerge more often than it would have ({interval})."
        )
    kind = "less" if high < 1 else "no more"
    return (
        f"But sequences trained on emerge {kind} often than those not yet trained on become "
        f"extractable ({interval})."
    )


def _factor(model: HazardModel, name: str, unit: float) -> tuple[float, float, float]:
    values = (model.coefficients[name], *model.ci95(name))
    factor, low, high = (math.exp(unit * value) for value in values)
    return factor, low, high


def page(fit: "EmergenceFit") -> "RenderableType":
    """Return the page as rich prints it."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel as Box
    from rich.text import Text

    found = fit.histories
    title = f"{found.label}, {len(found.checkpoints)} checkpoints"
    box = Box(Text(fit.verdict), title=Text(title), title_align="left", border_style="blue")
    blocks: list[tuple[str, Table]] = [
        (f"Memorized by checkpoint {LEGEND}", _by_checkpoint(fit)),
        ("Sequences", named_values(_outcomes(fit), WIDTH)),
        ("Time of emergence, of those that emerge (non-parametric)", _clocks(fit)),
        ("Hazard: emergences per million sequences not yet memorized, per step", _hazards(fit)),
        ("What moves the hazard (factor)", named_values(_regression(fit), WIDTH)),
        (
            "Learning and forgetting, per million sequences and step",
            named_values(_panels(fit), WIDTH),
        ),
        ("Laws of the time since exposure", named_values(_laws(fit), WIDTH)),
    ]
    parts: list[Any] = [box]
    if fit.bursts.index > TOGETHER and fit.bursts.p_value < 0.05:
        blocks.append(
            ("Beware", named_values([("of all intervals but the factors", _together(fit))], WIDTH))
        )
    for heading, table in blocks:
        parts += [Text(""), Text(heading, style="bold"), Padding(table, (0, 0, 0, 2))]
    parts += [Text(""), Text(f"From {found.source}", style="dim")]
    return Group(*parts)


def _together(fit: "EmergenceFit") -> str:
    factor = math.sqrt(fit.bursts.index)
    return (
        "they take sequences as independent, but here many emerge together, as copies and "
        f"boilerplate do: think of them as up to {factor:.1f} times as wide"
    )


def _columns(first: str, names: Sequence[str]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, style="cyan")
    for name in names:
        table.add_column(name, justify="right")
    return table


def _by_checkpoint(fit: "EmergenceFit") -> "Table":
    names = ("trained on", "memorized", "95%", "generic", "new", "again", "lost", "control")
    table = _columns("step", names)
    rows = [row for row in fit.checkpoints if row.exposed or row.unexposed]
    every = max(1, math.ceil(len(rows) / MOST_ROWS))
    for row in rows[::-1][::every][::-1]:
        share = f"{row.memorized / row.exposed:.3%}" if row.exposed else "-"
        control = f"{row.extractable / row.unexposed:.3%}" if row.unexposed else "-"
        interval = "-".join(f"{end:.2%}" for end in row.share_ci95) if row.exposed else "-"
        counts = (f"{n:,}" for n in (row.before, row.learned, row.learned_again, row.lost))
        table.add_row(f"{row.step:,}", f"{row.exposed:,}", share, interval, *counts, control)
    return table


def _outcomes(fit: "EmergenceFit") -> Rows:
    out = fit.outcomes
    unknown = out.emerged - out.looked_before
    rows = [
        ("looked at after being trained on", f"{fit.sequences:,}"),
        ("extractable before: no memories", f"{out.before_exposure:,}"),
        ("emerged", f"{out.emerged:,} ({_part(out.emerged, fit.sequences)})"),
    ]
    if unknown:
        rows.append(("not looked at before exposure", f"{unknown:,} of them; some may be generic"))
    rows += [
        ("found again by the next look", f"{fit.confirmed:,}"),
        ("never lost", f"{out.always_held:,} ({_part(out.always_held, out.emerged)})"),
        ("lost, not learned again", f"{out.lost:,} ({_part(out.lost, out.emerged)})"),
        ("lost and learned again", f"{out.learned_again:,}"),
        ("memorized at the last look", f"{out.held_at_last_look:,}"),
    ]
    spells = fit.spells
    for n, held, lost, again in zip(
        spells.looks, spells.held, spells.lost, spells.lost_for_a_time, strict=True
    ):
        name = f"after {n} more look" + "s" * (n > 1)
        rows.append((name, f"{held:.1%} held, {lost:.1%} lost, {again:.1%} lost for a time"))
    return rows


def _clocks(fit: "EmergenceFit") -> "Table":
    table = _columns("clock", ("in all", "95%", "a quarter in", "half in", "three quarters in"))
    names = {
        "training": "training step",
        "exposure": "since exposure",
        "share": "share of the rest",
    }
    for name, clock in fit.clocks.items():
        boxes = (_box(clock.among_emerged(part)) for part in (0.25, 0.5, 0.75))
        low, high = clock.emerged_ci95
        table.add_row(names[name], f"{clock.emerged:.3%}", f"{low:.3%}-{high:.3%}", *boxes)
    return table


def _hazards(fit: "EmergenceFit") -> "Table":
    table = _columns("steps since exposure", ("emerged", "of looks", "hazard", "95%"))
    for rate in fit.hazard_since_exposure:
        table.add_row(*_rate_row(rate))
    if not fit.hazard.reason:
        low, high = (_million(math.exp(end)) for end in fit.hazard.ci95("log_hazard"))
        one = _million(math.exp(fit.hazard.coefficients["log_hazard"]))
        table.add_row("all of training, if constant", "", "", one, f"{low} to {high}")
    return table


def _rate_row(rate: Rate) -> tuple[str, ...]:
    where = f"({rate.start:,.4g}, {rate.stop:,.4g}]"
    interval = " to ".join(map(_million, rate.ci95))
    return where, f"{rate.events:,}", f"{rate.at_risk:,}", _million(rate.rate), interval


def _regression(fit: "EmergenceFit") -> Rows:
    model, effect = fit.regression, fit.effect
    rows = []
    if effect.reason:
        rows.append(("trained on rather than not yet", effect.reason))
    else:
        rows.append(_factor_row(effect, "exposed", "trained on rather than not yet", 1.0))
    if model.reason:
        return [*rows, ("all else", model.reason)]
    rows += [
        _factor_row(model, name, NAMES[name], unit)
        for name, unit in UNITS.items()
        if name in model.coefficients
    ]
    spread = "undefined" if math.isnan(model.dispersion) else f"{model.dispersion:.3g}"
    rows.append(("dispersion", f"{spread} (it widens these intervals; 1 if the model held)"))
    return rows


def _factor_row(model: HazardModel, name: str, text: str, unit: float) -> tuple[str, str]:
    factor, low, high = _factor(model, name, unit)
    return text, f"x {factor:.3g}  95% [{low:.3g}, {high:.3g}]  p = {model.p_value(name):.2g}"


def _panels(fit: "EmergenceFit") -> Rows:
    rows = []
    for name, panel in (("any look", fit.panel), ("two looks in a row", fit.steady)):
        if panel.reason:
            rows.append((name, panel.reason))
            continue
        rows.append((f"learning, {name}", _with_interval(panel.learning, panel.learning_ci95)))
        forgetting = _with_interval(panel.forgetting, panel.forgetting_ci95)
        rows.append((f"forgetting, {name}", f"{forgetting}{_spell(panel)}"))
        if panel.embeddable is False:
            rows.append(("", "no chain in continuous time moves so much between two looks"))
    return rows


def _laws(fit: "EmergenceFit") -> Rows:
    if not fit.laws:
        return [("undefined", "nothing emerged")]
    rows = []
    for law in fit.laws:
        rows.append((law.law, _law_text(law)))
        rows.append(("", f"log-likelihood {law.log_likelihood:,.2f}"))
        if law.reason:
            rows.append(("", law.reason))
    return rows


def _law_text(law: Parametric) -> str:
    text = f"{law.emerging:.3%} would emerge at some time"
    if "emerging" in law.intervals:
        low, high = law.intervals["emerging"]
        text += f"  95% [{low:.3%}, {high:.3%}]"
    if "scale" in law.intervals:
        low, high = (1 / end for end in law.intervals["scale"][::-1])
        text += f"; shape {law.shape:.3g}  95% [{low:.3g}, {high:.3g}]"
    return text


def _spell(panel: Panel) -> str:
    return f"; held for {panel.mean_spell:,.0f} steps on average" if panel.forgetting else ""


def _with_interval(rate: float, interval: Interval) -> str:
    return f"{_million(rate)}  95% [{_million(interval[0])}, {_million(interval[1])}]"


def _million(rate: float) -> str:
    value = rate * 1e6
    return f"{value:,.0f}" if value >= 1e4 else f"{value:.3g}"


def _part(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else "none"


def _box(interval: Interval) -> str:
    if math.isnan(interval[0]):
        return "-"
    return (
        f"({interval[0]:,.3g}, {interval[1]:,.3g}]"
        if interval[1] <= 1
        else (f"({interval[0]:,.0f}, {interval[1]:,.0f}]")
    )
