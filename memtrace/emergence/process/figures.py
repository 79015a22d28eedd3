"""The figure of the emergence process: the rate between checkpoints, and its drift."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from memtrace.emergence.figures import ENOUGH
from memtrace.emergence.process.result import EmergenceProcessResult
from memtrace.point_process.models.constant import garwood_interval
from memtrace.report.figures import (
    BLUE,
    GREY,
    RED,
    axes_for,
    name_ends,
    nothing,
    single_figure,
    step_axis,
    subtitle,
)
from memtrace.report.numbers import interval, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def process_figure(fit: EmergenceProcessResult) -> "Figure":
    """Draw the rate of emergence in each interval between checkpoints, and its drift."""
    return single_figure(partial(emergence_rate, fit), fit.label, [fit.histories.source])


def emergence_rate(fit: EmergenceProcessResult, ax: "Axes | None" = None) -> "Axes":
    """Draw exact Poisson intervals of the rate in each interval between checkpoints."""
    ax = axes_for(ax, "Rate of emergence over training")
    if not fit.n_events:
        return nothing(ax, "nothing emerged")
    counts, exposures, total = fit.windows.counts, fit.windows.exposures, fit.histories.total_steps
    rate = counts / exposures * 1e6
    low, high = (end * 1e6 for end in garwood_interval(counts, exposures))
    ax.hlines(rate, fit.windows.start, fit.stop, color=BLUE, lw=1.6)
    x = (fit.windows.start + fit.stop) / 2
    ax.errorbar(x, rate, [rate - low, high - rate], fmt="none", ecolor=GREY, elinewidth=0.8)
    ax.axhline(fit.rate * 1e6, color=GREY, ls="--", lw=0.8)
    ends, note = [(fit.rate * 1e6, "mean", GREY)], _told(fit)
    if not fit.trend.reason:
        u, theta = np.linspace(0, 1, 200), fit.trend.theta
        top = max(theta, 0.0)  # so that nothing overflows
        scale = counts.sum() / (exposures @ np.exp(theta * fit.u - top)) * 1e6
        line = np.exp(theta * u - top) * scale
        ax.plot(u * total, line, color=RED, lw=1)
        ends.append((float(line[-1]), "log-linear", RED))
        inside = interval(fit.trend.interval(0.90), ratio)
        note += f"; end/start {ratio(fit.trend.rate_ratio)}, 90% {inside}"
    sound = high[counts >= ENOUGH]
    ax.set_ylim(0, 1.1 * max([*sound, *rate]))
    ax.set_xlim(-0.03 * total, 1.03 * total)
    step_axis(ax)
    ax.set_ylabel("emergences per million and step")
    subtitle(ax, note)
    name_ends(ax, ends)
    return ax


def _told(fit: EmergenceProcessResult) -> str:
    caveat = fit.histories.caveat
    return f"exact 95% intervals ({caveat})" if caveat else "exact 95% intervals"
