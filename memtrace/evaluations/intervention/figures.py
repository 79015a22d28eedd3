"""Figures of interventions: differences at the end of training and along it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtrace.evaluations.figures import size_colours
from memtrace.evaluations.intervention.measures import is_shown, run_name, short_name
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


def parts_of(result: InterventionResult) -> dict[str, list[Comparison]]:
    """Return the figures that have something to show, and their measures."""
    bias = [one for one in result.comparisons if one.kind == "bias" and is_shown(one)]
    cost = [one for one in result.comparisons if one.kind == "cost"]
    parts = {"Bias": bias, "Cost": cost, "Along training": _of_one_task(bias)}
    return {name: measures for name, measures in parts.items() if measures}


def figure(result: InterventionResult) -> "Figure":
    """Draw the differences at the end of training, bias and cost, and along training."""
    parts = parts_of(result)
    heights = [_height(name, measures) for name, measures in parts.items()]
    with styled():
        found = new_figure(PAGE, sum(heights) + 0.6)
        grid = found.add_gridspec(max(len(parts), 1), 1, height_ratios=heights or None)
        for row, (name, measures) in enumerate(parts.items()):
            _draw(name, measures, found.add_subplot(grid[row]))
        write_heading(found, verdict(result))
    return found


def single(result: InterventionResult, name: str) -> "Figure":
    """Draw one of `parts_of` alone."""
    measures = parts_of(result)[name]
    with styled():
        found = new_figure(PAGE, _height(name, measures))
        _draw(name, measures, found.add_subplot())
    return found


def _height(name: str, measures: Sequence[Comparison]) -> float:
    return HEIGHT if name == "Along training" else MEASURE * len(measures) + 0.8


def _draw(name: str, measures: Sequence[Comparison], ax: "Axes") -> None:
    if name == "Along training":
        along_training(measures, ax)
    else:
        differences(measures, ax, f"{name}: intervened minus baseline")


def _of_one_task(bias: Sequence[Comparison]) -> list[Comparison]:
    """Return the measures of the task that is shown along training: one about gender first."""
    tasks = [one.task for one in bias]
    gendered = [task for task in tasks if "gender" in task or task.startswith("wino")]
    return [one for one in bias if one.task == (gendered or tasks)[0]]


def differences(comparisons: Sequence[Comparison], ax: "Axes | None", title: str) -> "Axes":
    """Draw differences at the last checkpoint with 95% intervals, one line each."""
    ax = axes_for(ax, title)
    names = []
    for i, one in enumerate(reversed(comparisons)):
        low, high = (100 * end for end in one.last.ci95)
        colour = RED if one.p_holm < 0.05 else BLUE
        ax.plot([low, high], [i, i], color=GREY, lw=1)
        ax.plot(100 * one.last.difference, i, "o", color=colour, ms=3)
        names.append(f"{short_name(one)}, {one.model} {run_name(one)}")
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.7, len(names) - 0.3)
    ax.set_xlabel("points (perplexity: log, in %), 95% intervals")
    if any(one.p_holm < 0.05 for one in comparisons):
        subtitle(ax, "red: adjusted p below 5%")
    return ax


def along_training(comparisons: Sequence[Comparison], ax: "Axes | None" = None) -> "Axes":
    """Draw the difference of one task at every checkpoint of the intervention."""
    mine = comparisons
    ax = axes_for(ax, f"{mine[0].task}: difference along training")
    colours, ends = size_colours([one.parameters for one in mine]), []
    for one, colour in zip(mine, colours, strict=True):
        style = "--" if one.run.endswith("long") else "-"
        steps = [pair.step for pair in one.pairs]
        change = [100 * pair.difference for pair in one.pairs]
        ax.plot(steps, change, style, marker=".", ms=3, color=colour, lw=1)
        ends.append((change[-1], f"{one.model} {run_name(one)}", colour))
    ax.axhline(0, color=INK, lw=0.8)
    step_axis(ax)
    ax.set_ylabel("percentage points")
    name_ends(ax, ends)
    return ax
