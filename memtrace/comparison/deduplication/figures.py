"""Figures of deduplicated twins: shares by copies seen, and the texts that both had seen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memtrace.comparison.deduplication.result import Deduplication
from memtrace.comparison.paired.figures import legend_below
from memtrace.comparison.paired.text import short_name
from memtrace.report.figures import BLUE, PALE, RED, axes_for, nothing, percent_axis, subtitle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART = 0.12
"""Of a category, between the two models."""
SHORT = {"3 to 9 times": "3 to 9", "10 times and more": "10 and\nmore"}
"""Names of strata that are too long for an axis."""
ARMS = (("standard", RED, "s"), ("deduplicated", BLUE, "o"))


def shares_by_copies(one: Deduplication, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of texts memorized by how often a model and its twin had seen them."""
    where = "seen" if one.last.is_order_known else "in each corpus"
    ax = axes_for(ax, f"Memorized by copies {where}")
    if one.last.total is None:
        return nothing(ax, "the copies in the corpora are not known")
    parts = {**one.last.by_copies, "all": one.last.total}
    bottom = _bottom(one)
    for number, (arm, colour, marker) in enumerate(ARMS):
        shares = [getattr(part, arm).share for part in parts.values()]
        x = np.arange(len(parts)) + (number - 0.5) * 2 * APART
        middle = np.array([share.value for share in shares])
        low, high = np.array([share.ci95 for share in shares]).T
        shown = np.maximum(middle, bottom)  # a share of 0 stands at the foot of a log axis
        error = np.array([shown - np.maximum(low, bottom), high - shown])
        ax.errorbar(x, shown, error, color=colour, fmt=marker, ms=3.5, lw=1.2, label=arm)
    ax.set_yscale("log")
    ax.set_ylim(bottom, 1.3)
    ax.set_xticks(range(len(parts)), [SHORT.get(name, name) for name in parts])
    percent_axis(ax.yaxis)
    ax.set_ylabel("share of texts")
    name = short_name(one.standard)
    subtitle(ax, f"{name} and its twin at step {one.last.step:,}, exact 95%")
    legend_below(ax)
    return ax


def texts_of_both(found: Sequence[Deduplication], ax: "Axes | None" = None) -> "Axes":
    """Draw which of the texts that both twins had seen each memorized."""
    known = all(one.last.is_order_known for one in found)
    ax = axes_for(ax, "Texts that both twins had seen" if known else "Texts of both corpora")
    kept = [one for one in found if one.last.matched_total is not None][-1:]
    if not kept:
        return nothing(ax, "no text of both corpora is known")
    rows = [(name, table) for name, table in kept[0].last.matched.items() if table.texts]
    y, left = np.arange(len(rows)), np.zeros(len(rows))
    arms = (("standard", "baseline_only", RED), ("both", "both", PALE))
    for label, field, colour in (*arms, ("deduplicated", "model_only", BLUE)):
        shares = np.array([getattr(table, field) / table.texts for _, table in rows])
        ax.barh(y, shares, 0.6, left, color=colour, label=label)
        left = left + shares
    names = [f"{SHORT.get(name, name)}\n({table.texts:,})" for name, table in rows]
    ax.set_yticks(y, [name.replace("and\nmore", "and more") for name in names])
    ax.invert_yaxis()
    percent_axis(ax.xaxis)
    ax.set_xlabel("share of texts")
    subtitle(ax, f"by copies {'seen' if known else 'in one corpus'}, and who memorized them")
    legend_below(ax)
    return ax


def _bottom(one: Deduplication) -> float:
    """Return the foot of the axis: below all shares and upper ends that are above 0."""
    total = one.last.total
    parts = [*one.last.by_copies.values(), *([total] if total else [])]
    shares = [share for part in parts for share in (part.standard.share, part.deduplicated.share)]
    some = [end for share in shares for end in (share.value, *share.ci95) if end > 0]
    return min(some) / 3 if some else 1e-6
