"""Figures of abilities: curves by model size, and emergence against size."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.evaluations.abilities.result import AbilityCurve, AbilityResult, mean_z
from memtrace.evaluations.abilities.verdict import verdict
from memtrace.evaluations.figures import size_colours
from memtrace.evaluations.names import size_and_family
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
    styled,
    subtitle,
    write_heading,
)
from memtrace.report.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 5
"""Tasks that are shown, those that emerged in most models first."""
TASK_STYLES = ((BLUE, "o"), (RED, "s"), (INK, "^"), ("#1b7f5c", "D"), ("#8c6d00", "v"))


def figure(result: AbilityResult) -> "Figure":
    """Draw the curves of the tasks that emerged, and their emergence against model size."""
    tasks = shown_tasks(result)
    with styled():
        sized = bool(_sized(result, tasks))
        panels = max(len(tasks) + sized, 1)
        rows = -(-panels // 2)
        found = new_figure(PAGE, HEIGHT * rows + 0.8)
        grid = found.add_gridspec(rows, 2)
        for i, (task, shots) in enumerate(tasks):
            curves = [o for o in result.curves if (o.task, o.shots, o.main) == (task, shots, True)]
            curves_by_size(curves, found.add_subplot(grid[i // 2, i % 2]))
        if sized or not tasks:
            last = panels - 1
            place = grid[last // 2, :] if last % 2 == 0 else grid[last // 2, last % 2]
            emergence_against_size(result, found.add_subplot(place))
        write_heading(found, verdict(result))
    return found


def shown_tasks(result: AbilityResult) -> list[tuple[str, int]]:
    """Return task and shots of the tasks that emerged in most models, the surest gains first."""
    tasks: dict[tuple[str, int], list[AbilityCurve]] = {}
    for one in result.curves:
        if one.main and one.emerged:
            tasks.setdefault((one.task, one.shots), []).append(one)
    order = sorted(tasks, key=lambda key: (-len(tasks[key]), -mean_z(tasks[key]), key))
    return order[:PANELS]


def _sized(result: AbilityResult, tasks: list[tuple[str, int]]) -> list[AbilityCurve]:
    """Return the curves of tasks in models of known size whose emergence time is known."""
    placed = [one for one in result.main if one.emerged and one.placed and one.parameters]
    return [one for one in placed if (one.task, one.shots) in tasks]


def curves_by_size(curves: Sequence[AbilityCurve], ax: "Axes | None" = None) -> "Axes":
    """Draw one task's curves, darker for larger models, with a dot where each has emerged."""
    first = curves[0]
    ax = axes_for(ax, f"{first.task}, {count(first.shots, 'shot')}")
    colours = size_colours([one.parameters for one in curves])
    ends = []
    for one, colour in zip(curves, colours, strict=True):
        ax.plot(one.steps, one.values, "--" if one.population.family else "-", color=colour, lw=1)
        # Two families of one size look alike but for the dashes: one name.
        if one.population.family == _named(curves):
            ends.append((one.values[-1], _name(one), colour))
        if one.emergence and one.emerged and one.placed:
            level = float(np.interp(one.emergence.step, one.steps, one.values))
            ax.plot(one.emergence.step, level, "o", color=RED, ms=2.5, zorder=5)
    if first.chance is not None:
        ax.axhline(first.chance, color=GREY, ls=":", lw=0.8)
        ends.append((first.chance, "guessing", GREY))
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(left=0)
    powers = [0, *(10**power for power in range(1, 10, 2))]
    ax.set_xticks([step for step in powers if step <= ax.get_xlim()[1]])
    ax.minorticks_off()
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("training step")
    ax.set_ylabel(first.metric)
    dashed = _dashed(curves)
    subtitle(ax, "dots: emergence, if known" + (f"; dashed: {dashed}" if dashed else ""))
    name_ends(ax, ends)
    return ax


def _named(curves: Sequence[AbilityCurve]) -> str:
    """Return the family whose lines carry names: the one without a word, or else the first."""
    return min(one.population.family for one in curves)


def _dashed(curves: Sequence[AbilityCurve]) -> str:
    """Return the families that are drawn dashed: those that have a word."""
    return ", ".join(sorted({one.population.family for one in curves} - {""}))


def _name(one: AbilityCurve) -> str:
    """Return the size of a model of a suite, or the whole name."""
    return size_and_family(one.model)[0] if one.population.suite else one.model


def emergence_against_size(result: AbilityResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the normalized emergence time against the model's parameters, with 95% intervals."""
    ax = axes_for(ax, "Normalized emergence against model size")
    tasks = shown_tasks(result)
    found = _sized(result, tasks)
    if not found:
        return nothing(ax, "no task's time is known in a model of known size")
    ends: list[tuple[float, str, str]] = []
    for (task, shots), (colour, marker) in zip(tasks, TASK_STYLES, strict=False):
        of_task = [one for one in found if (one.task, one.shots) == (task, shots)]
        for family in sorted({one.population.family for one in of_task}):
            mine = [one for one in of_task if one.population.family == family]
            mine.sort(key=lambda one: one.parameters or 0)
            x = [one.parameters or math.nan for one in mine]
            shares = [100 * one.emergence.share for one in mine if one.emergence]
            style: dict[str, Any] = {
                "color": colour,
                "mfc": "white" if family else colour,
                "marker": marker,
                "ms": 3,
                "lw": 1,
            }
            ax.plot(x, shares, "--" if family else "-", **style)
            if shares and family == _named(of_task):
                ends.append((shares[-1], task, colour))
            for place, one in zip(x, mine, strict=True):
                if one.emergence and one.emergence.share_ci95:
                    low_high = [100 * end for end in one.emergence.share_ci95]
                    ax.plot([place, place], low_high, color=colour, lw=0.8, alpha=0.6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    # Intervals that reach almost to step 0 would take most of a logarithmic axis.
    least = min(one.emergence.share for one in found if one.emergence)
    ax.set_ylim(bottom=max(30 * least, 1e-3))
    ax.yaxis.set_major_formatter("{x:g}%")
    ax.set_xlabel("parameters")
    ax.set_ylabel("share of training")
    dashed = _dashed(found)
    subtitle(ax, "95% intervals" + (f"; open, dashed: {dashed}" if dashed else ""))
    name_ends(ax, ends)
    return ax
