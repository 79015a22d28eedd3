"""Figures of memorization over checkpoints: shares, flows, times of emergence, hazards."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.emergence.hazard import Rate
from memtrace.emergence.result import EmergenceResult
from memtrace.emergence.timescales import TimeScale
from memtrace.emergence.verdict import verdict
from memtrace.report.figures import (
    BLUE,
    GREY,
    HEIGHT,
    INK,
    LINE,
    PAGE,
    PALE,
    RED,
    TICKS,
    axes_for,
    keep_sources,
    name_ends,
    new_figure,
    nothing,
    percent_axis,
    single_figure,
    step_axis,
    styled,
    subtitle,
    write_figure,
    write_heading,
)
from memtrace.report.numbers import number, percent
from memtrace.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 200
"""Texts below which an interval may leave the figure."""
ROOM, MARGIN = 1.1, 0.03
"""Of the highest share, up to which intervals are drawn; and of an axis, above its highest line."""
UNDER: dict[str, Any] = {"lw": 2.4, "ms": 4.5, "elinewidth": 2.4}
OVER: dict[str, Any] = {"lw": 1, "ms": 2, "elinewidth": 0.8, "ls": "--"}
"""How two lines are drawn that may lie on one another."""
ENOUGH = 5
"""Events below which it may too."""


def share_top(fit: EmergenceResult) -> float:
    """Return the share up to which shares are drawn: all of them, and intervals of many texts."""
    found = _shares(fit)
    sound = [high for _, high, of in found if of >= FEW] or [high for _, high, _ in found]
    highest = max([*sound, *(share for share, _, _ in found)], default=1.0)
    return min(1.0, ROOM * highest) if highest < 1 else 1.0


def leaves_figure(fit: EmergenceResult) -> bool:
    """Return whether an interval of a share goes beyond `share_top`."""
    return any(high > share_top(fit) for _, high, _ in _shares(fit))


def _shares(fit: EmergenceResult) -> list[tuple[float, float, int]]:
    """Return the shares at checkpoints, the upper ends of their intervals, and of how many."""
    return [
        (events / of, ends[1], of)
        for row in fit.checkpoints
        for events, of, ends in (
            (row.memorized, row.exposed, row.share_ci95),
            (row.extractable, row.unexposed, row.unexposed_ci95),
        )
        if of
    ]


def memorized_by_checkpoint(fit: EmergenceResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share memorized by checkpoint with exact intervals, and the control group's."""
    ax = axes_for(ax, "Memorized by checkpoint")
    exposed = [row for row in fit.checkpoints if row.exposed]
    if not exposed:
        return nothing(ax, "nothing was evaluated after it was trained on")
    x = [row.step for row in exposed]
    shares = [row.memorized / row.exposed for row in exposed]
    _with_intervals(ax, x, shares, [row.share_ci95 for row in exposed], BLUE, UNDER)
    ends = [(shares[-1], "trained on", BLUE)]
    if any(row.generic for row in exposed):
        generic = [row.generic / row.exposed for row in exposed]
        ax.fill_between(x, 0, generic, color=PALE, lw=0)
        ends.append((generic[-1], "generic", GREY))
    control = [row for row in fit.checkpoints if row.unexposed]
    if control:
        chance = [row.extractable / row.unexposed for row in control]
        intervals = [row.unexposed_ci95 for row in control]
        _with_intervals(ax, [r.step for r in control], chance, intervals, RED, OVER)
        ends.append((chance[-1], "not yet", RED))
    ax.set_ylim(0, share_top(fit) * (1 + MARGIN))
    note = _intervals(fit)
    if fit.histories.copies_known:
        rows = [row.memorized_sequences / max(row.exposed_sequences, 1) for row in exposed]
        note += f"; of rows up to {percent(max(rows))}"
        # One text with many copies would flatten the rest: then only the number is told.
        if max(rows) <= ax.get_ylim()[1]:
            ax.plot(x, rows, color=GREY, lw=1, ls=":")
            ends.append((rows[-1], "rows", GREY))
    _steps(ax, fit)
    percent_axis(ax.yaxis)
    ax.set_ylabel(f"share of the {fit.histories.unit}s evaluated")
    subtitle(ax, note)
    name_ends(ax, ends)
    return ax


def flows(fit: EmergenceResult, ax: "Axes | None" = None) -> "Axes":
    """Draw how many texts each checkpoint gained, for the first time or again, and lost."""
    ax = axes_for(ax, "Learned and lost since the last checkpoint")
    rows = [row for row in fit.checkpoints if row.exposed]
    if not fit.outcomes.emerged:
        return nothing(ax, "nothing emerged")
    x = np.arange(len(rows))
    new, again, lost = (
        np.array([getattr(row, name) for row in rows])
        for name in ("learned", "learned_again", "lost")
    )
    bars = (
        ("new", new, 0 * new, BLUE),
        ("learned again", again, new, PALE),
        ("lost", -lost, 0, RED),
    )
    for name, height, foot, colour in bars:
        if height.any():
            ax.bar(x, height, 0.8, foot, color=colour, label=name)
    ax.axhline(0, color=INK, lw=0.8)
    every = max(1, math.ceil(len(rows) / TICKS))
    ax.set_xticks(x[::-1][::every][::-1], [f"{row.step:,}" for row in rows[::-1][::every][::-1]])
    top, bottom = float((new + again).max()), float(lost.max())
    ax.set_ylim(-1.15 * bottom - 0.03 * top, 1.05 * top + 0.5)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("checkpoint, training step")
    ax.set_ylabel(f"{fit.histories.unit}s")
    # Bars on bars have no ends to be named at.
    ax.set_title(ax.get_title(loc="left"), loc="left", fontweight="bold", pad=5 + LINE)
    if again.any() or lost.any():
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderpad=0, borderaxespad=0.2,
              handlelength=1, columnspacing=1)  # fmt: skip
    return ax


def time_on_training(fit: EmergenceResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share emerged against the step, corrected for late exposure."""
    ax = _distribution(
        fit, "training", f"Emerged since step {number(fit.time_scales['training'].since)}", ax
    )
    _steps(ax, fit)
    return ax


def time_since_exposure(fit: EmergenceResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share emerged against the steps since a text was first seen."""
    ax = _distribution(fit, "exposure", "Emerged by time since exposure", ax)
    step_axis(ax)
    ax.set_xlabel("steps since the first copy was trained on")
    return ax


def time_by_share(fit: EmergenceResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share emerged against the share of training left after a text was first seen."""
    ax = _distribution(fit, "share", "Emerged by share of the training left", ax)
    percent_axis(ax.xaxis)
    ax.set_xlabel("share of the training left after the first copy")
    return ax


def hazard_by_checkpoint(fit: EmergenceResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the hazard in each interval between checkpoints, with 95% intervals."""
    ax = _rates(fit, fit.hazard_by_checkpoint, "Hazard of emergence over training", ax)
    _steps(ax, fit)
    return ax


def hazard_since_exposure(fit: EmergenceResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the hazard by time since exposure, with 95% intervals."""
    ax = _rates(fit, fit.hazard_since_exposure, "Hazard by time since exposure", ax)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:,.4g}")
    ax.set_xlabel("steps since the first copy was trained on")
    return ax


FIGURES: dict[str, Callable[[EmergenceResult, "Axes | None"], "Axes"]] = {
    "memorized": memorized_by_checkpoint,
    "flows": flows,
    "time-training": time_on_training,
    "time-exposure": time_since_exposure,
    "time-share": time_by_share,
    "hazard-training": hazard_by_checkpoint,
    "hazard-exposure": hazard_since_exposure,
}


def figures_of(fit: EmergenceResult) -> list[str]:
    """Return the names of the figures that have something to show."""
    emerged = fit.shown > 0
    shown = {
        "memorized": any(row.exposed for row in fit.checkpoints),
        "flows": fit.outcomes.emerged > 0,
        **{f"time-{name}": emerged and scale.drawn for name, scale in fit.time_scales.items()},
        "hazard-training": emerged and len(_known(fit.hazard_by_checkpoint)) > 1,
        "hazard-exposure": emerged and len(_known(fit.hazard_since_exposure)) > 1,
    }
    return [name for name in FIGURES if shown[name]]


def overview(fit: EmergenceResult) -> "Figure":
    """Draw all figures that have something to show as one, under the verdict."""
    names = figures_of(fit)
    rows = max(1, -(-len(names) // 2))
    with styled():
        figure = new_figure(PAGE, HEIGHT * rows + 0.8)
        grid = figure.add_gridspec(rows, 2)
        for i, name in enumerate(names):
            alone = i == len(names) - 1 and i % 2 == 0
            FIGURES[name](
                fit, figure.add_subplot(grid[i // 2, :] if alone else grid[i // 2, i % 2])
            )
        write_heading(figure, verdict(fit), fit.histories.label)
        keep_sources(figure, [fit.histories.source])
    return figure


def single(fit: EmergenceResult, name: str) -> "Figure":
    """Draw one of `FIGURES` alone."""
    return single_figure(partial(FIGURES[name], fit), fit.histories.label, [fit.histories.source])


def save_emergence(fit: EmergenceResult, folder: Path) -> None:
    """Write each figure, and all of them as `emergence`, as PNG and SVG into `folder`.

    Raises:
        OSError: The folder cannot be written.
    """
    for name in figures_of(fit):
        write_figure(single(fit, name), folder / name)
    write_figure(overview(fit), folder / "emergence")


def _distribution(fit: EmergenceResult, name: str, title: str, ax: "Axes | None") -> "Axes":
    """Draw a distribution that is undefined inside Turnbull intervals: a line between them."""
    ax = axes_for(ax, title)
    scale = fit.time_scales[name]
    if not scale.emerged > 0:
        return nothing(ax, "nothing emerged")
    x, share, low, high = course(scale)
    ax.fill_between(x, low, high, color=PALE, lw=0, alpha=0.6)
    before = np.concatenate(([0.0], scale.share[:-1]))
    for left, right, bottom, top in zip(scale.left, scale.right, before, scale.share, strict=True):
        ax.fill_between([left, right], bottom, top, color=BLUE, alpha=0.45, lw=0)
    ax.hlines(share[::2], x[::2], x[1::2], color=BLUE, lw=1.4)
    ax.set_ylim(0, 1.05 * float(scale.high.max()))
    percent_axis(ax.yaxis)
    ax.set_ylabel(f"share of the {fit.histories.unit}s")
    subtitle(ax, f"boxes: rises somewhere inside; {_intervals(fit)}")
    return ax


def _known(rates: Sequence[Rate]) -> list[Rate]:
    return [rate for rate in rates if math.isfinite(rate.rate)]


def course(scale: TimeScale) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return times, and the share that has emerged by them with its band, shape (2 J + 2,).

    It is level between two Turnbull intervals, and rises from an odd place to the next: inside an
    interval it is not known where. The band never falls, as the share does not.
    """
    since = scale.since if math.isfinite(scale.since) else 0.0
    times = np.concatenate(([since], np.column_stack((scale.left, scale.right)).ravel()))
    band = np.maximum.accumulate(scale.low), np.maximum.accumulate(scale.high)
    levels = (np.repeat(np.append(0.0, values), 2) for values in (scale.share, *band))
    share, low, high = levels
    return np.append(times, max(scale.until, float(times[-1]))), share, low, high


def _rates(fit: EmergenceResult, rates: Sequence[Rate], title: str, ax: "Axes | None") -> "Axes":
    ax = axes_for(ax, title)
    shown = _known(rates)
    if not shown or not fit.outcomes.emerged:
        return nothing(ax, "nothing emerged")
    values = np.array([rate.rate for rate in shown]) * 1e6
    low, high = (np.array([rate.ci95[i] for rate in shown]) * 1e6 for i in (0, 1))
    known = np.array([rate.events > 0 for rate in shown])
    for rate, value in zip(shown, values, strict=True):
        ax.hlines(value, rate.start, rate.stop, color=BLUE, lw=1.6)
    x = np.array([(max(rate.start, rate.stop / 8) + rate.stop) / 2 for rate in shown])
    ax.errorbar(x[known], values[known], [(values - low)[known], (high - values)[known]],
                fmt="none", ecolor=GREY, elinewidth=0.8)  # fmt: skip
    # An interval with little behind it must not flatten the rest.
    sound = [h for h, rate in zip(high, shown, strict=True) if rate.events >= ENOUGH]
    ax.set_ylim(0, 1.1 * (max([*sound, *values]) or high.max()))
    ax.yaxis.set_major_formatter("{x:,.0f}" if ax.get_ylim()[1] > ENOUGH else "{x:g}")
    ax.set_ylabel("per million and step")
    subtitle(ax, _intervals(fit))
    if not fit.hazard.reason:
        mean = math.exp(fit.hazard.coefficients["log_hazard"]) * 1e6
        ax.axhline(mean, color=GREY, ls="--", lw=0.8)
        name_ends(ax, [(mean, "constant", GREY)])
    return ax


def _with_intervals(
    ax: "Axes",
    x: Sequence[float],
    shares: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    colour: str,
    line: dict[str, Any],
) -> None:
    y, ends = np.array(shares), np.array(intervals)
    error = np.maximum([y - ends[:, 0], ends[:, 1] - y], 0.0)
    ax.errorbar(x, y, error, color=colour, marker="o", **line)


def _intervals(fit: EmergenceResult) -> str:
    caveat = fit.histories.caveat
    return f"95% intervals ({caveat})" if caveat else "95% intervals"


def _steps(ax: "Axes", fit: EmergenceResult) -> None:
    step_axis(ax)
    total = fit.histories.total_steps
    ax.set_xlim(-0.03 * total, 1.03 * total)
