"""Figures of order in likelihoods: the effect by age, and what exposure adds."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from memtrace.likelihood.order.result import OrderResult
from memtrace.likelihood.order.verdict import verdict
from memtrace.report.figures import (
    BLUE,
    GREY,
    HEIGHT,
    INK,
    PAGE,
    PALE,
    RED,
    axes_for,
    keep_sources,
    name_ends,
    new_figure,
    nothing,
    single_figure,
    styled,
    subtitle,
    write_heading,
)
from memtrace.report.numbers import count, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLOSE = 2.5
"""Factor of age between two ticks below which their labels touch."""
TICKS = 6
"""On an axis of checkpoints or ages, at most."""


def effect_by_age(fit: OrderResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the effect of exposure by age with its simultaneous band."""
    ax = axes_for(ax, "Effect by time since exposure")
    curve = fit.recency
    if not curve.bins:
        return nothing(ax, curve.reason or "no exposed row")
    x, y, low, high = _steps(fit)
    ax.fill_between(x, low, high, color=PALE, lw=0, alpha=0.7)
    ax.plot(x, y, color=BLUE, lw=1.4)
    ax.axhline(0, color=INK, lw=0.8)
    _age_axis(ax, fit)
    subtitle(ax, "mean difference; band: 95%, all ages at once")
    name_ends(ax, [(0.0, "seen longest\nago" if curve.relative else "unexposed", INK)])
    return ax


def what_exposure_adds(fit: OrderResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the difference of exposed and unexposed rows, raw and given the baseline."""
    ax = axes_for(ax, "Exposed minus unexposed")
    if fit.raw.reason:
        return nothing(ax, fit.raw.reason)
    found = {"difference": fit.raw}
    if fit.adjusted and not fit.adjusted.reason:
        found[f"given {fit.source.baseline}"] = fit.adjusted
    margin = fit.equivalence.margin * fit.tokens
    ax.axvspan(-margin, margin, color=PALE, lw=0, alpha=0.7)
    ax.axvline(0, color=INK, lw=0.8)
    for place, one in enumerate(reversed(found.values())):
        low, high = one.interval()
        ax.errorbar([one.nats], [place], xerr=[[one.nats - low], [high - one.nats]], fmt="o", ms=4,
                    color=BLUE, ecolor=GREY)  # fmt: skip
        ax.annotate(number(one.nats, 3), (one.nats, place), (0, 6), textcoords="offset points",
                    ha="center")  # fmt: skip
    ax.set_yticks(range(len(found)), list(found)[::-1])
    ax.set_ylim(-0.7, len(found) - 0.3)
    ax.margins(x=0.15)
    ax.set_xlabel("nats a sequence, 95% intervals")
    subtitle(ax, f"shaded: margin of {number(margin, 3)} nats")
    return ax


FIGURES: dict[str, Callable[[OrderResult, "Axes | None"], "Axes"]] = {
    "by-age": effect_by_age,
    "exposure": what_exposure_adds,
}
CAPTIONS = {
    "by-age": "Mean log-likelihood of exposed sequences by age, less that of unexposed ones at "
    "equal baseline. The band holds the whole curve at once with 95% confidence.",
    "exposure": "What training on a sequence adds to its log-likelihood, with 95% intervals.",
}


def shown(fit: OrderResult) -> list[str]:
    """Return the names of the figures that have something to show."""
    there = {"by-age": bool(fit.recency.bins), "exposure": fit.raw.reason is None}
    return [name for name in FIGURES if there[name]]


def overview(fit: OrderResult) -> "Figure":
    """Draw all figures that there are side by side under the verdict."""
    names = shown(fit)
    with styled():
        figure = new_figure(PAGE, HEIGHT + 0.8)
        for place, name in enumerate(names):
            FIGURES[name](fit, figure.add_subplot(1, len(names), place + 1))
        heading = f"{fit.source.label or 'Order in likelihoods'}: {fit.rows:,} sequences"
        write_heading(figure, verdict(fit), heading)
        keep_sources(figure, fit.source.runs)
    return figure


def single(fit: OrderResult, name: str) -> "Figure":
    """Draw one of `FIGURES` alone."""
    return single_figure(partial(FIGURES[name], fit), fit.source.label, fit.source.runs)


def curves(fits: Sequence[OrderResult]) -> "Figure":
    """Draw the effect by age of several checkpoints, and what exposure adds by checkpoint.

    What no checkpoint has is left out.
    """
    found = ((_all_curves, with_curve(fits)), (_by_step, with_difference(fits)))
    panels = [(draw, drawn) for draw, drawn in found if drawn]
    with styled():
        figure = new_figure(PAGE, HEIGHT + 0.3)
        for place, (draw, drawn) in enumerate(panels):
            draw(figure.add_subplot(1, len(panels), place + 1), drawn)
        keep_sources(figure, [source for fit in fits for source in fit.source.runs])
    return figure


def with_curve(fits: Sequence[OrderResult]) -> list[OrderResult]:
    """Return the checkpoints whose curve is measured against unexposed rows."""
    return [fit for fit in fits if fit.recency.bins and not fit.recency.relative]


def with_difference(fits: Sequence[OrderResult]) -> list[OrderResult]:
    """Return the checkpoints that have exposed and unexposed rows."""
    return [fit for fit in fits if not fit.difference.reason]


def _all_curves(ax: "Axes", drawn: Sequence[OrderResult]) -> None:
    ax.set_title("Effect by time since exposure", loc="left", fontweight="bold")
    for fit in drawn[:-1]:
        ax.plot(*_steps(fit)[:2], color=PALE, lw=1)
    x, y, low, high = _steps(drawn[-1])
    ax.fill_between(x, low, high, color=PALE, lw=0, alpha=0.5)
    ax.plot(x, y, color=BLUE, lw=1.4)
    ax.axhline(0, color=INK, lw=0.8)
    widest = max(drawn, key=lambda fit: fit.recency.bins[-1].steps_ago[1])
    _age_axis(ax, widest)
    earlier = f"; pale lines: {count(len(drawn) - 1, 'earlier checkpoint')}"
    last = f"{_name(drawn[-1])}, with its 95% band"
    subtitle(ax, f"dark line: {last}{earlier if len(drawn) > 1 else ''}")


def _by_step(ax: "Axes", drawn: Sequence[OrderResult]) -> None:
    ax.set_title("Exposed minus unexposed, by checkpoint", loc="left", fontweight="bold")
    x = np.arange(len(drawn))
    y = np.array([fit.difference.nats for fit in drawn])
    ends = np.array([fit.difference.interval() for fit in drawn])
    failed = np.array([bool(fit.controls.failed) for fit in drawn])
    for mask, colour in ((~failed, BLUE), (failed, RED)):
        if mask.any():
            error = np.abs(ends[mask] - y[mask, None]).T
            ax.errorbar(x[mask], y[mask], error, fmt="o", ms=3, color=colour, ecolor=GREY)
    ax.axhline(0, color=INK, lw=0.8)
    every = -(-len(drawn) // TICKS)
    ax.set_xticks(x[::-every], [_name(fit) for fit in drawn][::-every])
    ax.set_xlabel("checkpoint, training step")
    ax.set_ylabel("nats a sequence")
    note = "; red: a negative control fails" if failed.any() else ""
    subtitle(ax, f"95% intervals{note}")


def _name(fit: OrderResult) -> str:
    return fit.source.label if fit.source.step is None else f"{fit.source.step:,}"


def _steps(fit: OrderResult) -> "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]":
    """Return the curve and its band as a staircase over ages; ages count from 1 on a log axis."""
    bins = fit.recency.bins
    x = np.repeat([one.steps_ago for one in bins], 1, axis=0).ravel() + 1.0
    y = np.repeat([one.nats for one in bins], 2)
    low, high = (np.repeat([one.band95[side] for one in bins], 2) for side in (0, 1))
    return x, y, low, high


def _age_axis(ax: "Axes", fit: OrderResult) -> None:
    ages = [one.steps_ago for one in fit.recency.bins]
    ax.set_xscale("log", base=2)
    ticks = sorted({age for pair in ages for age in pair})
    every = max(1, -(-len(ticks) // TICKS))
    kept = ticks[::every]
    # The oldest age can lie close to the power of two before it.
    kept = [a for a, b in pairwise(kept) if (b + 1) / (a + 1) > CLOSE] + kept[-1:]
    ax.set_xticks([age + 1 for age in kept], [f"{age:,}" for age in kept])
    ax.minorticks_off()
    ax.set_xlabel(f"{fit.ages.unit}s since exposure")
    ax.set_ylabel("nats a sequence")
