"""Counterfactual profiles as they are printed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtrace.comparison.paired.text import signed
from memtrace.comparison.profile.effects import Effect
from memtrace.comparison.profile.result import Profile
from memtrace.report.numbers import interval, p_text, p_value
from memtrace.report.text import columns

if TYPE_CHECKING:
    from rich.console import RenderableType

Blocks = list[tuple[str, "RenderableType"]]
COLUMNS = ("when", "effect", "95%", "p", "trained on", "control")
MOST = 8
"""Distances since exposure printed; the JSON has all."""


def profile_blocks(found: Sequence[Profile]) -> Blocks:
    """Return a table for each model: the effect of training on a text, by time since."""
    return [
        (
            f"{one.model}: what training on a {one.unit} changed, in {one.outcome_unit} of its "
            "continuation",
            one.reason or _table(one),
        )
        for one in found
    ]


def profile_sentence(one: Profile) -> str:
    """Say what training on a text changed at once, and what is left of it."""
    if one.reason or one.instantaneous is None:
        return f"{one.model} has no counterfactual profile: {one.reason}"
    said = (
        f"training on a {one.unit} of {one.model} is worth {_short(one, one.instantaneous)} at the "
    )
    said += "first checkpoint after it"
    if one.residual is None:
        return said
    return f"{said}, and {_short(one, one.residual)} at step {one.residual_step:,}"


def _short(one: Profile, effect: Effect) -> str:
    ends = interval(effect.ci95, signed)
    return f"{signed(effect.estimate)} {one.outcome_unit} (95% {ends}; {p_text(effect.p_value)})"


def _table(one: Profile) -> "RenderableType":
    rows = [("instantaneous: first checkpoint after", *_cells(one.instantaneous))]
    every = max(1, -(-len(one.persistent) // MOST))
    for later in one.persistent[every - 1 :: every]:
        low, high = later.steps
        steps = f"{low:,} steps" if low == high else f"{low:,} to {high:,} steps"
        name = f"persistent: {later.checkpoints} later, {steps}"
        rows.append((name, *_cells(later.effect)))
    if one.residual is not None:
        rows.append((f"residual: step {one.residual_step:,}", *_cells(one.residual)))
    if one.before is not None:
        rows.append(("before exposure", *_cells(one.before)))
    return columns(COLUMNS, rows)


def _cells(effect: Effect | None) -> tuple[str, ...]:
    if effect is None:
        return ("",) * 5
    return (
        signed(effect.estimate),
        interval(effect.ci95, signed),
        p_value(effect.p_value),
        f"{effect.texts:,}",
        f"{effect.control:,}",
    )
