"""Figures of pairs of models: who memorized what, and how the difference goes along training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memtrace.comparison.paired.result import PairedModels, PairedStep
from memtrace.comparison.paired.text import short_name
from memtrace.report.figures import (
    BLUE,
    GREY,
    INK,
    PALE,
    RED,
    axes_for,
    name_ends,
    nothing,
    percent_axis,
    step_axis,
    subtitle,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, RED, GREY, INK)
MOST = 6
"""Pairs that are drawn, the last ones; the JSON has all."""
NOTHING = "no text that counts was scanned by both"


def who_memorized(found: Sequence[PairedModels], ax: "Axes | None" = None) -> "Axes":
    """Draw the texts that one model alone memorized, and both, at the last checkpoint."""
    ax = axes_for(ax, "Who memorized a text")
    kept = [one for one in found if one.last.shares["exposed"].texts][-MOST:]
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
    ax.set_yticks(y, [short_name(one.model) for one in kept])
    ax.set_ylim(max(len(kept), 4) - 0.5, -0.5)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel(_counted(kept))
    subtitle(ax, f"baseline: {', '.join(dict.fromkeys(short_name(one.baseline) for one in kept))}")
    legend_below(ax)
    return ax


def difference_by_step(found: Sequence[PairedModels], ax: "Axes | None" = None) -> "Axes":
    """Draw the difference of the shares of texts by step, with 95% intervals."""
    ax = axes_for(ax, "Model minus baseline")
    kept = [one for one in found if len(_with_texts(one)) > 1][-MOST:]
    if not kept:
        return nothing(ax, NOTHING)
    last = []
    for number, one in enumerate(kept):
        steps = _with_texts(one)
        tables = [step.shares["exposed"] for step in steps]
        middle = np.array([table.difference for table in tables])
        error = np.abs(np.array([table.difference_ci95 for table in tables]).T - middle)
        colour = COLOURS[number % len(COLOURS)]
        x = [step.step for step in steps]
        ax.errorbar(x, middle, error, color=colour, marker="o", ms=3, lw=1)
        last.append((float(middle[-1]), short_name(one.model), colour))
    ax.axhline(0, color=INK, lw=0.8)
    percent_axis(ax.yaxis)
    step_axis(ax)
    ax.set_ylabel("difference of shares")
    subtitle(ax, f"{_counted(kept)} memorized, 95% score intervals")
    name_ends(ax, last)
    return ax


def _counted(found: Sequence[PairedModels]) -> str:
    """Return what all pairs count."""
    return " and ".join(sorted({one.counted for one in found}))


def legend_below(ax: "Axes") -> None:
    """Name bars on bars in one line below an axes."""
    ax.legend(loc="upper right", bbox_to_anchor=(1, -0.28), ncols=3, handlelength=1,
              columnspacing=1, borderaxespad=0)  # fmt: skip


def _with_texts(one: PairedModels) -> list[PairedStep]:
    return [step for step in one.steps if step.shares["exposed"].texts]
