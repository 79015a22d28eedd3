"""Figures of interventions: differences at the end of training and along it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtrace.evaluations.figures import size_colours
from memtrace.evaluations.intervention.measures import is_shown, model_name, run_name, short_name
from memtrace.evaluations.intervention.result import Comparison, InterventionResult
from memtrace.evaluations.intervention.verdict import verdict
from memtrace.report.figures import (
    BLUE,
    GREY,
    HEIGHT,
    INK,
    PAGE,
    RED,
    axes_for,
    name_ends,
    new_figure,
    nothing,
    step_axis,
    styled,
    subtitle,
    write_heading,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURE = 0.2
"""Height of a line of a measure in inches."""


def figure(result: InterventionResult) -> "Figure":
    """Draw the differences at the end of training, bias and cost, by size of the model."""
    bias = [one for one in result.comparisons if one.kind == "bias" and is_shown(one)]
    cost = [one for one in result.comparisons if one.kind == "cost"]
    with styled():
        shown = [("Bias", bias), ("Cost", cost)]
        shown = [(name, measures) for name, measures in shown if measures]
        heights = [MEASURE * len(measures) + 0.8 for _, measures in shown]
        heights += [HEIGHT] if bias else []
        found = new_figure(PAGE, sum(heights) + 0.6)
        grid = found.add_gridspec(len(heights), 1, height_ratios=heights)
        for row, (name, measures) in enumerate(shown):
            title = f"{name}: intervened minus baseline"
            differences(measures, found.add_subplot(grid[row]), title)
        if bias:
            along_training(bias, found.add_subplot(grid[-1]))
        write_heading(found, verdict(result))
    return found


def differences(comparisons: Sequence[Comparison], ax: "Axes | None", title: str) -> "Axes":
    """Draw differences at the last checkpoint with 95% intervals, one line each."""
    ax = axes_for(ax, title)
    if not comparisons:
        return nothing(ax, "no such measure in both runs")
    names = []
    for i, one in enumerate(reversed(comparisons)):
        low, high = (100 * end for end in one.last.ci95)
        colour = RED if one.p_holm < 0.05 else BLUE
        ax.plot([low, high], [i, i], color=GREY, lw=1)
        ax.plot(100 * one.last.difference, i, "o", color=colour, ms=3)
        names.append(f"{short_name(one)}, {model_name(one)} {run_name(one)}")
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.7, len(names) - 0.3)
    ax.set_xlabel("points (perplexity: log, in %), 95% intervals")
    subtitle(ax, "red: adjusted p below 5%")
    return ax


def along_training(comparisons: Sequence[Comparison], ax: "Axes | None" = None) -> "Axes":
    """Draw the difference of one measure at every checkpoint of the intervention."""
    ax = axes_for(ax, "")
    tasks = [one.task for one in comparisons]
    gendered = [task for task in tasks if "gender" in task or task.startswith("wino")]
    if not tasks:
        return nothing(ax, "no measure of bias in both runs")
    task = (gendered or tasks)[0]
    mine = [one for one in comparisons if one.task == task]
    ax.set_title(f"{task}: difference along training", loc="left", fontweight="bold")
    colours, ends = size_colours([one.parameters for one in mine]), []
    for one, colour in zip(mine, colours, strict=True):
        style = "--" if one.run.endswith("long") else "-"
        steps = [pair.step for pair in one.pairs]
        change = [100 * pair.difference for pair in one.pairs]
        ax.plot(steps, change, style, marker=".", ms=3, color=colour, lw=1)
        ends.append((change[-1], f"{model_name(one)} {run_name(one)}", colour))
    ax.axhline(0, color=INK, lw=0.8)
    step_axis(ax)
    ax.set_ylabel("percentage points")
    name_ends(ax, ends)
    return ax
