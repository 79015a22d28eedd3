"""How figures look, how they are made and how they are written.

Figures belong to whoever holds them: pyplot, which keeps every figure open, is not used.
"""

import io
import textwrap
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BLUE, PALE, RED, GREY = "#22303c", "#2f6690", "#c5d9e7", "#b3432c", "#5f6d7a"
"""All but PALE, which fills areas, have a contrast of at least 4.5 on white."""
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
    "svg.hashsalt": "memtrace",  # equal results give equal files
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
SOURCES = 4
"""Runs named at the foot of a figure."""
VERDICT_WIDTH = 140
"""Characters of a line above a figure."""
SIZE = (7.2, 4.8)
"""Width and height of a single figure in inches."""


def styled() -> AbstractContextManager[None]:
    """Return a context in which figures are drawn in the house style."""
    from matplotlib import rc_context

    return rc_context(STYLE)


def new_figure(width: float = SIZE[0], height: float = SIZE[1]) -> "Figure":
    """Return an empty figure of so many inches in the house style; a notebook shows it."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(width, height), layout="constrained")
    # Notebooks show figures of pyplot only, unless a figure says how.
    figure._repr_png_ = partial(png, figure)  # type: ignore[attr-defined]
    return figure


def axes_for(ax: "Axes | None", title: str) -> "Axes":
    """Return the axes, new ones in the house style if there are none, with the title."""
    if ax is None:
        with styled():
            ax = new_figure().add_subplot()
    ax.set_title(title, loc="left", fontweight="bold")
    return ax


def nothing(ax: "Axes", reason: str) -> "Axes":
    """Write the reason where a figure would be."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", color=GREY)
    return ax


def write_sources(figure: "Figure", sources: Iterable[str]) -> None:
    """Write at the foot of a figure where its numbers come from, each once; of many the first."""
    found = [one for one in dict.fromkeys(sources) if one]
    if len(found) > SOURCES:
        found[SOURCES - 1 :] = [f"and {len(found) - SOURCES + 1:,} more runs"]
    if found:
        figure.supxlabel("\n".join(found), x=0.99, ha="right", fontsize=6, color=GREY)


def write_heading(figure: "Figure", verdict: str, heading: str = "") -> None:
    """Write what a figure is of, and the verdict, above its panels."""
    text = "\n".join(filter(None, (heading, textwrap.fill(verdict, VERDICT_WIDTH))))
    figure.suptitle(text, x=0.01, ha="left", fontsize=11)


def single_figure(draw: Callable[["Axes"], object], label: str, sources: Iterable[str]) -> "Figure":
    """Return a figure of one panel, under what it is of.

    Args:
        draw: Draws on the axes.
        label: What the figure is of, or nothing.
        sources: Where its numbers come from.
    """
    with styled():
        figure = new_figure()
        draw(figure.add_subplot())
        if label:
            figure.suptitle(label, x=0.01, ha="left", fontsize=9.5, color=GREY)
        write_sources(figure, sources)
    return figure


def axes_below(ax: "Axes") -> "Axes | None":
    """Give the lower third of the grid cell of `ax` to a second axes with the same x axis."""
    cell = ax.get_subplotspec()
    if cell is None:
        return None
    thirds = cell.subgridspec(2, 1, height_ratios=(2, 1))
    ax.set_subplotspec(thirds[0])
    ax.tick_params(labelbottom=False)
    return ax.figure.add_subplot(thirds[1], sharex=ax)


def png(figure: "Figure", dpi: int = 130) -> bytes:
    """Return the figure as a PNG."""
    out = io.BytesIO()
    with styled():
        figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()


@dataclass(frozen=True)
class Drawing:
    """A figure as files: equal results give equal bytes."""

    png: bytes
    svg: bytes

    def write(self, path: Path) -> None:
        """Write `path`.png and `path`.svg.

        Raises:
            OSError: The files cannot be written.
        """
        path.with_name(f"{path.name}.png").write_bytes(self.png)
        path.with_name(f"{path.name}.svg").write_bytes(self.svg)


def encoded(figure: "Figure", dpi: int = 144) -> Drawing:
    """Return the figure as PNG and SVG; its layout is computed once and stays as it is."""
    svg = io.BytesIO()
    with styled():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return Drawing(png(figure, dpi), svg.getvalue())


def write_figure(figure: "Figure", path: Path) -> None:
    """Write the figure as `path`.png and `path`.svg.

    Raises:
        OSError: The files cannot be written.
    """
    encoded(figure).write(path)
