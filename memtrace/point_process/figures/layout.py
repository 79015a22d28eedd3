"""Which figures a fit has, all of them under its verdict, and many fits side by side."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from memtrace.point_process.figures.texts import exposed_and_unexposed, texts_by_copies
from memtrace.point_process.figures.training import (
    cumulative_deviation,
    rate_over_training,
    relative_rate,
    residuals,
)
from memtrace.point_process.figures.windows import fano_curve, hanging_rootogram, qq_window_counts
from memtrace.point_process.order import FEW_EVENTS
from memtrace.point_process.result import PoissonResult
from memtrace.point_process.verdict import verdict
from memtrace.report.figures import (
    HEIGHT,
    PAGE,
    keep_sources,
    new_figure,
    single_figure,
    styled,
    write_heading,
)
from memtrace.report.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[[PoissonResult, "Axes | None"], "Axes"]
FIGURES: dict[str, Draw] = {
    "rate": rate_over_training,
    "cumulative": cumulative_deviation,
    "fano": fano_curve,
    "residuals": residuals,
    "rootogram": hanging_rootogram,
    "qq": qq_window_counts,
    "texts": texts_by_copies,
    "control": exposed_and_unexposed,
}
COLUMNS = 3
"""Of small multiples."""


def shown(fit: PoissonResult) -> list[str]:
    """Return the names of the figures that have something to show for this fit."""
    some = 0 < fit.events.n_events < fit.events.exposure
    there = {
        "rate": some,
        "cumulative": fit.uniformity.reason is None,
        "fano": some and bool(np.isfinite(fit.checks.fano.fano).any()),
        "residuals": fit.trend.reason is None,
        "rootogram": some,
        "qq": some,
        "texts": fit.has_copies,
        "control": fit.by_text is not None and bool(fit.events.not_exposed_exposure),
    }
    return [name for name in FIGURES if there[name]]


def overview(fit: PoissonResult) -> "Figure":
    """Draw all figures that the fit has in two columns under its verdict."""
    names = shown(fit)
    rows = -(-len(names) // 2)
    with styled():
        figure = new_figure(PAGE, HEIGHT * rows + 0.8)
        if names:
            grid = figure.add_gridspec(rows, 2)
            for i, name in enumerate(names):
                alone = i == len(names) - 1 and i % 2 == 0
                place = grid[i // 2, :] if alone else grid[i // 2, i % 2]
                FIGURES[name](fit, figure.add_subplot(place))
        write_heading(figure, verdict(fit), _heading(fit))
        keep_sources(figure, [fit.events.source])
    return figure


def single(fit: PoissonResult, name: str) -> "Figure":
    """Draw one of `FIGURES` alone, under the fit's label."""
    draw = partial(FIGURES[name], fit)
    return single_figure(draw, fit.events.label, [fit.events.source])


def small_multiples(fits: Sequence[PoissonResult]) -> "Figure":
    """Draw the rate over training of several fits side by side, on one scale of relative rates.

    With copies it is the rate of texts that occur once. Fits without a drift, for want of events,
    are left out; the title says how many.
    """
    drawn = [(fit, fit.primary) for fit in fits if fit.primary is not None]
    columns = min(max(len(drawn), 2), COLUMNS)
    rows = max(-(-len(drawn) // columns), 1)
    title = "Rate over training, relative to its mean"
    if len(drawn) < len(fits):
        left_out = count(len(fits) - len(drawn), "fit")
        title += f" ({left_out} of fewer than {FEW_EVENTS} events left out)"
    with styled():
        figure = new_figure(PAGE, 1.7 * rows + 0.5)
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for ax in axes.flat[len(drawn) :]:
            ax.set_axis_off()
        placed = zip(drawn, axes.flat, strict=False)
        tops = [relative_rate(fit, order, ax) for (fit, order), ax in placed if order]
        # The widest interval must not flatten all others: it may leave its panel.
        axes[0, 0].set_ylim(0, 1.35 * max([1.5, *tops]))
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        figure.supylabel("rate / mean rate")
        keep_sources(figure, [fit.events.source for fit in fits])
    return figure


def _heading(fit: PoissonResult) -> str:
    events = fit.events
    seen = f"{events.n_events:,} memorized of {events.exposure:,} sequences"
    if events.not_exposed_exposure:
        seen += f", {events.not_exposed_events:,} of {events.not_exposed_exposure:,} not exposed"
    return f"{events.label or 'Poisson fit'}: {seen}"
