"""Counterfactual profiles as they are printed."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtrace.comparison.paired.text import left_out, short_name, signed
from memtrace.comparison.profile.effects import Effect
from memtrace.comparison.profile.result import Profile
from memtrace.report.numbers import interval, p_text, p_value
from memtrace.report.text import columns, named_values

if TYPE_CHECKING:
    from rich.console import RenderableType

Blocks = list[tuple[str, "RenderableType"]]
COLUMNS = ("when", "effect", "95%", "p", "trained on", "control, least")
MOST = 8
"""Distances since exposure that are printed, and models without a profile; the JSON has all."""
UNKNOWN = "What training on a text changed is not known"


def profile_blocks(found: Sequence[Profile]) -> Blocks:
    """Return a table for each model: the effect of training on a text, by time since."""
    blocks: Blocks = []
    why: dict[str, list[str]] = {}
    for one in found:
        if one.reason:
            why.setdefault(one.reason, []).append(short_name(one.model))
            continue
        title = f"{short_name(one.model)}: what training on a {one.unit} changed"
        blocks.append((f"{title}, {one.outcome_unit} of its continuation", _table(one)))
    rows = [(_some(models), reason) for reason, models in why.items()]
    blocks = [*blocks[:MOST], *left_out(blocks[MOST:], "profile")]
    return [*blocks, (UNKNOWN, named_values(rows))] if rows else blocks


def profile_sentence(one: Profile) -> str:
    """Say what training on a text changed at once, and what is left of it."""
    if one.instantaneous is None:
        return f"What training on a {one.unit} changed in {one.model} is not known: {one.reason}"
    said = (
        f"Training {short_name(one.model)} on a {one.unit} is worth "
        f"{_short(one, one.instantaneous)} at the first checkpoint after it"
    )
    if one.residual is None:
        return said
    return f"{said}, and {_short(one, one.residual)} at step {one.residual_step:,}"


def _some(models: list[str]) -> str:
    """Return names, of many the first."""
    more = f" and {len(models) - MOST} more" if len(models) > MOST else ""
    return ", ".join(models[:MOST]) + more


def _short(one: Profile, effect: Effect) -> str:
    if math.isnan(effect.p_value):  # no text differs from another
        return f"{signed(effect.estimate)} {one.outcome_unit} (no interval)"
    ends = interval(effect.ci95, signed)
    return f"{signed(effect.estimate)} {one.outcome_unit} (95% {ends}; {p_text(effect.p_value)})"


def _table(one: Profile) -> "RenderableType":
    return columns(COLUMNS, effect_rows(one, max(1, -(-len(one.persistent) // MOST))))


def effect_rows(one: Profile, every: int = 1) -> list[tuple[str, ...]]:
    """Return the `COLUMNS` of each mean effect; of the persistent ones each so many."""
    rows = [("instantaneous: first checkpoint after", *_cells(one.instantaneous))]
    for later in one.persistent[every - 1 :: every]:
        low, high = later.steps
        steps = f"{low:,} steps" if low == high else f"{low:,} to {high:,} steps"
        name = f"persistent: {later.checkpoints} later, {steps}"
        rows.append((name, *_cells(later.effect)))
    if one.residual is not None:
        rows.append((f"residual: step {one.residual_step:,}", *_cells(one.residual)))
    if one.before is not None:
        rows.append(("before exposure", *_cells(one.before)))
    return rows


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
