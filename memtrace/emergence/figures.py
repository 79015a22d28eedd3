"""Figures of memorization over checkpoints: shares, flows, times of emergence, hazards.

They compute no statistic: every number comes from the fit.
"""

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memtrace.report.figures import (
    BLUE,
    GREY,
    INK,
    PALE,
    RED,
    axes_for,
    new_figure,
    nothing,
    styled,
    write_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memtrace.emergence.fit import EmergenceFit
    from memtrace.emergence.hazard import Rate
    from memtrace.emergence.histories import Histories
    from memtrace.emergence.process.fit import EmergenceProcess
    from memtrace.emergence.timescales import Clock
    from memtrace.types import FloatArray

FEW = 200
"""Sequences below which an interval may leave the figure."""
ENOUGH = 5
"""Events below which it may too."""


def memorized_by_checkpoint(fit: "EmergenceFit", ax: "Axes | None" = None) -> "Axes":
    """Draw the share memorized by checkpoint with exact intervals, and the control group's."""
    ax = axes_for(ax, "Memorized by checkpoint")
    exposed = [row for row in fit.checkpoints if row.exposed]
    if not exposed:
        return nothing(ax, "no sequence was looked at after it was trained on")
    _with_intervals(
        ax,
        [row.step for row in exposed],
        [row.memorized / row.exposed for row in exposed],
        [row.share_ci95 for row in exposed],
        BLUE,
        "trained on",
    )
    if any(row.before for row in exposed):
        shares = [row.before / row.exposed for row in exposed]
        x = [row.step for row in exposed]
        ax.fill_between(x, 0, shares, color=PALE, lw=0, label="of these, extractable before")
    control = [row for row in fit.checkpoints if row.unexposed]
    if control:
        shares = [row.extractable / row.unexposed for row in control]
        intervals = [row.unexposed_ci95 for row in control]
        _with_intervals(ax, [r.step for r in control], shares, intervals, RED, "not yet trained on")
    seen = [end for row in exposed for end in row.share_ci95 if row.exposed >= FEW]
    ax.set_ylim(0, 1.35 * max(seen, default=1.0) or 1.0)
    _steps(ax, fit)
    ax.yaxis.set_major_formatter("{x:.3g}")
    ax.set_ylabel("share of the sequences looked at")
    ax.legend(loc="upper left")
    return ax


def flows(fit: "EmergenceFit", ax: "Axes | None" = None) -> "Axes":
    """Draw how many sequences each checkpoint gained, for the first time or again, and lost."""
    ax = axes_for(ax, "Learned and lost since the checkpoint before")
    rows = [row for row in fit.checkpoints if row.exposed]
    if not fit.outcomes.emerged:
        return nothing(ax, "nothing emerged")
    x = np.arange(len(rows))
    new, again, lost = (
        np.array([getattr(row, name) for row in rows])
        for name in ("learned", "learned_again", "lost")
    )
    ax.bar(x, new, 0.8, color=BLUE, label="memorized for the first time")
    ax.bar(x, again, 0.8, new, color=PALE, label="learned again")
    ax.bar(x, -lost, 0.8, color=RED, label="lost")
    ax.axhline(0, color=INK, lw=0.8)
    every = max(1, math.ceil(len(rows) / 12))
    ax.set_xticks(x[::-1][::every][::-1], [f"{row.step:,}" for row in rows[::-1][::every][::-1]])
    top, bottom = float((new + again).max()), float(lost.max())
    ax.set_ylim(-1.15 * bottom - 0.03 * top, 1.45 * top + 1)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("checkpoint")
    ax.set_ylabel("sequences")
    ax.legend(loc="upper left")
    return ax


def time_on_training(fit: "EmergenceFit", ax: "Axes | None" = None) -> "Axes":
    """Draw the share emerged against the step, corrected for late exposure, as boxes."""
    ax = _boxes(fit, "training", "Emerged by step, late exposure taken into account", ax)
    _steps(ax, fit)
    return ax


def time_since_exposure(fit: "EmergenceFit", ax: "Axes | None" = None) -> "Axes":
    """Draw the share emerged against the steps since a sequence was seen, as boxes."""
    ax = _boxes(fit, "exposure", "Emerged by time since exposure", ax)
    ax.set_xlabel("steps since the sequence was trained on")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    return ax


def hazard_by_checkpoint(fit: "EmergenceFit", ax: "Axes | None" = None) -> "Axes":
    """Draw the hazard in each interval between checkpoints, with 95% intervals."""
    ax = _rates(fit, fit.hazard_by_checkpoint, "Hazard of emergence over training", ax)
    _steps(ax, fit)
    return ax


def hazard_since_exposure(fit: "EmergenceFit", ax: "Axes | None" = None) -> "Axes":
    """Draw the hazard by time since exposure, with 95% intervals."""
    ax = _rates(fit, fit.hazard_since_exposure, "Hazard by time since exposure", ax)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:,.4g}")
    ax.set_xlabel("steps since the sequence was trained on")
    return ax


FIGURES: dict[str, Callable[["EmergenceFit", "Axes | None"], "Axes"]] = {
    "memorized": memorized_by_checkpoint,
    "flows": flows,
    "time-training": time_on_training,
    "time-exposure": time_since_exposure,
    "hazard-training": hazard_by_checkpoint,
    "hazard-exposure": hazard_since_exposure,
}


def emergence_page(fit: "EmergenceFit") -> "Figure":
    """Draw all figures on one page under the verdict."""
    with styled():
        figure = new_figure(12, 13.5)
        axes = figure.subplots(3, 2)
        for draw, ax in zip(FIGURES.values(), axes.flat, strict=True):
            draw(fit, ax)
        text = f"{fit.histories.label}\n{textwrap.fill(fit.verdict, 140)}"
        figure.suptitle(text, x=0.01, ha="left", fontsize=11)
        _write_source(figure, fit.histories)
    return figure


def save_emergence(fit: "EmergenceFit", folder: Path) -> None:
    """Write each figure and the page as PNG and SVG into `folder`.

    Raises:
        OSError: The folder cannot be written.
    """
    for name, draw in FIGURES.items():
        with styled():
            figure = new_figure()
            draw(fit, figure.add_subplot())
            figure.suptitle(fit.histories.label, x=0.01, ha="left", fontsize=9.5, color=GREY)
            _write_source(figure, fit.histories)
        write_figure(figure, folder / name)
    write_figure(emergence_page(fit), folder / "page")


def _write_source(figure: "Figure", found: "Histories") -> None:
    """Write at the foot of a figure which runs it came from."""
    figure.supxlabel(found.source, x=0.99, ha="right", fontsize=6, color=GREY)


def _boxes(fit: "EmergenceFit", name: str, title: str, ax: "Axes | None") -> "Axes":
    """Draw a distribution that is undefined inside boxes: a line between them, a box in each."""
    ax = axes_for(ax, title)
    clock = fit.clocks[name]
    if not clock.emerged:
        return nothing(ax, "nothing emerged")
    before = np.concatenate(([0.0], clock.share[:-1]))
    x = np.column_stack((clock.left, clock.right)).ravel()
    low, high = (np.repeat(end, 2) for end in _bounds(clock))
    ax.fill_between(x, low, high, color=PALE, lw=0, alpha=0.6, label="95% intervals")
    for left, right, bottom, top in zip(clock.left, clock.right, before, clock.share, strict=True):
        ax.fill_between([left, right], bottom, top, color=BLUE, alpha=0.45, lw=0)
    ends = np.append(clock.left[1:], clock.right[-1])
    ax.hlines(clock.share, clock.right, ends, color=BLUE, lw=1.6, label="share emerged")
    ax.plot([], [], color=BLUE, alpha=0.45, lw=8, label="somewhere inside the box")
    ax.set_ylim(0, 1.25 * float(clock.high.max()))
    ax.set_ylabel("share of the sequences")
    ax.legend(loc="upper left")
    return ax


def _bounds(clock: "Clock") -> "tuple[FloatArray, FloatArray]":
    """Return a band that never falls, as the share does not."""
    return np.maximum.accumulate(clock.low), np.maximum.accumulate(clock.high)


def _rates(fit: "EmergenceFit", rates: "Sequence[Rate]", title: str, ax: "Axes | None") -> "Axes":
    ax = axes_for(ax, title)
    shown = [rate for rate in rates if math.isfinite(rate.rate)]
    if not shown or not fit.outcomes.emerged:
        return nothing(ax, "nothing emerged")
    values = np.array([rate.rate for rate in shown]) * 1e6
    low, high = (np.array([rate.ci95[i] for rate in shown]) * 1e6 for i in (0, 1))
    known = np.array([rate.events > 0 for rate in shown])
    for rate, value in zip(shown, values, strict=True):
        ax.hlines(value, rate.start, rate.stop, color=BLUE, lw=2)
    x = np.array([(max(rate.start, rate.stop / 8) + rate.stop) / 2 for rate in shown])
    ax.errorbar(x[known], values[known], [(values - low)[known], (high - values)[known]],
                fmt="none", ecolor=GREY, elinewidth=1)  # fmt: skip
    if not fit.hazard.reason:
        mean = math.exp(fit.hazard.coefficients["log_hazard"]) * 1e6
        ax.axhline(mean, color=GREY, ls="--", lw=1, label="constant hazard")
        ax.legend(loc="upper right")
    # An interval with little behind it must not flatten the rest.
    sound = [h for h, rate in zip(high, shown, strict=True) if rate.events >= ENOUGH]
    ax.set_ylim(0, 1.15 * max([*sound, *values]))
    ax.set_ylabel("emergences per million and step")
    return ax


def _with_intervals(
    ax: "Axes",
    x: Sequence[float],
    shares: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    colour: str,
    label: str,
) -> None:
    y, ends = np.array(shares), np.array(intervals)
    error = np.maximum([y - ends[:, 0], ends[:, 1] - y], 0.0)
    ax.errorbar(x, y, error, fmt="o-", color=colour, ms=3.5, lw=1.2, elinewidth=1, label=label)


def _steps(ax: "Axes", fit: "EmergenceFit") -> None:
    ax.set_xlabel("training step")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    total = fit.histories.total_steps
    ax.set_xlim(-0.03 * total, 1.03 * total)


def process_figure(fit: "EmergenceProcess") -> "Figure":
    """Draw the rate of emergence in each interval between checkpoints, and its drift."""
    with styled():
        figure = new_figure()
        emergence_rate(fit, figure.add_subplot())
        figure.suptitle(fit.label, x=0.01, ha="left", fontsize=9.5, color=GREY)
        _write_source(figure, fit.histories)
    return figure


def emergence_rate(fit: "EmergenceProcess", ax: "Axes | None" = None) -> "Axes":
    """Draw exact Poisson intervals of the rate in each interval between checkpoints."""
    from memtrace.point_process.models.constant import garwood_interval

    ax = axes_for(ax, "Rate of emergence over training")
    if not fit.n_events:
        return nothing(ax, "nothing emerged")
    counts, exposures, total = fit.windows.counts, fit.windows.exposures, fit.histories.total_steps
    rate = counts / exposures * 1e6
    low, high = (end * 1e6 for end in garwood_interval(counts, exposures))
    ax.hlines(rate, fit.windows.start, fit.stop, color=BLUE, lw=2, label="between checkpoints")
    x = (fit.windows.start + fit.stop) / 2
    ax.errorbar(x, rate, [rate - low, high - rate], fmt="none", ecolor=GREY, elinewidth=1)
    ax.axhline(fit.rate * 1e6, color=GREY, ls="--", lw=1, label="constant rate")
    if not fit.trend.reason:
        u = np.linspace(0, 1, 200)
        drift = np.exp(fit.trend.theta * u)
        scale = counts.sum() / (exposures @ np.exp(fit.trend.theta * fit.u)) * 1e6
        low_ratio, high_ratio = fit.trend.interval(0.90)
        label = (
            f"log-linear: end/start {fit.trend.rate_ratio:.3g} ({low_ratio:.3g}, {high_ratio:.3g})"
        )
        ax.plot(u * total, drift * scale, color=RED, lw=1.2, label=label)
    sound = high[counts >= ENOUGH]
    ax.set_ylim(0, 1.4 * max([*sound, *rate]))
    ax.set_xlim(-0.03 * total, 1.03 * total)
    ax.set_xlabel("training step")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylabel("emergences per million and step")
    ax.legend(loc="upper left")
    return ax
