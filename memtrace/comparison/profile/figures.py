"""Figures of counterfactual profiles: the table of effects, and their course since exposure."""

from typing import TYPE_CHECKING

import numpy as np

from memtrace.comparison.paired.text import short_name
from memtrace.comparison.profile.effects import Effect
from memtrace.comparison.profile.result import Profile
from memtrace.report.figures import BLUE, GREY, INK, RED, axes_for, nothing, subtitle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNDEFINED = "#e4e7ea"
NAMED = 8
"""Cohorts and checkpoints that are named on an axis, at most."""
DOTTED = 600
"""Cells up to which those with an effect beyond its error have a dot."""


def effect_table(one: Profile, ax: "Axes | None" = None) -> "Axes":
    """Draw the effect of training by cohort and checkpoint; in few cells a dot where p < 0.05."""
    ax = axes_for(ax, f"Effect of training, {short_name(one.model)}")
    if not one.cells:
        return nothing(ax, (one.reason or "no effect is defined").replace(", ", ",\n"))
    table = np.full((len(one.cohorts), len(one.steps)), np.nan)
    for place, effect in one.cells.items():
        table[place] = effect.estimate
    top = float(np.nanmax(np.abs(table))) or 1.0
    np.fill_diagonal(table, 0.0)  # the baseline, from which effects are taken
    ax.set_facecolor(UNDEFINED)
    image = ax.imshow(table, cmap="RdBu", vmin=-top, vmax=top, aspect="auto")
    if table.size <= DOTTED:
        sure = [place for place, effect in one.cells.items() if effect.p_value < 0.05]
        if sure:
            y, x = np.array(sure).T
            ax.plot(x, y, ".", color=INK, ms=2)
    # The first checkpoint that had seen a cohort is one right of its place.
    edge = np.arange(len(one.cohorts) + 1) - 0.5
    ax.step(np.append(edge[:-1] + 1, edge[-1] + 1), edge, where="pre", color=GREY, lw=1)
    _named(ax, one)
    dotted = "; a dot where p < 0.05" if table.size <= DOTTED else ""
    subtitle(ax, f"{one.outcome_unit}{dotted}")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label=one.outcome_unit)
    return ax


def course(one: Profile, ax: "Axes | None" = None) -> "Axes":
    """Draw the mean effect by checkpoints since exposure, with 95% intervals."""
    from matplotlib.ticker import MaxNLocator

    ax = axes_for(ax, "What is left of training on a text")
    if one.instantaneous is None:
        return nothing(ax, (one.reason or "no effect is defined").replace(", ", ",\n"))
    shown = [
        (0, one.instantaneous),
        *((later.checkpoints, later.effect) for later in one.persistent),
    ]
    _points(ax, shown, BLUE)
    if one.before is not None:
        _points(ax, [(-1, one.before)], RED)
        ax.annotate("before", (-1, one.before.estimate), (6, 5), color=RED,
                    textcoords="offset points")  # fmt: skip
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_xlabel("checkpoints since the first that had seen it")
    ax.set_ylabel(one.outcome_unit)
    subtitle(ax, f"{short_name(one.model)}: {one.outcome_unit} of a continuation, 95%")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def _points(ax: "Axes", shown: list[tuple[int, Effect]], colour: str) -> None:
    middle = np.array([effect.estimate for _, effect in shown])
    ends = np.array([effect.ci95 for _, effect in shown])
    x = [when for when, _ in shown]
    error = np.abs(ends.T - middle)
    ax.errorbar(x, middle, error, color=colour, marker="o", ms=3, lw=1)


def _named(ax: "Axes", one: Profile) -> None:
    """Name some cohorts and checkpoints."""
    every = -(-len(one.steps) // NAMED)
    x = np.arange(len(one.steps))[::every]
    ax.set_xticks(x, [f"{one.steps[place]:,}" for place in x], rotation=45, ha="right")
    y = np.arange(len(one.cohorts))[::every]
    ax.set_yticks(y, [f"{one.cohorts[place].by:,}" for place in y])
    ax.set_xlabel("checkpoint")
    ax.set_ylabel("first seen by step")
