"""A heat map of shares between runs: numbers in the cells where they can be read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from memtrace.report.figures import BLUE, INK
from memtrace.report.numbers import percent
from memtrace.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NUMBERS, MOST_NAMES = 12, 40
"""Rows or columns up to which cells have numbers, and axes have every name."""


def heat_map(ax: "Axes", rows: Sequence[str], columns: Sequence[str], values: FloatArray) -> "Axes":
    """Draw shares from 0 to 1, darker for more; what is not defined stays empty.

    Args:
        ax: Where to draw.
        rows: Their names, from the top.
        columns: Their names.
        values: Shape (rows, columns), NaN where not defined.
    """
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("share", ["#f4f8fb", BLUE, "#12304a"])
    image = ax.imshow(values, cmap=colours, vmin=0, vmax=1, aspect="auto")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, format=lambda value, _: percent(value))
    for places, names, ticks in (
        (len(columns), columns, ax.set_xticks),
        (len(rows), rows, ax.set_yticks),
    ):
        every = -(-places // MOST_NAMES)
        ticks(range(0, places, every), names[::every], fontsize=7.5 if places < 20 else 5.5)
    ax.tick_params(length=0)
    ax.tick_params(axis="x", rotation=45 if len(columns) > 4 else 0)
    if max(values.shape) <= MOST_NUMBERS:
        _numbers(ax, values)
    return ax


def _numbers(ax: "Axes", values: FloatArray) -> None:
    for row, column in np.argwhere(np.isfinite(values)):
        value = float(values[row, column])
        ax.text(column, row, percent(value, 2), ha="center", va="center", fontsize=7.5,
                color="white" if value > 0.35 else INK)  # fmt: skip
