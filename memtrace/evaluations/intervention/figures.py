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
    INK,
    RED,
    axes_for,
    new_figure,
    nothing,
    styled,
    write_heading,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(result: InterventionResult) -> "Figure":
    """Draw the differences at the end of training, bias and cost, by size of the model."""
    bias = [one for one in result.comparisons if one.kind == "bias" and is_shown(one)]
    cost = [one for one in result.comparisons if one.kind == "cost"]
    with styled():
        height = 0.32 * max(len(bias), len(cost), 4) + (4.6 if bias else 1.4)
        found = new_figure(12, height)
        ratios = (height - 3.8, 3.2) if bias else (1,)
        grid = found.add_gridspec(len(ratios), 2, height_ratios=ratios)
        shown = [("Bias", bias), ("Cost", cost)]
        shown = [(name, measures) for name, measures in shown if measures]
        for column, (name, measures) in enumerate(shown):
            place = grid[0, column] if len(shown) == 2 else grid[0, :]
            differences(measures, found.add_subplot(place), f"{name}: intervened minus baseline")
        if bias:
            along_training(bias, found.add_subplot(grid[1, :]))
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
        ax.plot([low, high], [i, i], color=GREY, lw=1.2)
        ax.plot(100 * one.last.difference, i, "o", color=colour, ms=5)
        names.append(f"{short_name(one)}, {model_name(one)} {run_name(one)}")
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_yticks(range(len(names)), names, fontsize=8.5)
    ax.set_ylim(-0.7, len(names) - 0.3)
    ax.set_xlabel("points (perplexity: log, in %), 95% interval")
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
    colours = size_colours([one.parameters for one in mine])
    for one, colour in zip(mine, colours, strict=True):
        style = "--" if one.run.endswith("long") else "-"
        label = f"{model_name(one)} {run_name(one)}"
        steps = [pair.step for pair in one.pairs]
        change = [100 * pair.difference for pair in one.pairs]
        ax.plot(steps, change, style, marker=".", color=colour, lw=1.3, label=label)
    ax.axhline(0, color=INK, lw=0.8)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("training step")
    ax.set_ylabel("percentage points")
    ax.legend(loc="upper left", ncols=5)
    ax.margins(y=0.25)
    return ax
