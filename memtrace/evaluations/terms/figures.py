"""Figures of terms: accuracy against count, and the slope along training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.evaluations.figures import size_colours
from memtrace.evaluations.populations import short_names
from memtrace.evaluations.terms.result import Series, TermResult
from memtrace.evaluations.terms.verdict import verdict
from memtrace.report.figures import (
    HEIGHT,
    INK,
    PAGE,
    axes_for,
    name_ends,
    new_figure,
    step_axis,
    styled,
    subtitle,
    write_heading,
)
from memtrace.report.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(result: TermResult) -> "Figure":
    """Draw, for each task, accuracy against count and the slope along training."""
    with styled():
        found = _drawn(result, tasks_of(result), 0.6)
        write_heading(found, verdict(result))
    return found


def single(result: TermResult, task: str) -> "Figure":
    """Draw the two panels of one task alone."""
    with styled():
        return _drawn(result, [task], 0)


def tasks_of(result: TermResult) -> list[str]:
    """Return the tasks, each once."""
    return list(dict.fromkeys(one.task for one in result.series))


def in_figure(result: TermResult, task: str) -> list[Series]:
    """Return the series of a task that its figure has: those with the most shots."""
    shots = max(one.shots for one in result.series if one.task == task)
    return [one for one in result.series if (one.task, one.shots) == (task, shots)]


def _drawn(result: TermResult, tasks: Sequence[str], heading: float) -> "Figure":
    found = new_figure(PAGE, HEIGHT * len(tasks) + heading)
    axes = found.subplots(len(tasks), 2, squeeze=False)
    for task, (left, right) in zip(tasks, axes, strict=True):
        mine = in_figure(result, task)
        accuracy_against_count(result, mine, left)
        slope_along_training(mine, right)
    return found


def accuracy_against_count(
    result: TermResult, series: Sequence[Series], ax: "Axes | None" = None
) -> "Axes":
    """Draw mean accuracy in ten groups of terms of like count, at the last checkpoint."""
    first = series[0]
    ax = axes_for(ax, f"{first.task.removeprefix('num_reasoning_')}, {count(first.shots, 'shot')}")
    ends, names = [], short_names(one.model for one in series)
    for one, colour in zip(series, size_colours([s.parameters for s in series]), strict=True):
        x, y = groups(result, one)
        ax.plot(x, y, "o-", color=colour, ms=2.5, lw=1)
        ends.append((y[-1], names[one.model], colour))
    ax.set_xscale("log")
    ax.set_xlabel("count of the term")
    ax.set_ylabel("accuracy")
    subtitle(ax, "means of ten groups of terms")
    name_ends(ax, ends)
    return ax


def groups(result: TermResult, one: Series) -> tuple[list[float], list[float]]:
    """Return mean count and mean accuracy of ten groups of terms at the last checkpoint."""
    points = result.points.filter(
        model=one.model, task=one.task, shots=one.shots, step=one.relations[-1].step
    ).sort("count", "term")
    tenths = np.array_split(np.arange(points.height), 10)
    count, accuracy = points["count"].to_numpy(), points["acc"].to_numpy()
    x = [float(np.exp(np.log1p(count[i]).mean())) for i in tenths if len(i)]
    y = [float(accuracy[i].mean()) for i in tenths if len(i)]
    return x, y


def slope_along_training(series: Sequence[Series], ax: "Axes | None" = None) -> "Axes":
    """Draw the slope at each checkpoint with 95% intervals."""
    ax = axes_for(ax, "Slope along training")
    ends, names = [], short_names(one.model for one in series)
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
        style: dict[str, Any] = {"color": colour, "ms": 2.5, "lw": 1, "elinewidth": 0.8}
        ax.errorbar(x, [r.slope for r in known], error, fmt="o-", **style)
        ends.append((known[-1].slope, names[one.model], colour))
    ax.axhline(0, color=INK, lw=0.8)
    step_axis(ax)
    ax.set_ylabel("slope, log odds")
    subtitle(ax, "for ten times the count, 95% intervals")
    name_ends(ax, ends)
    return ax
