"""The figure of texts by the runs that memorized them: bars above dots (Lex et al. 2014)."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memtrace.comparison.heat_maps import beside_names
from memtrace.comparison.result import ComparisonResult
from memtrace.report.figures import BLUE, INK, PALE, axes_for, nothing
from memtrace.report.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 12
"""Combinations that are drawn; the JSON has all."""


def combinations(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw how many texts exactly these runs memorized, above the runs."""
    ax = axes_for(ax, "Memorized by exactly these")
    one = found.combinations
    if one is None or not len(one.texts):
        return nothing(ax, "nothing is memorized in common")
    texts, members = one.texts[:MOST_BARS], one.members[:MOST_BARS]
    left = len(one.texts) - len(texts)
    more = f"; {count(left, 'smaller combination')} left out" if left else ""
    names = [found.label(place) for place in one.runs]
    told = f"of {count(one.scanned, 'text')} that {one.of_how_many(len(found.runs))} scanned{more}"
    beside_names(ax, told, names)
    below = _below(ax, len(one.runs))
    x = np.arange(len(texts))
    ax.bar(x, texts, color=BLUE, width=0.6)
    for at, height in zip(x, texts, strict=True):
        ax.annotate(f"{height:,}", (at, height), (0, 2), textcoords="offset points", ha="center",
                    va="bottom", rotation=90 if len(texts) > 6 else 0)  # fmt: skip
    ax.set_ylim(0, 1.45 * float(texts[0]))
    ax.tick_params(bottom=False, labelbottom=False)
    ax.set_xlim(-0.7, len(texts) - 0.3)
    ax.set_ylabel("texts")
    _dots(below, members)
    below.set_yticks(range(len(one.runs)), names)
    return ax


def _below(ax: "Axes", runs: int) -> "Axes":
    """Return axes below for the runs, each with the room of a line."""
    cell = ax.get_subplotspec()
    if cell is None:
        return ax.inset_axes((0, -0.1 - 0.08 * runs, 1, 0.08 * runs), sharex=ax)
    parts = cell.subgridspec(2, 1, height_ratios=(8, runs))
    ax.set_subplotspec(parts[0])
    return ax.figure.add_subplot(parts[1], sharex=ax)


def _dots(ax: "Axes", members: npt.NDArray[np.bool_]) -> None:
    """Draw which runs make each combination, the first run at the top."""
    for at, which in enumerate(members):
        ax.scatter(np.full(len(which), at), range(len(which)), s=14, color=PALE, zorder=2)
        chosen = np.flatnonzero(which)
        ax.scatter(np.full(len(chosen), at), chosen, s=14, color=INK, zorder=3)
        ax.plot([at, at], [chosen.min(), chosen.max()], color=INK, lw=1, zorder=2)
    ax.set_ylim(len(members[0]) - 0.5, -0.5)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelbottom=False)
