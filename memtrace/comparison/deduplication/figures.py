"""Figures of deduplicated twins: shares by copies seen, and the texts that both had seen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memtrace.comparison.deduplication.result import Deduplication
from memtrace.report.figures import BLUE, PALE, RED, axes_for, nothing
from memtrace.report.numbers import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART = 0.12
"""Of a category, between the two models."""


def shares_by_copies(one: Deduplication, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of texts memorized by how often a model and its twin had seen them."""
    ax = axes_for(ax, f"Memorized by copies seen, step {one.last.step:,}")
    if one.last.total is None:
        return nothing(ax, "the copies in the corpora are not known")
    parts = {**one.last.by_copies, "all texts": one.last.total}
    arms = (("standard", one.standard, RED, "s"), ("deduplicated", one.deduplicated, BLUE, "o"))
    bottom = _bottom(one)
    for number, (arm, name, colour, marker) in enumerate(arms):
        shares = [getattr(part, arm).share for part in parts.values()]
        x = np.arange(len(parts)) + (number - 0.5) * 2 * APART
        middle = np.array([share.value for share in shares])
        low, high = np.array([share.ci95 for share in shares]).T
        shown = np.maximum(middle, bottom)  # a share of 0 stands at the foot of a log axis
        error = np.array([shown - np.maximum(low, bottom), high - shown])
        ax.errorbar(x, shown, error, color=colour, fmt=marker, ms=5, lw=1.4, label=name)
    ax.set_yscale("log")
    ax.set_ylim(bottom, 3)
    ax.set_xticks(range(len(parts)), list(parts))
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_xlabel("how often each model had seen the text")
    ax.set_ylabel("share of texts memorized, exact 95%")
    ax.legend(loc="upper left", ncols=2)
    return ax


def texts_of_both(found: Sequence[Deduplication], ax: "Axes | None" = None) -> "Axes":
    """Draw which of the texts that both twins had seen each memorized."""
    ax = axes_for(ax, "Texts that both twins had seen, by who memorized them")
    kept = [one for one in found if one.last.matched_total is not None]
    if not kept:
        reason = found[0].last.matched_reason if found else None
        return nothing(ax, (reason or "no twins").replace(", ", ",\n"))
    rows = [
        (f"{one.deduplicated.split('/')[-1]}: seen {name}", table)
        for one in kept
        for name, table in one.last.matched.items()
        if table.texts
    ]
    y, left = np.arange(len(rows)), np.zeros(len(rows))
    parts = (("standard alone", "baseline_only", RED), ("both", "both", PALE))
    for label, field, colour in (*parts, ("deduplicated alone", "model_only", BLUE)):
        shares = np.array([getattr(table, field) / table.texts for _, table in rows])
        ax.barh(y, shares, 0.6, left, color=colour, label=label)
        left = left + shares
    for place, (_, table) in enumerate(rows):
        ax.annotate(f"{table.texts:,} texts", (float(left[place]), place), (4, 0),
                    textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    ax.set_yticks(y, [name for name, _ in rows])
    ax.set_ylim(len(rows) - 0.5, -1.2)
    ax.set_xlim(0, min(1.25 * max(float(left.max()), 0.01), 1.25))
    ax.xaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_xlabel("share of these texts; seen so often by the standard model")
    ax.legend(loc="upper left", ncols=3)
    return ax


def _bottom(one: Deduplication) -> float:
    """Return the foot of the axis: below all shares and upper ends that are above 0."""
    total = one.last.total
    parts = [*one.last.by_copies.values(), *([total] if total else [])]
    shares = [share for part in parts for share in (part.standard.share, part.deduplicated.share)]
    some = [end for share in shares for end in (share.value, *share.ci95) if end > 0]
    return min(some) / 3 if some else 1e-6
