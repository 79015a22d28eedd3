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
    order = sorted({p for p in parameters if p})
    return [colours(order.index(p) / max(len(order) - 1, 1)) if p else GREY for p in parameters]
