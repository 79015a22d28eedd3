"""Figures of window counts: the paper's Q-Q, the hanging rootogram, the Fano curve.

The first two cannot see the order of the windows, and say so.
"""

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from memtrace.point_process.diagnostics.window_counts import global_envelope, qq_points
from memtrace.point_process.result import PoissonResult
from memtrace.report.figures import (
    BLUE,
    GREY,
    INK,
    PALE,
    RED,
    axes_below,
    axes_for,
    name_ends,
    nothing,
    subtitle,
)
from memtrace.report.numbers import percent
from memtrace.types import Int64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


def qq_window_counts(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw sorted window counts against Poisson quantiles, marker area by number of windows.

    This is the construction of the Pythia paper, with the envelope that holds the whole plot in 95%
    of random orders. It does not change if the windows are permuted.
    """
    ax = axes_for(ax, f"Windows of {fit.window:,}: Q-Q against Poisson")
    if not fit.events.n_events:
        return nothing(ax, "no events")
    quantile, count, windows = qq_points(fit.windows.counts).T
    area = 3 + 60 * windows / windows.max()
    outside = np.zeros(len(count), bool)
    if fit.dispersion.reason is None:
        at, place = np.unique(quantile, return_inverse=True)
        low, high = _bounds(fit, at)
        outside = (count < low[place]) | (count > high[place])
        ax.fill_between(at, low, high, color=PALE, lw=0, alpha=0.6, zorder=0)
    for where, colour in ((~outside, BLUE), (outside, RED)):
        ax.scatter(quantile[where], count[where], area[where], color=colour, alpha=0.85, lw=0)
    ends = (min(quantile.min(), count.min()), max(quantile.max(), count.max()))
    ax.axline((ends[0], ends[0]), slope=1, color=GREY, ls="--", lw=1, zorder=0)
    off = windows[quantile != count].sum() / windows.sum()
    band = "" if fit.dispersion.reason else "; band: 95% of random orders"
    red = "; red: outside" if outside.any() else ""
    subtitle(ax, f"sorted: blind to order; {percent(off, 2)} off the line{band}{red}")
    _whole_ticks(ax.xaxis, ax.yaxis)
    ax.set_xlabel("Poisson quantile")
    ax.set_ylabel("events in the window")
    return ax


def hanging_rootogram(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Hang the frequency of each window count from its expectation in random order.

    A second axes below it enlarges the feet of the bars; 95% of random orders stay in its band
    everywhere. An `ax` that is not part of a grid gets the upper half only.
    """
    ax = axes_for(ax, f"Windows of {fit.window:,}: hanging rootogram")
    root = fit.rootogram
    if root is None:
        return nothing(ax, fit.dispersion.reason or "no events")
    x, width = (root.edges[:-1] + root.edges[1:] - 1) / 2, 0.8 * float(np.diff(root.edges)[0])
    top = np.sqrt(root.expected)
    ax.bar(x, -np.sqrt(root.observed), width, top, color=PALE)
    ax.plot(x, top, "o-", color=BLUE, ms=2, lw=1)
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_ylim(top=1.1 * float(top.max()))
    _whole_ticks(ax.xaxis)
    ax.set_ylabel("√ windows")
    subtitle(ax, "bars: observed; line: expected in random order; band: 95% of random orders")
    if (feet := axes_below(ax)) is None:
        ax.set_xlabel("events in the window")
        return ax
    feet.axhspan(-root.band95, root.band95, color=PALE, lw=0, alpha=0.6)
    outside = np.abs(root.hanging) > root.band95
    feet.bar(x, root.hanging, width, color=np.where(outside, RED, BLUE).tolist())
    feet.axhline(0, color=INK, lw=0.8)
    feet.set_ylabel("difference")
    _whole_ticks(feet.xaxis)
    feet.set_xlabel("events in the window")
    return ax


def fano_curve(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw variance over mean of the counts against the length of the window.

    In random order it is 1 - p at every length; a drift makes it grow with the length, shocks to
    whole steps lift it from one step on. 95% of random orders stay inside the envelope everywhere.
    """
    ax = axes_for(ax, "Variance of counts over their mean")
    curve = fit.checks.fano
    seen = np.isfinite(curve.fano)
    if not seen.any():
        return nothing(ax, "too few windows or no events")
    x = curve.length[seen] / fit.unit
    ax.fill_between(x, curve.low[seen], curve.high[seen], color=PALE, lw=0, alpha=0.6)
    fano, allan = curve.fano[seen], curve.allan[seen]
    ax.plot(x, fano, "o-", color=BLUE, ms=2.5, lw=1)
    ax.plot(x, allan, "s:", color=GREY, ms=2, lw=1)
    ax.axhline(curve.expected, color=INK, lw=0.8, ls="--")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("length of the window, " + _unit_text(fit))
    ax.set_ylabel("variance / mean")
    subtitle(ax, "band: 95% of random orders at every length")
    ends = [
        (fano[-1], "Fano", BLUE),
        (allan[-1], "Allan", GREY),
        (curve.expected, "1 \N{MINUS SIGN} p", INK),
    ]
    name_ends(ax, [end for end in ends if np.isfinite(end[0])])
    return ax


def _bounds(fit: PoissonResult, quantile: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the least and largest count inside the envelope at each Poisson quantile."""
    fewest, most = global_envelope(fit.windows, np.random.default_rng(fit.seed))
    total, mean = len(fit.windows.counts), fit.windows.counts.mean()
    # The order statistics that stand at a quantile, first and last.
    first = np.floor((total + 1) * stats.poisson.cdf(quantile - 1, mean)) + 1
    last = np.floor((total + 1) * stats.poisson.cdf(quantile, mean)).clip(max=total)
    return np.searchsorted(most, first), np.searchsorted(fewest, last)


def _whole_ticks(*axes: "Axis") -> None:
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(6, integer=True))


def _unit_text(fit: PoissonResult) -> str:
    unit = "steps" if fit.events.sequences_per_step else "windows"
    return f"{unit} of {fit.unit:,} sequences"
