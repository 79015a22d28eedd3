"""What figures of evaluations share."""

from collections.abc import Sequence
from typing import Any

from memtrace.report.figures import BLUE, GREY

SMALL, LARGE = "#487ba3", "#152a3b"
"""Both are read as text, too."""


def size_colours(parameters: Sequence[int | None]) -> list[Any]:
    """Return a colour for each model, darker for more parameters; grey where not known."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("size", [SMALL, BLUE, LARGE])
    ranks = ranks_of_size(parameters)
    return [colours(rank) if p else GREY for p, rank in zip(parameters, ranks, strict=True)]


def ranks_of_size(parameters: Sequence[int | None]) -> list[float]:
    """Return the place of each model among all sizes, from 0 to 1; 0 where it is not known."""
    order = sorted({p for p in parameters if p})
    return [order.index(p) / max(len(order) - 1, 1) if p else 0.0 for p in parameters]
