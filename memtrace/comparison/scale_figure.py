"""The figure of shares against model size, with the lines through them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.scale import ScaleLine, ScalePoint, compared_sizes
from memtrace.report.figures import (
    BLUE,
    GREY,
    RED,
    axes_for,
    name_ends,
    nothing,
    percent_axis,
    subtitle,
)
from memtrace.report.numbers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"exposed": BLUE, "unexposed": RED}
POINTS = 60
"""Of a drawn line."""
FEW = 4
"""Models that are all named."""
NARROW = 40
"""Characters of a line below the title, beside names at the right."""
WIDER = 1.8
"""Times the sizes to which the axis goes, so that names have room."""
AHEAD = 2.0
"""Times the largest size to which a line is drawn."""


def share_over_size(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of texts against parameters at the last step, with lines and their bands."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax = axes_for(ax, "Share of texts memorized, by size")
    known = compared_sizes(found.runs, found.points) or [
        one for one in found.points if found.runs[one.run].parameters
    ]
    if not known:
        return nothing(ax, "no manifest tells the parameters of these models")
    step = max(found.runs[one.run].step for one in known)
    points = [one for one in known if found.runs[one.run].step == step]
    drawn = [name for name in COLOURS if any(one.classes[name].texts for one in points)]
    if not drawn:
        return nothing(ax, "no text is memorized")
    ax.set_xscale("log")
    ax.set_yscale("log")
    lines = [one for one in found.lines if found.runs[_first(one)].step == step]
    for name in drawn:
        _points(found, ax, points, name)
        for one in lines:
            if one.exposure == name:
                _line(found, ax, one)
    percent_axis(ax.yaxis)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: _short(value))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("parameters")
    ax.set_ylabel("share of texts")
    subtitle(ax, _told(step, lines, _class_names(found, points)), NARROW)
    _names(found, ax, points, drawn)
    return ax


def _short(parameters: float) -> str:
    """Return a number of parameters as models are named: `300k`, `70M`, `12B`."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:g}{name}"
    return f"{parameters:g}"


def _first(one: ScaleLine) -> int:
    return (one.runs + one.left_out)[0]


def _class_names(found: ComparisonResult, points: list[ScalePoint]) -> dict[str, str]:
    """Return what the classes are called: where no order is known all that was scanned is one."""
    known = found.is_order_known(one.run for one in points)
    return {name: name if known else "scanned" for name in COLOURS}


def _told(step: int, lines: list[ScaleLine], names: dict[str, str]) -> str:
    powers = [
        f"power {number(one.slope, 3)} ({names[one.exposure]})"
        for one in lines
        if one.line is not None and one.exposure in COLOURS
    ]
    wide = any(one.line is not None and one.line.degrees > 1 for one in lines)
    band = "band: 95% of another model" if wide else ""
    return "; ".join(filter(None, (f"at step {step:,}", *powers, "bars: 95% by counts", band)))


def _points(found: ComparisonResult, ax: "Axes", points: list[ScalePoint], name: str) -> None:
    chosen = [one for one in points if one.classes[name].texts]
    x = [found.runs[one.run].parameters or 0 for one in chosen]
    shares = [one.classes[name].share for one in chosen]
    y = np.array([one.value for one in shares])
    ends = np.abs(np.array([one.ci95 for one in shares]).T - y)
    ax.errorbar(x, y, yerr=ends, fmt="o", ms=3, lw=0.8, color=COLOURS[name])


def _names(found: ComparisonResult, ax: "Axes", points: list[ScalePoint], drawn: list[str]) -> None:
    """Name models at their points (of many the first and last), and classes at their right."""
    where: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "color": GREY}
    own = sorted(
        (one for one in points if one.classes[drawn[0]].texts),
        key=lambda one: found.runs[one.run].parameters or 0,
    )
    for one in own if len(own) <= FEW else (own[0], own[-1]):
        x, share = found.runs[one.run].parameters or 0, one.classes[drawn[0]].share
        ax.annotate(found.runs[one.run].model, (x, share.ci95[1]), (0, 3), **where)
    ends = []
    for name in drawn:
        last = max(
            (one for one in points if one.classes[name].texts),
            key=lambda one: found.runs[one.run].parameters or 0,
        )
        called = _class_names(found, points)[name]
        ends.append((last.classes[name].share.value, called, COLOURS[name]))
    sizes = [found.runs[one.run].parameters or 0 for one in points]
    ax.set_xlim(min(sizes) / WIDER, max(sizes) * max(AHEAD, WIDER) * 1.1)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.08)
    name_ends(ax, ends)


def _line(found: ComparisonResult, ax: "Axes", one: ScaleLine) -> None:
    if one.line is None:
        return
    sizes = [found.runs[place].parameters or 0 for place in one.runs]
    x = np.geomspace(min(sizes), max(sizes) * AHEAD, POINTS)
    predicted = [one.line.predict(float(at)) for at in x]
    y, ends = np.array([p[0] for p in predicted]), np.array([p[1] for p in predicted])
    inside, colour = x <= max(sizes), COLOURS[one.exposure]
    ax.plot(x[inside], y[inside], color=colour, lw=1)
    # No further than its error is shown; with one model to spare that fills the figure.
    if np.isfinite(ends).all() and one.line.degrees > 1:
        ax.plot(x[~inside], y[~inside], color=colour, lw=1, ls=":")
        ax.fill_between(x, ends[:, 0], ends[:, 1], color=colour, alpha=0.12, lw=0)
