"""Figures of pairs of models: who memorized what, and how the difference goes along training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memtrace.comparison.paired.result import PairedModels
from memtrace.report.figures import BLUE, GREY, INK, PALE, RED, axes_for, nothing
from memtrace.report.numbers import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, RED, GREY, INK)
NOTHING = "no exposed text was scanned by both models of a pair"


def who_memorized(found: Sequence[PairedModels], ax: "Axes | None" = None) -> "Axes":
    """Draw the exposed texts that one model alone memorized, and both, at the last checkpoint."""
    ax = axes_for(ax, "Exposed texts by who memorized them")
    kept = [one for one in found if one.last.shares["exposed"].texts]
    if not kept:
        return nothing(ax, NOTHING)
    tables = [one.last.shares["exposed"] for one in kept]
    parts = {
        "baseline alone": ([t.baseline_only for t in tables], RED),
        "both": ([t.both for t in tables], PALE),
        "model alone": ([t.model_only for t in tables], BLUE),
    }
    y, left = np.arange(len(kept)), np.zeros(len(kept))
    for name, (counts, colour) in parts.items():
        ax.barh(y, counts, 0.6, left, color=colour, label=name)
        left = left + np.array(counts)
    names = [f"{one.model}\nand {one.baseline}" for one in kept]
    ax.set_yticks(y, names)
    ax.set_ylim(len(kept) - 0.5, -0.5 - 0.35 * min(len(kept), 3))  # room for the legend
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel(f"{kept[0].unit}s")
    ax.legend(loc="upper left", ncols=3)
    return ax


def difference_by_step(found: Sequence[PairedModels], ax: "Axes | None" = None) -> "Axes":
    """Draw the difference of the shares of exposed texts by step, with 95% intervals."""
    ax = axes_for(ax, "Share memorized, model minus baseline")
    kept = [one for one in found if any(step.shares["exposed"].texts for step in one.steps)]
    if not kept:
        return nothing(ax, NOTHING)
    for number, one in enumerate(kept):
        steps = [step for step in one.steps if step.shares["exposed"].texts]
        tables = [step.shares["exposed"] for step in steps]
        middle = np.array([table.difference for table in tables])
        ends = np.array([table.difference_ci95 for table in tables])
        colour = COLOURS[number % len(COLOURS)]
        error = np.abs(ends.T - middle)
        label = f"{one.model} minus {one.baseline}"
        x = [step.step for step in steps]
        ax.errorbar(x, middle, error, color=colour, marker="o", ms=4, lw=1.2, label=label)
    ax.axhline(0, color=INK, lw=0.8)
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("checkpoint, training step")
    ax.set_ylabel("difference of shares, 95%")
    ax.margins(y=0.2)
    ax.legend(loc="upper left")
    return ax
