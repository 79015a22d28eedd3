"""Figures of a Poisson fit: an axes in, the axes out.

They compute no statistic: every number comes from the fit.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memtrace.point_process.events import FloatArray
    from memtrace.point_process.report import PoissonFit

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
BINS = 50
CURVE = 2000
GAP = 0.005
"""Share of the axis from which a range that was not scanned is shaded."""


def rate_over_training(fit: "PoissonFit", ax: "Axes | None" = None) -> "Axes":
    """Draw the rate in equal parts of the axis with exact 95% intervals, and the log-linear fit.

    The shaded band is the pointwise 95% band of the fitted rate.
    """
    ax = _axes(ax, "Rate over training")
    if not fit.events.exposure:
        return _nothing(ax, "no exposed sequence was scanned")
    from memtrace.point_process.poisson import binomial_interval

    events, window = fit.events, fit.window
    parts = int(np.clip(events.n_events // 20, 5, BINS))
    bins = events.windows(-(-events.n // parts))
    rate = bins.counts / bins.exposures * window
    low, high = (end * window for end in binomial_interval(bins.counts, bins.exposures))
    stop = np.append(bins.start[1:], events.n)
    x = _position(fit, (bins.start + np.minimum(stop, bins.start + -(-events.n // parts))) / 2)
    error = np.maximum([rate - low, high - rate], 0.0)
    ax.errorbar(x, rate, error, fmt="none", ecolor=GREY, elinewidth=1)
    ax.plot(x, rate, "o", color=INK, ms=4, label=f"{len(rate)} equal parts, exact 95% intervals")
    ax.axhline(fit.rate_per_window, color=GREY, ls="--", lw=1, label="constant rate")
    if not fit.trend.reason:
        _trend_band(ax, fit)
    # Room for the legend above the highest interval.
    bottom, top = float((rate - error[0]).min()), float((rate + error[1]).max())
    ax.set_ylim(bottom - 0.06 * (top - bottom), top + 0.5 * (top - bottom))
    _training_axis(ax, fit)
    ax.set_ylabel(f"memorized per {window:,} sequences")
    ax.legend(loc="upper left")
    return ax


def qq_window_counts(fit: "PoissonFit", ax: "Axes | None" = None) -> "Axes":
    """Draw sorted window counts against Poisson quantiles, marker area by number of windows.

    This is the construction of the Pythia paper. It does not change if the windows are permuted.
    """
    from memtrace.point_process.counts import qq_points

    ax = _axes(ax, f"Counts in windows of {fit.window:,}: Q-Q against Poisson")
    if not fit.events.n_events:
        return _nothing(ax, "no events")
    quantile, count, windows = qq_points(fit.windows.counts).T
    area = 8 + 260 * windows / windows.max()
    on = quantile == count
    for where, colour in ((on, BLUE), (~on, RED)):
        ax.scatter(quantile[where], count[where], area[where], color=colour, alpha=0.85, lw=0)
    ends = (min(quantile.min(), count.min()), max(quantile.max(), count.max()))
    ax.axline((ends[0], ends[0]), slope=1, color=GREY, ls="--", lw=1, zorder=0)
    off = windows[~on].sum() / windows.sum()
    note = (
        f"area: number of windows\n{off:.1%} of windows off the line (red)\n"
        "sorted: blind to the order of the windows"
    )
    ax.text(0.03, 0.97, note, transform=ax.transAxes, va="top", fontsize=8.5, color=INK)
    ax.set_xlabel("Poisson quantile")
    ax.set_ylabel("events in the window")
    return ax


def hanging_rootogram(fit: "PoissonFit", ax: "Axes | None" = None) -> "Axes":
    """Hang the frequency of each window count from its expectation in random order.

    A second axes below it enlarges the feet of the bars; 95% of random orders stay in its band
    everywhere. An `ax` that is not part of a grid gets the upper half only.
    """
    ax = _axes(ax, f"Counts in windows of {fit.window:,}: hanging rootogram")
    root = fit.rootogram
    if root is None:
        return _nothing(ax, fit.dispersion.reason or "no events")
    x, width = (root.edges[:-1] + root.edges[1:] - 1) / 2, 0.8 * float(np.diff(root.edges)[0])
    top = np.sqrt(root.expected)
    ax.bar(x, -np.sqrt(root.observed), width, top, color=PALE, label="observed, hanging")
    ax.plot(x, top, "o-", color=BLUE, ms=3, lw=1.2, label="expected in random order")
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_ylim(top=1.1 * float(top.max()))
    ax.set_ylabel("√ windows")
    ax.legend(loc="upper right")
    if (feet := _axes_below(ax)) is None:
        ax.set_xlabel("events in the window")
        return ax
    feet.axhspan(-root.band95, root.band95, color=PALE, lw=0, alpha=0.6)
    outside = np.abs(root.hanging) > root.band95
    feet.bar(x, root.hanging, width, color=np.where(outside, RED, BLUE).tolist())
    feet.axhline(0, color=INK, lw=0.8)
    feet.set_ylabel("√ observed\nless √ expected")
    feet.set_xlabel("events in the window (band: 95% of random orders stay inside)")
    return ax


def cumulative_deviation(fit: "PoissonFit", ax: "Axes | None" = None) -> "Axes":
    """Draw how far the cumulative share of events runs ahead of the share of sequences.

    The band is the Kolmogorov-Smirnov bound with the finite-population correction: 95% of random
    orders stay inside it everywhere.
    """
    from memtrace.point_process.uniformity import deviations

    spread, events = fit.uniformity, fit.events
    ax = _axes(ax, "Cumulative count against an even spread")
    if spread.reason:
        return _nothing(ax, spread.reason)
    before, after = deviations(events.ranks, events.exposure)
    kept = np.unique(np.linspace(0, events.n_events - 1, CURVE).astype(np.int64))
    kept = np.union1d(kept, [np.abs(before).argmax(), np.abs(after).argmax()])
    # Every event is a jump: from just before it to just after it.
    x = _position(fit, np.repeat(events.positions[kept], 2))
    y = 100 * np.column_stack((before[kept], after[kept])).ravel()
    bound = 100 * spread.ks_critical95
    ends = _position(fit, np.array([0.0, events.n]))
    ax.fill_between(ends, -bound, bound, color=PALE, lw=0, alpha=0.6)
    ax.plot([ends[0], *x, ends[1]], [0.0, *y, 0.0], color=BLUE, lw=1.1)
    ax.axhline(0, color=INK, lw=0.8)
    largest = int(np.abs(y).argmax())
    ax.plot(x[largest], y[largest], "o", color=RED, ms=5)
    note = f"largest deviation {abs(y[largest]):.3g}% of the events (band: 95% of random orders)"
    ax.text(0.03, 0.97, note, transform=ax.transAxes, va="top", fontsize=8.5)
    span = 1.35 * max(bound, np.abs(y).max())
    ax.set_ylim(-span, span)
    _training_axis(ax, fit)
    ax.set_ylabel("events ahead (% of all events)")
    return ax


FIGURES: dict[str, Callable[["PoissonFit", "Axes | None"], "Axes"]] = {
    "rate": rate_over_training,
    "cumulative": cumulative_deviation,
    "rootogram": hanging_rootogram,
    "qq": qq_window_counts,
}


def page(fit: "PoissonFit") -> "Figure":
    """Draw the four figures on one page under the verdict."""
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(12, 9.2), layout="constrained")
        for draw, ax in zip(FIGURES.values(), axes.flat, strict=True):
            draw(fit, ax)
        text = f"{_heading(fit)}\n{textwrap.fill(fit.verdict, 140)}"
        figure.suptitle(text, x=0.01, ha="left", fontsize=11)
    return figure


def save(fit: "PoissonFit", folder: Path, prefix: str = "") -> None:
    """Write each figure and the page as PNG and SVG into `folder`, names beginning with `prefix`.

    Raises:
        OSError: The folder cannot be written.
    """
    for name, draw in FIGURES.items():
        write_figure(_single(fit, draw), folder / f"{prefix}{name}")
    write_figure(page(fit), folder / f"{prefix}page")


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


def _single(fit: "PoissonFit", draw: Callable[["PoissonFit", "Axes | None"], "Axes"]) -> "Figure":
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
        draw(fit, ax)
        if fit.events.label:
            figure.suptitle(fit.events.label, x=0.01, ha="left", fontsize=9.5, color=GREY)
    return figure


def _axes(ax: "Axes | None", title: str) -> "Axes":
    import matplotlib.pyplot as plt

    if ax is None:
        with plt.rc_context(STYLE):
            ax = plt.subplots(figsize=(7.2, 4.8), layout="constrained")[1]
    ax.set_title(title, loc="left", fontweight="bold")
    return ax


def _heading(fit: "PoissonFit") -> str:
    events = fit.events
    seen = f"{events.n_events:,} memorized of {events.exposure:,} sequences"
    if events.unexposed_exposure:
        seen += f", {events.unexposed_events:,} of {events.unexposed_exposure:,} not yet trained on"
    return f"{events.label or 'Poisson fit'}: {seen}"


def _nothing(ax: "Axes", reason: str) -> "Axes":
    ax.set_axis_off()
    ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", color=GREY)
    return ax


def _position(fit: "PoissonFit", index: "FloatArray | np.ndarray") -> "FloatArray":
    return np.asarray(index, float) / (fit.events.sequences_per_step or 1)


def _training_axis(ax: "Axes", fit: "PoissonFit") -> None:
    """Label the training axis and shade the ranges that were not scanned, if they can be seen."""
    events = fit.events
    ax.set_xlabel("training step" if events.sequences_per_step else "sequence index")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    start, stop = _position(fit, np.array([0.0, events.n]))
    ax.set_xlim(start - 0.03 * (stop - start), stop + 0.03 * (stop - start))
    visible = np.diff(events.missing, axis=1)[:, 0] > GAP * events.n
    for low, high in _position(fit, events.missing[visible]):
        ax.axvspan(low, high, color=GREY, alpha=0.18, lw=0, zorder=0)
        where = ((low + high) / 2, 0.04)
        style: dict[str, Any] = {"rotation": 90, "ha": "center", "fontsize": 8, "color": GREY}
        ax.text(*where, "not scanned", transform=ax.get_xaxis_transform(), **style)


def _axes_below(ax: "Axes") -> "Axes | None":
    """Give the lower third of the grid cell of `ax` to a second axes with the same x axis."""
    cell = ax.get_subplotspec()
    if cell is None:
        return None
    thirds = cell.subgridspec(2, 1, height_ratios=(2, 1))
    ax.set_subplotspec(thirds[0])
    ax.tick_params(labelbottom=False)
    return ax.figure.add_subplot(thirds[1], sharex=ax)


def _trend_band(ax: "Axes", fit: "PoissonFit") -> None:
    from memtrace.point_process.verdict import interval_text

    u = np.linspace(0, 1, 200)
    x = _position(fit, u * fit.events.n)
    rate = fit.trend.density(u) / fit.events.n * fit.window
    width = np.exp(1.96 * fit.trend.relative_error(u))
    ax.fill_between(x, rate / width, rate * width, color=PALE, lw=0, alpha=0.8)
    ax.plot(x, rate, color=BLUE, lw=1.8, label=f"log-linear: {interval_text(fit)}")
