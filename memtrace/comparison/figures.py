"""Figures of a comparison: shares by size, heat maps of pairs, combinations, seeds."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from memtrace.comparison.deduplication.figures import shares_by_copies, texts_of_both
from memtrace.comparison.heat_maps import heat_map
from memtrace.comparison.paired.figures import difference_by_step, who_memorized
from memtrace.comparison.profile.figures import course, effect_table
from memtrace.comparison.profile.result import Profile
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
    label = f"{one.exposure.replace('_', ' ')}, power {number(one.slope, 3)}"
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
        ax.text(0.99, 0.97, f"and {left:,} more combinations", transform=ax.transAxes,
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
    "deduplication": lambda found, ax: shares_by_copies(found.deduplication[-1], ax),
    "both-corpora": lambda found, ax: texts_of_both(found.deduplication, ax),
    "pairs": lambda found, ax: who_memorized(found.paired, ax),
    "pairs-over-training": lambda found, ax: difference_by_step(found.paired, ax),
    "profile": lambda found, ax: effect_table(_profiles(found)[-1], ax),
    "time-since-training": lambda found, ax: course(_profiles(found)[-1], ax),
}
CAPTIONS = {
    "scale": "Share of the texts trained on that greedy decoding returns, against parameters, both "
    "on log axes; bars are 95% intervals by counts. A band, of three models or more, is where "
    "another model would lie.",
    "precision": "From each smaller or earlier run to each larger or later one: the share of what "
    "it memorized that the other has memorized too.",
    "recall": "From each smaller or earlier run to each larger or later one: the share of what the "
    "other memorized that it has memorized too.",
    "overlap": "Jaccard's index of each pair: texts that both memorized, of those that either did.",
    "combinations": "Texts by the runs that memorized them: exactly those with a dark dot.",
    "deduplication": "Share of the texts that a model and its deduplicated twin memorized, by how "
    "often each had seen them; bars are exact 95% intervals. In a corpus that is passed more than "
    "once, text seen once is fresh and text seen twice came round again.",
    "both-corpora": "Texts that a model and its deduplicated twin had both seen, by who memorized "
    "them and by how often the model had seen them.",
    "pairs": "Exposed texts that one model of a pair memorized alone, and those that both did, at "
    "the last checkpoint.",
    "pairs-over-training": "Share of exposed texts that a model memorized minus that of its "
    "baseline, on the same texts, with score intervals.",
    "profile": "What training on a text changed, by when it was trained on (rows) and at which "
    "checkpoint (columns), against texts not yet trained on; a dot where 0 is outside the 95% "
    "interval. Left of the line texts had not been trained on, so there is nothing but noise.",
    "time-since-training": "The mean effect of training on a text by checkpoints since, with 95% "
    "intervals whose unit is the text; before it there should be none.",
}


def drawn(found: ComparisonResult) -> list[str]:
    """Return the names of the figures that have something to show."""
    has = {
        "scale": any(found.runs[one.run].parameters and one.exposed.texts for one in found.points),
        "precision": any(not one.reason for one in found.predictions),
        "recall": any(not one.reason for one in found.predictions),
        "overlap": any(not one.reason for one in found.overlaps),
        "combinations": found.combinations is not None and len(found.combinations.texts) > 0,
        "deduplication": any(one.last.total is not None for one in found.deduplication[-1:]),
        "both-corpora": any(one.last.matched_total is not None for one in found.deduplication),
        "pairs": _asked_alike(found, 1),
        "pairs-over-training": _asked_alike(found, 2),
        "profile": bool(_profiles(found)),
        "time-since-training": bool(_profiles(found)),
    }
    return [name for name in FIGURES if has[name]]


def _asked_alike(found: ComparisonResult, steps: int) -> bool:
    """Return whether a pair of models has so many steps with exposed texts that both scanned."""
    return any(
        sum(step.shares["exposed"].texts > 0 for step in one.steps) >= steps for one in found.paired
    )


def _profiles(found: ComparisonResult) -> list[Profile]:
    """Return the profiles that have an effect."""
    return [one for one in found.profiles if one.instantaneous is not None]


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
