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

PANELS = 5
"""Tasks that are shown, those that emerged in most models first."""
TASK_COLOURS = (BLUE, RED, "#6a994e", "#8d6a9f", "#c99a2e")


def figure(result: AbilityResult) -> "Figure":
    """Draw the curves of the tasks that emerged, and their emergence against model size."""
    tasks = shown_tasks(result)
    with styled():
        sized = any(one.parameters for one in _emerged(result, tasks))
        panels = max(len(tasks) + sized, 1)
        rows = -(-panels // 2)
        found = new_figure(12, 3.9 * rows + 0.6)
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


def _emerged(result: AbilityResult, tasks: list[tuple[str, int]]) -> list[AbilityCurve]:
    main = [one for one in result.curves if one.main and one.emerged]
    return [one for one in main if (one.task, one.shots) in tasks]


def curves_by_size(curves: Sequence[AbilityCurve], ax: "Axes | None" = None) -> "Axes":
    """Draw one task's curves, darker for larger models, with a dot where each has emerged."""
    first = curves[0]
    ax = axes_for(ax, f"{first.task}, {first.shots} shots")
    colours = size_colours([one.parameters for one in curves])
    for one, colour in sorted(
        zip(curves, colours, strict=True),
        key=lambda pair: (pair[0].family, pair[0].parameters or 0),
    ):
        style = "--" if one.family else "-"
        # Two families of one size look alike but for the dashes: one entry of the legend.
        label = size_and_family(one.model)[0] if not one.family else None
        ax.plot(one.steps, one.values, style, color=colour, lw=1.4, label=label)
        if one.emergence and one.emerged:
            level = float(np.interp(one.emergence.step, one.steps, one.values))
            ax.plot(one.emergence.step, level, "o", color=RED, ms=4.5, zorder=5)
    if first.chance is not None:
        ax.axhline(first.chance, color=GREY, ls=":", lw=1)
        where: dict[str, Any] = {
            "transform": ax.get_yaxis_transform(),
            "color": GREY,
            "fontsize": 8,
        }
        ax.text(0.01, first.chance, "guessing", va="bottom", **where)
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(left=0)
    ax.set_xlabel("training step")
    ax.set_ylabel(first.metric)
    family = next((one.family for one in curves if one.family), None)
    if family:
        ax.plot([], [], "--", color=GREY, label=family)
    ax.legend(loc="upper left", ncols=2)
    return ax


def emergence_against_size(result: AbilityResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the normalized emergence time against the model's parameters, with 95% intervals."""
    ax = axes_for(ax, "Normalized emergence against model size")
    tasks = shown_tasks(result)
    found = [one for one in _emerged(result, tasks) if one.parameters]
    if not found:
        return nothing(ax, "no task emerged in a model of known size")
    for (task, shots), colour in zip(tasks, TASK_COLOURS, strict=False):
        for family in sorted({one.family for one in found}):
            mine = [o for o in found if (o.task, o.shots, o.family) == (task, shots, family)]
            mine.sort(key=lambda one: one.parameters or 0)
            x = [one.parameters or math.nan for one in mine]
            shares = [100 * one.emergence.share for one in mine if one.emergence]
            style: dict[str, Any] = {
                "color": colour,
                "mfc": "white" if family else colour,
                "ms": 5,
                "lw": 1.1,
            }
            label = None if family else task
            ax.plot(x, shares, "o--" if family else "o-", label=label, **style)
            for place, one in zip(x, mine, strict=True):
                if one.emergence and one.emergence.share_ci95:
                    ends = [100 * end for end in one.emergence.share_ci95]
                    ax.plot([place, place], ends, color=colour, lw=1, alpha=0.6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    # Intervals that reach almost to step 0 would take most of a logarithmic axis.
    least = min(one.emergence.share for one in found if one.emergence)
    ax.set_ylim(bottom=max(30 * least, 1e-3))
    ax.yaxis.set_major_formatter("{x:g}%")
    ax.set_xlabel("parameters")
    ax.set_ylabel("share of training")
    if any(one.family for one in found):
        ax.plot([], [], "o--", color=GREY, mfc="white", label=found[-1].family or "other family")
    ax.legend(loc="upper left", ncols=2)
    return ax
