"""Figures along training: rate, cumulative count, what a model leaves.

Where sequences are copies of one another, their rate is drawn without intervals: none would hold.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from memtrace.point_process.diagnostics.residuals import count_residuals
from memtrace.point_process.diagnostics.uniformity import deviations
from memtrace.point_process.figures.axes import position, training_axis
from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.order import Order
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.windows import Windows
from memtrace.report.figures import (
    BLUE,
    GREY,
    INK,
    PALE,
    RED,
    Ends,
    axes_for,
    name_ends,
    nothing,
    subtitle,
)
from memtrace.report.numbers import count, number, p_text, percent
from memtrace.types import FloatArray, Int64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BINS = 50
TENTHS = 10
"""Parts of training in a small panel."""
CURVE = 2000
ROOM = 1.05
"""How far the axis of a chart of rates goes above the highest."""
RESIDUALS = 200
FARTHEST = 40.0
"""Normal score that is drawn at most: a count that the model rules out has none that is finite."""


@dataclass(frozen=True, eq=False)
class RateInParts:
    """The rate in equal parts of training, of those in which anything was scanned."""

    start: Int64Array
    stop: Int64Array
    """Half-open ranges of the index."""
    x: FloatArray
    """Their middles on the training axis."""
    counts: Int64Array
    exposures: Int64Array
    rate: FloatArray
    """Events per window of sequences."""
    low: FloatArray
    high: FloatArray
    """Exact 95% interval of each part by itself; NaN where sequences are copies."""


def rate_in_parts(fit: PoissonResult) -> RateInParts:
    """Return the rate in 5 to `BINS` equal parts of training, more parts for more events."""
    events = fit.events
    length = -(-events.n // int(np.clip(events.n_events // 20, 5, BINS)))
    bins = events.windows(length)
    stop = np.minimum(bins.start + length, events.n)
    low, high = _ends(fit, bins)
    return RateInParts(
        start=bins.start,
        stop=stop,
        x=position(fit, (bins.start + stop) / 2),
        counts=bins.counts,
        exposures=bins.exposures,
        rate=bins.counts / bins.exposures * fit.window,
        low=low * fit.window,
        high=high * fit.window,
    )


def rate_top(fit: PoissonResult) -> float:
    """Return the rate up to which the chart reaches: all points, and most of their intervals.

    The band of the spline may leave it at the ends of training, where little is known.
    """
    parts = rate_in_parts(fit)
    ends = parts.rate if fit.has_copies else parts.high
    return float(ROOM * max(ends.max(), fit.rate_per_window))


def _ends(fit: PoissonResult, parts: Windows) -> tuple[FloatArray, FloatArray]:
    """Return exact intervals of shares; those of copies are undefined."""
    if fit.has_copies:
        nothing_known = np.full(len(parts.counts), np.nan)
        return nothing_known, nothing_known
    low, high = binomial_interval(parts.counts, parts.exposures)
    return np.asarray(low, float), np.asarray(high, float)


def rate_over_training(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the rate in equal parts with exact 95% intervals, the log-linear fit and the spline.

    The shaded band holds the whole spline at once with 95% confidence; known cuts are dotted. Of
    copies there are neither intervals nor a band.
    """
    ax = axes_for(ax, "Rate over training")
    if not fit.events.exposure:
        return nothing(ax, "no exposed sequence was scanned")
    parts, window = rate_in_parts(fit), fit.window
    x, rate = parts.x, parts.rate
    error = np.nan_to_num(np.maximum([rate - parts.low, parts.high - rate], 0.0))
    if not fit.has_copies:
        ax.errorbar(x, rate, error, fmt="none", ecolor=GREY, elinewidth=0.8)
    ax.plot(x, rate, "o", color=INK, ms=2.5)
    ax.axhline(fit.rate_per_window, color=GREY, ls="--", lw=0.8)
    ends: Ends = [(fit.rate_per_window, "mean", GREY)]
    if not fit.trend.reason:
        ends = [*ends, *_fitted_curves(ax, fit)]
    bottom, top = float((rate - error[0]).min()), float((rate + error[1]).max())
    room = 0.06 * (top - bottom) or max(top, 1.0)
    ax.set_ylim(max(bottom - room, -0.03 * top) if bottom < top else 0, top + room)
    training_axis(ax, fit)
    ax.set_ylabel(f"memorized per {window:,} sequences")
    subtitle(ax, _of_parts(fit, len(rate)))
    name_ends(ax, ends)
    return ax


def _of_parts(fit: PoissonResult, parts: int) -> str:
    """Say what the points are, and what the band is."""
    if fit.has_copies:
        return f"{parts} parts, copies counted each: no intervals"
    band = "; band: spline" if len(fit.spline.u) and not fit.trend.reason else ""
    return f"{parts} parts, exact 95% intervals{band}"


def cumulative_deviation(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw how far the cumulative share of events runs ahead of the share of sequences.

    The band is the Kolmogorov-Smirnov bound with the finite-population correction: 95% of random
    orders stay inside it everywhere.
    """
    spread, events = fit.uniformity, fit.events
    ax = axes_for(ax, "Cumulative count, less an even spread")
    if spread.reason:
        return nothing(ax, spread.reason)
    before, after = deviations(events.ranks, events.exposure)
    kept = np.unique(np.linspace(0, events.n_events - 1, CURVE).astype(np.int64))
    kept = np.union1d(kept, [np.abs(before).argmax(), np.abs(after).argmax()])
    # Every event is a jump: from just before it to just after it.
    x = position(fit, np.repeat(events.positions[kept], 2))
    y = 100 * np.column_stack((before[kept], after[kept])).ravel()
    bound = 100 * spread.ks_critical95
    ends = position(fit, np.array([0.0, events.n]))
    ax.fill_between(ends, -bound, bound, color=PALE, lw=0, alpha=0.6)
    ax.plot([ends[0], *x, ends[1]], [0.0, *y, 0.0], color=BLUE, lw=1.1)
    ax.axhline(0, color=INK, lw=0.8)
    largest = int(np.abs(y).argmax())
    ax.plot(x[largest], y[largest], "o", color=RED, ms=3.5)
    subtitle(ax, f"KS distance {percent(spread.ks)}; band: 95% in random order")
    span = 1.1 * max(bound, np.abs(y).max())
    ax.set_ylim(-span, span)
    training_axis(ax, fit)
    ax.set_ylabel("events ahead, % of all events")
    return ax


def relative_parts(fit: PoissonResult, order: Order) -> RateInParts:
    """Return the rate over its mean in tenths of an order, with exact 95% intervals.

    Args:
        fit: The fit, which has the training axis.
        order: All of its rows, or those whose text occurs once: independent ones.
    """
    events, mean = order.events, order.events.fraction
    length = -(-events.n // TENTHS)
    tenths = events.windows(length)
    stop = np.minimum(tenths.start + length, events.n)
    ends = binomial_interval(tenths.counts, tenths.exposures)
    low, high = (np.asarray(end, float) / mean for end in ends)
    middle = (tenths.start + stop) / 2 / events.n * fit.events.n
    rate = tenths.counts / tenths.exposures / mean
    x = position(fit, middle)
    return RateInParts(tenths.start, stop, x, tenths.counts, tenths.exposures, rate, low, high)


def relative_rate(fit: PoissonResult, order: Order, ax: "Axes") -> float:
    """Draw the rate over its mean in tenths of an order, with the spline's band: a small panel.

    Returns:
        The highest of the tenths.
    """
    ax.set_title(fit.events.label or "fit", loc="left")
    parts, mean = relative_parts(fit, order), order.events.fraction
    error = np.maximum([parts.rate - parts.low, parts.high - parts.rate], 0.0)
    ax.plot(parts.x, parts.rate, "o", color=INK, ms=2.5)
    ax.errorbar(parts.x, parts.rate, error, fmt="none", ecolor=GREY, elinewidth=0.8)
    curve = order.spline
    if len(curve.u):
        u = position(fit, curve.u * fit.events.n)
        ax.fill_between(u, curve.low / mean, curve.high / mean, color=PALE, lw=0, alpha=0.7)
        ax.plot(u, curve.rate / mean, color=BLUE, lw=1.4)
    ax.axhline(1, color=GREY, ls="--", lw=1)
    training_axis(ax, fit)
    ax.tick_params(labelleft=True)
    return float(parts.rate.max())


def residuals(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw quantile residuals of counts in equal parts of training under the best model.

    A residual is standard normal if the model holds; the dashed lines bound all of them in 95% of
    cases.
    """
    ax = axes_for(ax, "What the best model leaves")
    if fit.trend.reason:
        return nothing(ax, fit.trend.reason)
    events = fit.events
    length = -(-events.n // RESIDUALS)
    r = np.random.default_rng(fit.seed).random(len(events.windows(length).counts))
    z = np.clip(count_residuals(events, fit.best, length, r), -FARTHEST, FARTHEST)
    x = position(fit, events.windows(length).start + length / 2)
    bound = float(stats.norm.isf(0.025 / len(z)))
    ax.vlines(x, 0, z, color=PALE, lw=0.6)
    outside = np.abs(z) > bound
    ax.scatter(x, z, 4, color=np.where(outside, RED, BLUE).tolist())
    ax.axhline(0, color=INK, lw=0.8)
    for side in (-bound, bound):
        ax.axhline(side, color=GREY, lw=1, ls="--")
    span = 1.1 * max(bound, float(np.abs(z).max()))
    ax.set_ylim(-span, span)
    left = fit.checks.rescaling
    note = left.reason and f"gaps rescaled by it: undefined, {left.reason}"
    note = note or (
        f"its gaps: KS distance {number(left.ks, 2)} ({p_text(left.p_value)})\n"
        f"of neighbours: correlation {number(left.autocorrelation, 2)} "
        f"({p_text(left.autocorrelation_p_value)})"
    )
    subtitle(ax, f"best model: {fit.best.name}\n{note}")
    training_axis(ax, fit)
    ax.set_ylabel(f"normal score, {count(len(z), 'part')}")
    return ax


def _fitted_curves(ax: "Axes", fit: PoissonResult) -> Ends:
    """Draw the spline and the log-linear fit; return where they end."""
    curve, u = fit.spline, np.linspace(0, 1, 200)
    ends: list[tuple[float, str, str]] = []
    if len(curve.u):
        x = position(fit, curve.u * fit.events.n)
        if not fit.has_copies:
            band = (curve.low * fit.window, curve.high * fit.window)
            ax.fill_between(x, *band, color=PALE, lw=0, alpha=0.7)
        ax.plot(x, curve.rate * fit.window, color=BLUE, lw=1.4)
        ends.append((float(curve.rate[-1]) * fit.window, "spline", BLUE))
    rate = fit.trend.density(u) / fit.events.n * fit.window
    x = position(fit, u * fit.events.n)
    ax.plot(x, rate, color=RED, lw=1)
    return [*ends, (float(rate[-1]), "log-linear", RED)]
