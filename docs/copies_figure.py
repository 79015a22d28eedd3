"""Draw the figure of the page on copies: intervals by row and by text, of simulated runs."""

from pathlib import Path

import numpy as np

from memtrace.point_process.models.constant import binomial_interval
from memtrace.report.figures import BLUE, GREY, RED, encoded, new_figure, styled

RUNS, TEXTS, CHANCE = 40, 4000, 0.01


def draw(path: Path) -> None:
    """Write `path`: 40 runs in which each text is memorized with a chance of 1%, copies and all."""
    rng = np.random.default_rng(14)
    copies = np.minimum(np.ceil(rng.pareto(1.2, TEXTS) + 1e-9), 400).astype(int)
    held = rng.random((RUNS, TEXTS)) < CHANCE
    by_row = (held @ copies, np.full(RUNS, copies.sum()))
    by_text = (held.sum(axis=1), np.full(RUNS, TEXTS))
    with styled():
        figure = new_figure(8.4, 4.6)
        axes = figure.subplots(1, 2, sharey=True, sharex=True)
        for ax, unit, (events, total) in zip(axes, ("row", "text"), (by_row, by_text), strict=True):
            low, high = binomial_interval(events, total)
            missed = (low > CHANCE) | (high < CHANCE)
            for color, part in ((BLUE, ~missed), (RED, missed)):
                at = np.flatnonzero(part)
                ax.hlines(at, 100 * low[part], 100 * high[part], color=color, lw=1.4)
                ax.plot(100 * (events / total)[part], at, ".", color=color, ms=4)
            ax.axvline(100 * CHANCE, color=GREY, ls="--", lw=1)
            ax.set_title(f"By {unit}: {missed.sum()} of {RUNS} intervals miss 1%", fontsize=10)
            ax.set_xlabel(f"share of {unit}s that are memorized, %")
            ax.set_yticks([])
        axes[0].set_ylabel("simulated runs")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(figure).svg)
