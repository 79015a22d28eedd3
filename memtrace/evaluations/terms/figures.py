"""Figures of terms: accuracy against count, and the slope along training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.evaluations.figures import size_colours
from memtrace.evaluations.terms.result import Series, TermResult
from memtrace.evaluations.terms.verdict import verdict
from memtrace.report.figures import INK, axes_for, new_figure, styled, write_heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(result: TermResult) -> "Figure":
    """Draw, for each task, accuracy against count and the slope along training."""
    tasks = list(dict.fromkeys(one.task for one in result.series))
    with styled():
        found = new_figure(12, 3.9 * len(tasks) + 0.6)
        axes = found.subplots(len(tasks), 2, squeeze=False)
        for task, (left, right) in zip(tasks, axes, strict=True):
            shots = max(one.shots for one in result.series if one.task == task)
            mine = [o for o in result.series if (o.task, o.shots) == (task, shots)]
            accuracy_against_count(result, mine, left)
            slope_along_training(mine, right)
        write_heading(found, verdict(result))
    return found


def accuracy_against_count(
    result: TermResult, series: Sequence[Series], ax: "Axes | None" = None
) -> "Axes":
    """Draw mean accuracy in ten groups of terms of like count, at the last checkpoint."""
    first = series[0]
    ax = axes_for(ax, f"{first.task.removeprefix('num_reasoning_')}, {first.shots} shots")
    for one, colour in zip(series, size_colours([s.parameters for s in series]), strict=True):
        points = result.points.filter(
            model=one.model, task=one.task, shots=one.shots, step=one.relations[-1].step
        ).sort("count", "term")
        tenths = np.array_split(np.arange(points.height), 10)
        count, accuracy = points["count"].to_numpy(), points["acc"].to_numpy()
        x = [float(np.exp(np.log1p(count[i]).mean())) for i in tenths if len(i)]
        y = [float(accuracy[i].mean()) for i in tenths if len(i)]
        ax.plot(x, y, "o-", color=colour, ms=3.5, lw=1.2, label=one.model.removesuffix("-deduped"))
    ax.set_xscale("log")
    ax.set_ylim(top=1.5 * ax.get_ylim()[1])  # room for the legend
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= 1])
    ax.set_xlabel("count of the term (means of ten groups of terms)")
    ax.set_ylabel("accuracy")
    ax.legend(loc="upper left", ncols=2)
    return ax


def slope_along_training(series: Sequence[Series], ax: "Axes | None" = None) -> "Axes":
    """Draw the slope at each checkpoint with 95% intervals."""
    ax = axes_for(ax, "Log odds for ten times the count")
    for i, (one, colour) in enumerate(
        zip(series, size_colours([s.parameters for s in series]), strict=True)
    ):
        known = [r for r in one.relations if r.reason is None]
        if not known:
            continue
        # Shifted a little, so that intervals of several models do not cover each other.
        steps = np.array([r.step for r in known])
        x = steps + 0.004 * steps.max() * (i - (len(series) - 1) / 2)
        error = [1.96 * r.slope_error for r in known]
        style: dict[str, Any] = {"color": colour, "ms": 3.5, "lw": 1.2, "elinewidth": 0.8}
        ax.errorbar(x, [r.slope for r in known], error, fmt="o-", **style)
    ax.axhline(0, color=INK, lw=0.8)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("training step")
    ax.set_ylabel("slope")
    return ax
