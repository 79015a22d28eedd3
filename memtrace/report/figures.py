"""How figures look, how they are made and how they are written.

They are made for papers: 8 pt at the width of a column, names at the ends of lines in place of
legends, colours that the colour-blind tell apart. Figures belong to whoever holds them: pyplot,
which keeps every figure open, is not used.
"""

import io
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtrace.report.numbers import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, BLUE, PALE, RED, GREY = "#22303c", "#2f6690", "#c5d9e7", "#b3432c", "#5f6d7a"
"""All but PALE, which fills areas, have a contrast of at least 4.5 on white."""
FONT = 8
"""Size of all text in points."""
COLUMN, PAGE = 3.3, 6.9
"""Width of a figure of one panel, and of one of several, in inches: a column, and two."""
HEIGHT = 2.5
"""Height of a figure of one panel, and of each row of panels, in inches."""
STYLE: dict[Any, Any] = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.labelsize": FONT,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
    "figure.labelsize": FONT,
    "figure.titlesize": FONT,
    "font.size": FONT,
    "legend.fontsize": FONT,
    "legend.frameon": False,
    "svg.hashsalt": "memtrace",  # equal results give equal files
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": FONT,
    "xtick.major.width": 0.6,
    "ytick.color": INK,
    "ytick.labelsize": FONT,
    "ytick.major.width": 0.6,
}
LINE = 1.3 * FONT
"""Height of a line of text in points."""
SUBTITLE_WIDTH = 44
"""Characters of a line below the title of a panel."""
VERDICT_WIDTH = 112
"""Characters of a line above a figure of several panels."""
TICKS = 5
"""On an axis of steps or shares, at most."""
WHOLE_DECADES = 2.5
"""Powers of ten that a log axis spans, above which its ticks are these powers alone."""
DPI = 300
"""Of a PNG, in dots per inch."""
Ends = Sequence[tuple[float, str, str]]
"""Where lines end on the y axis, what they are, and their colours."""


def styled() -> AbstractContextManager[None]:
    """Return a context in which figures are drawn in the house style."""
    from matplotlib import rc_context

    return rc_context(STYLE)


def new_figure(width: float = COLUMN, height: float = HEIGHT) -> "Figure":
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


def subtitle(ax: "Axes", text: str, width: int = SUBTITLE_WIDTH) -> None:
    """Write below the title of a panel what is drawn how, in lines of `width` characters."""
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, width)]
    ax.set_title(ax.get_title(loc="left"), loc="left", fontweight="bold", pad=5 + LINE * len(lines))
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate("\n".join(lines), (0, 1), (0, 3), va="bottom", color=GREY, **above)


def name_ends(ax: "Axes", ends: Ends) -> None:
    """Write the names of lines beside their right ends, none over another: the axis is as it stays.

    Args:
        ax: The axes, with its limits set.
        ends: Levels, names and colours.
    """
    points = 0.85 * ax.get_position().height * ax.figure.bbox.height / ax.figure.dpi * 72
    scale, fraction = ax.transData.transform, ax.transAxes.inverted().transform
    x = ax.get_xlim()[1]
    levels = [float(fraction(scale((x, level)))[1]) for level, _, _ in ends]
    places = spread([min(max(level, 0.0), 1.0) for level in levels], LINE / points)
    for place, (_, name, colour) in zip(places, ends, strict=True):
        where: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        ax.annotate(name, (1, place), (3, 0), va="center", color=colour, **where)


def step_axis(ax: "Axes") -> None:
    """Name an axis of training steps; few numbers stand on it, since they are long."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("training step")
    ax.xaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")


def percent_axis(axis: "Axis") -> None:
    """Write shares on an axis as percent: on a log axis at 1, or 1, 2 and 5 times powers of ten.

    The scale and the limits of the axis are set before.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis.set_major_formatter(lambda value, _: percent(value))
    if axis.get_scale() != "log":
        axis.set_major_locator(MaxNLocator(TICKS))
        return
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1.0,) if decades > WHOLE_DECADES else (1.0, 2.0, 5.0)))
    axis.set_minor_formatter(NullFormatter())
    if decades > WHOLE_DECADES:
        axis.set_minor_locator(NullLocator())


def spread(levels: Sequence[float], room: float) -> list[float]:
    """Return levels with so much room between neighbours, in their order.

    Those above move up; if the highest would leave 1, it goes back to 1 and those below move down.
    """
    order, places = sorted(range(len(levels)), key=lambda i: levels[i]), list(levels)
    for below, at in pairwise(order):
        places[at] = max(places[at], places[below] + room)
    ceiling = 1.0
    for at in reversed(order):
        places[at] = min(places[at], ceiling)
        ceiling = places[at] - room
    return places


def read_on(colour: Sequence[float]) -> str:
    """Return black or white, whichever is read better on a colour: at a contrast of 4.5 or more.

    Args:
        colour: Red, green and blue from 0 to 1; what follows is not asked.
    """
    # Relative luminance of WCAG 2; at 0.179 both contrasts are the root of 21, which is 4.58.
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return (
        "black" if linear[0] * 0.2126 + linear[1] * 0.7152 + linear[2] * 0.0722 > 0.179 else "white"
    )


def keep_sources(figure: "Figure", sources: Iterable[str]) -> None:
    """Keep with a figure where its numbers come from: its files have it in their metadata."""
    figure.set_label("\n".join(dict.fromkeys(filter(None, sources))))


def write_heading(figure: "Figure", verdict: str, heading: str = "") -> None:
    """Write what a figure is of, and the verdict, above its panels."""
    text = "\n".join(filter(None, (heading, textwrap.fill(verdict, VERDICT_WIDTH))))
    figure.suptitle(text, x=0.01, ha="left")


def single_figure(
    draw: Callable[["Axes"], object],
    label: str,
    sources: Iterable[str],
    size: tuple[float, float] = (COLUMN, HEIGHT),
) -> "Figure":
    """Return a figure of one panel, under what it is of.

    Args:
        draw: Draws on the axes.
        label: What the figure is of, or nothing.
        sources: Where its numbers come from.
        size: Width and height in inches.
    """
    with styled():
        figure = new_figure(*size)
        draw(figure.add_subplot())
        if label:
            figure.suptitle(label, x=0.01, ha="left", color=GREY)
        keep_sources(figure, sources)
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


def untitled(figure: "Figure") -> "Figure":
    """Return the figure without its titles, for a page, where they stand above it."""
    figure.suptitle("")
    for ax in figure.axes:
        ax.set_title("", loc="left")
    return figure


def png(figure: "Figure", dpi: int = DPI) -> bytes:
    """Return the figure as a PNG."""
    out = io.BytesIO()
    with styled():
        figure.savefig(out, format="png", dpi=dpi, metadata=_metadata(figure))
    return out.getvalue()


def _metadata(figure: "Figure") -> dict[str, Any]:
    source = str(figure.get_label())
    return {"Source": source} if source else {}


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


def encoded(figure: "Figure", dpi: int = DPI) -> Drawing:
    """Return the figure as PNG and SVG; its layout is computed once and stays as it is."""
    svg = io.BytesIO()
    with styled():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        figure.savefig(svg, format="svg", metadata={"Date": None, **_metadata(figure)})
    return Drawing(png(figure, dpi), svg.getvalue())


def write_figure(figure: "Figure", path: Path) -> None:
    """Write the figure as `path`.png and `path`.svg.

    Raises:
        OSError: The files cannot be written.
    """
    encoded(figure).write(path)
