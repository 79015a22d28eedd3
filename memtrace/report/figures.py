"""How figures look, and the axes that they share.

It draws no statistic.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memtrace.point_process.fit import PoissonFit
    from memtrace.types import FloatArray

INK, BLUE, PALE, RED, GREY = "#22303c", "#2f6690", "#c5d9e7", "#c8553d", "#8593a0"
STYLE: dict[Any, Any] = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "font.size": 9.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.hashsalt": "memtrace",  # equal fits give equal files
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
GAP = 0.005
"""Share of the axis from which a range that was not scanned is shaded."""


def axes_for(ax: "Axes | None", title: str) -> "Axes":
    """Return the axes, new ones in the house style if there are none, with the title."""
    import matplotlib.pyplot as plt

    if ax is None:
        with plt.rc_context(STYLE):
            ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")[1]
    ax.set_title(title, loc="left", fontweight="bold")
    return ax


def nothing(ax: "Axes", reason: str) -> "Axes":
    """Write the reason where a figure would be."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", color=GREY)
    return ax


def position(fit: "PoissonFit", index: "npt.NDArray[Any]") -> "FloatArray":
    """Return indices in training steps, or unchanged where steps have no meaning."""
    return np.asarray(index, float) / (fit.events.sequences_per_step or 1)


def training_axis(ax: "Axes", fit: "PoissonFit") -> None:
    """Label the training axis and shade the ranges that were not scanned, if they can be seen."""
    events = fit.events
    ax.set_xlabel("training step" if events.sequences_per_step else "sequence index")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    start, stop = position(fit, np.array([0.0, events.n]))
    ax.set_xlim(start - 0.03 * (stop - start), stop + 0.03 * (stop - start))
    visible = np.diff(events.missing, axis=1)[:, 0] > GAP * events.n
    for low, high in position(fit, events.missing[visible]):
        ax.axvspan(low, high, color=GREY, alpha=0.18, lw=0, zorder=0)
        where = ((low + high) / 2, 0.04)
        style: dict[str, Any] = {"rotation": 90, "ha": "center", "fontsize": 8, "color": GREY}
        ax.text(*where, "not scanned", transform=ax.get_xaxis_transform(), **style)
    for cut in fit.cuts:
        x = float(position(fit, np.array([cut.index]))[0])
        ax.axvline(x, color=RED, lw=0.9, ls=":", zorder=1)
        style = {"rotation": 90, "ha": "right", "va": "bottom", "fontsize": 8, "color": RED}
        ax.text(x, 0.02, cut.name, transform=ax.get_xaxis_transform(), **style)


def axes_below(ax: "Axes") -> "Axes | None":
    """Give the lower third of the grid cell of `ax` to a second axes with the same x axis."""
    cell = ax.get_subplotspec()
    if cell is None:
        return None
    thirds = cell.subgridspec(2, 1, height_ratios=(2, 1))
    ax.set_subplotspec(thirds[0])
    ax.tick_params(labelbottom=False)
    return ax.figure.add_subplot(thirds[1], sharex=ax)


def write_figure(figure: "Figure", path: Path) -> None:
    """Write the figure as `path`.png and `path`.svg, byte by byte equal for equal fits; close it.

    Raises:
        OSError: The files cannot be written.
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        # One layout serves both files.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(path.with_name(f"{path.name}.png"), dpi=160)
        figure.savefig(path.with_name(f"{path.name}.svg"), metadata={"Date": None})
    plt.close(figure)
