"""Whole pages: every figure of a fit under its verdict, and many fits side by side.

It arranges figures and draws none.
"""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memtrace.point_process.figures.training import (
    cumulative_deviation,
    exposed_and_unexposed,
    rate_over_training,
    relative_rate,
    residuals,
)
from memtrace.point_process.figures.windows import fano_curve, hanging_rootogram, qq_window_counts
from memtrace.report.figures import GREY, new_figure, styled, write_figure, write_sources

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memtrace.point_process.fit import PoissonFit

FIGURES: dict[str, Callable[["PoissonFit", "Axes | None"], "Axes"]] = {
    "rate": rate_over_training,
    "cumulative": cumulative_deviation,
    "fano": fano_curve,
    "residuals": residuals,
    "rootogram": hanging_rootogram,
    "qq": qq_window_counts,
    "control": exposed_and_unexposed,
}


def page(fit: "PoissonFit") -> "Figure":
    """Draw all figures on one page under the verdict."""
    with styled():
        figure = new_figure(12, 17)
        grid = figure.add_gridspec(4, 2, height_ratios=(3, 3, 3, 1.4))
        for i, draw in enumerate(FIGURES.values()):
            last = i == len(FIGURES) - 1
            draw(fit, figure.add_subplot(grid[3, :] if last else grid[i // 2, i % 2]))
        text = f"{_heading(fit)}\n{textwrap.fill(fit.verdict, 140)}"
        figure.suptitle(text, x=0.01, ha="left", fontsize=11)
        write_sources(figure, _sources([fit]))
    return figure


def small_multiples(fits: "Sequence[PoissonFit]") -> "Figure":
    """Draw the rate over training of several fits side by side, on one scale of relative rates."""
    columns = min(len(fits), 4)
    rows = -(-len(fits) // columns)
    with styled():
        figure = new_figure(3.2 * columns, 2.5 * rows + 0.4)
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for ax in axes.flat[len(fits) :]:
            ax.set_axis_off()
        for fit, ax in zip(fits, axes.flat[: len(fits)], strict=True):
            relative_rate(fit, ax)
        figure.suptitle("Rate over training, relative to its mean", x=0.01, ha="left", fontsize=11)
        write_sources(figure, _sources(fits))
    return figure


def save(fit: "PoissonFit", folder: Path, prefix: str = "") -> None:
    """Write each figure and the page as PNG and SVG into `folder`, names beginning with `prefix`.

    Raises:
        OSError: The folder cannot be written.
    """
    for name, draw in FIGURES.items():
        write_figure(_single(fit, draw), folder / f"{prefix}{name}")
    write_figure(page(fit), folder / f"{prefix}page")


def _single(fit: "PoissonFit", draw: Callable[["PoissonFit", "Axes | None"], "Axes"]) -> "Figure":
    with styled():
        figure = new_figure()
        draw(fit, figure.add_subplot())
        if fit.events.label:
            figure.suptitle(fit.events.label, x=0.01, ha="left", fontsize=9.5, color=GREY)
        write_sources(figure, _sources([fit]))
    return figure


def _heading(fit: "PoissonFit") -> str:
    events = fit.events
    seen = f"{events.n_events:,} memorized of {events.exposure:,} sequences"
    if events.unexposed_exposure:
        seen += f", {events.unexposed_events:,} of {events.unexposed_exposure:,} not yet trained on"
    return f"{events.label or 'Poisson fit'}: {seen}"


def _sources(fits: "Sequence[PoissonFit]") -> list[str]:
    """Return which runs the fits came from."""
    return [fit.events.source for fit in fits if fit.events.source]
