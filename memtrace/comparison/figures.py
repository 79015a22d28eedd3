"""Figures of a comparison: shares by size, heat maps of pairs, combinations, seeds."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from memtrace.comparison.heat_maps import heat_map
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.scale import ScaleLine
from memtrace.comparison.verdict import verdict
from memtrace.report.figures import (
    BLUE,
    GREY,
    INK,
    PALE,
    RED,
    axes_for,
    new_figure,
    nothing,
    single_figure,
    styled,
    write_heading,
)
from memtrace.report.numbers import count, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 14.0, 10.5
COLOURS = {"exposed": BLUE, "copy_exposed": GREY, "unexposed": RED}
MOST_BARS = 15
"""Combinations that are drawn; the JSON has all."""
POINTS = 60
"""Of a drawn line."""


def share_over_size(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of texts against parameters at the last step, with lines and their bands."""
    ax = axes_for(ax, "Share of texts memorized, by size")
    steps = [one.run for one in found.points if found.runs[one.run].parameters]
    if not steps:
        return nothing(ax, "no manifest tells the parameters of these models")
    step = max(found.runs[place].step for place in steps)
    drawn = 0
    for name in ("exposed", "unexposed"):
        drawn += _points(found, ax, name, step)
        for one in found.lines:
            if one.exposure == name and found.runs[(one.runs + one.left_out)[0]].step == step:
                _line(found, ax, one)
    if not drawn:
        return nothing(ax, "no text is memorized")
    ax.set_title(f"Share of texts memorized at step {step:,}", loc="left", fontweight="bold")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_xlabel("parameters")
    ax.set_ylabel("share of texts")
    ax.legend(loc="best")
    return ax


def _points(found: ComparisonResult, ax: "Axes", name: str, step: int) -> int:
    """Draw the points of a class, and return how many there are."""
    chosen = [
        one
        for one in found.points
        if found.runs[one.run].step == step
        and found.runs[one.run].parameters
        and one.classes[name].texts
    ]
    if not chosen:
        return 0
    x = [found.runs[one.run].parameters or 0 for one in chosen]
    shares = [one.classes[name].share for one in chosen]
    y = np.array([one.value for one in shares])
    ends = np.abs(np.array([one.ci95 for one in shares]).T - y)
    label = name.replace("_", " ")
    ax.errorbar(x, y, yerr=ends, fmt="o", ms=4, lw=1, capsize=2, color=COLOURS[name], label=label)
    for one, at, height in zip(chosen, x, y, strict=True):
        ax.annotate(found.runs[one.run].model, (at, height), xytext=(5, 4), fontsize=7.5,
                    textcoords="offset points", color=GREY)  # fmt: skip
    return len(chosen)


def _line(found: ComparisonResult, ax: "Axes", one: ScaleLine) -> None:
    if one.line is None:
        return
    sizes = [found.runs[place].parameters or 0 for place in one.runs]
    x = np.geomspace(min(sizes), max(sizes) * 2, POINTS)
    predicted = [one.line.predict(float(at)) for at in x]
    y, ends = np.array([p[0] for p in predicted]), np.array([p[1] for p in predicted])
    inside = x <= max(sizes)
    colour = COLOURS[one.exposure]
    label = f"power {number(one.slope, 3)}"
    ax.plot(x[inside], y[inside], color=colour, lw=1.2, label=label)
    ax.plot(x[~inside], y[~inside], color=colour, lw=1.2, ls=":")
    if np.isfinite(ends).all() and one.line.degrees > 1:
        ax.fill_between(x, ends[:, 0], ends[:, 1], color=colour, alpha=0.12, lw=0,
                        label="95% of another model")  # fmt: skip


def precision(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the precision of each prediction as a heat map."""
    return _predicted(found, ax, "precision", "Precision: of what it memorized, the other did too")


def recall(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the recall of each prediction as a heat map."""
    return _predicted(found, ax, "recall", "Recall: of what the other memorized, it did too")


def jaccard(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw Jaccard's index of each pair as a heat map."""
    ax = axes_for(ax, "Texts in common, of those that either memorized")
    values = np.full((len(found.runs), len(found.runs)), np.nan)
    for one in found.overlaps:
        values[one.a, one.b] = values[one.b, one.a] = one.agreement.jaccard.value
    return heat_map(ax, _names(found), _names(found), values)


def _predicted(found: ComparisonResult, ax: "Axes | None", measure: str, title: str) -> "Axes":
    ax = axes_for(ax, title)
    sources = sorted({one.source for one in found.predictions})
    targets = sorted({one.target for one in found.predictions})
    if not sources:
        return nothing(ax, "no run is smaller or earlier than another")
    values = np.full((len(sources), len(targets)), np.nan)
    for one in found.predictions:
        value = getattr(one.every, measure).value
        values[sources.index(one.source), targets.index(one.target)] = value
    names = _names(found)
    heat_map(ax, [names[p] for p in sources], [names[p] for p in targets], values)
    ax.set_xlabel("to")
    ax.set_ylabel("from")
    return ax


def combinations(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw how many texts exactly these runs memorized, above the runs (Lex et al. 2014)."""
    ax = axes_for(ax, "Texts memorized by exactly these runs")
    one = found.combinations
    if one is None or not len(one.texts):
        return nothing(ax, "nothing is memorized in common")
    texts, members = one.texts[:MOST_BARS], one.members[:MOST_BARS]
    x, runs = np.arange(len(texts)), len(one.runs)
    ax.bar(x, texts, color=BLUE, width=0.6)
    for at, height in zip(x, texts, strict=True):
        ax.annotate(f"{height:,}", (at, height), xytext=(0, 2), textcoords="offset points",
                    ha="center", fontsize=7)  # fmt: skip
    ax.set_xticks([])
    ax.set_xlim(-0.7, len(texts) - 0.3)
    ax.set_ylabel("texts")
    if left := len(one.texts) - len(texts):
        ax.text(0.99, 0.97, f"and {count(left, 'combination')} more", transform=ax.transAxes,
                ha="right", va="top", color=GREY, fontsize=8)  # fmt: skip
    below = ax.inset_axes((0, -0.06 - 0.065 * runs, 1, 0.065 * runs), sharex=ax)
    _dots(below, members)
    below.set_yticks(range(runs), [found.label(place) for place in one.runs], fontsize=7.5)
    return ax


def _dots(ax: "Axes", members: np.ndarray) -> None:
    """Draw which runs make each combination, the first run at the top."""
    for at, which in enumerate(members):
        ax.scatter(np.full(len(which), at), range(len(which)), s=22, color=PALE, zorder=2)
        chosen = np.flatnonzero(which)
        ax.scatter(np.full(len(chosen), at), chosen, s=22, color=INK, zorder=3)
        ax.plot([at, at], [chosen.min(), chosen.max()], color=INK, lw=1.2, zorder=2)
    ax.set_ylim(len(members[0]) - 0.5, -0.5)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelbottom=False)


def _names(found: ComparisonResult) -> list[str]:
    return [found.label(place) for place in range(len(found.runs))]


FIGURES: dict[str, Callable[[ComparisonResult, "Axes | None"], "Axes"]] = {
    "scale": share_over_size,
    "precision": precision,
    "recall": recall,
    "overlap": jaccard,
    "combinations": combinations,
}
CAPTIONS = {
    "scale": "Share of the texts trained on that greedy decoding returns, against parameters, both "
    "on log axes; bars are 95% intervals by counts, the band is where another model would lie.",
    "precision": "From each smaller or earlier run to each larger or later one: the share of what "
    "it memorized that the other has memorized too.",
    "recall": "From each smaller or earlier run to each larger or later one: the share of what the "
    "other memorized that it has memorized too.",
    "overlap": "Jaccard's index of each pair: texts that both memorized, of those that either did.",
    "combinations": "Texts by the runs that memorized them: exactly those with a dark dot.",
}


def drawn(found: ComparisonResult) -> list[str]:
    """Return the names of the figures that have something to show."""
    has = {
        "scale": any(found.runs[one.run].parameters and one.exposed.texts for one in found.points),
        "precision": any(not one.reason for one in found.predictions),
        "recall": any(not one.reason for one in found.predictions),
        "overlap": any(not one.reason for one in found.overlaps),
        "combinations": found.combinations is not None and len(found.combinations.texts) > 0,
    }
    return [name for name in FIGURES if has[name]]


def overview(found: ComparisonResult) -> "Figure":
    """Draw all figures that have something to show under the verdict."""
    names: Sequence[str] = drawn(found) or ["scale"]
    across = 2 if len(names) > 1 else 1
    down = -(-len(names) // across)
    with styled():
        figure = new_figure(WIDTH, HEIGHT / 2 * down)
        for place, name in enumerate(names):
            FIGURES[name](found, figure.add_subplot(down, across, place + 1))
        write_heading(figure, verdict(found), count(len(found.runs), "run"))
    return figure


def single(found: ComparisonResult, name: str) -> "Figure":
    """Draw one of `FIGURES` alone."""
    return single_figure(partial(FIGURES[name], found), count(len(found.runs), "run"), [])
