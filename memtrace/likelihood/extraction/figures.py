"""Figures of extraction: the share over the number of samples, and the probabilities themselves."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from memtrace.likelihood.extraction.result import ExtractionResult, least_known
from memtrace.likelihood.extraction.sequences import PER_DECADE, histogram_edges
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.figures import (
    BLUE,
    GREY,
    INK,
    RED,
    axes_for,
    new_figure,
    nothing,
    single_figure,
    styled,
    write_heading,
    write_sources,
)
from memtrace.report.numbers import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 12.0, 5.4
COLOURS = {"exposed": BLUE, "copy_exposed": GREY, "unexposed": RED}


def share_over_samples(fit: ExtractionResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of texts that n samples return, for each chance, and what is chance."""
    ax = axes_for(ax, "Texts that n samples return")
    drawn = [name for name in ("exposed", "unexposed") if fit.classes[name].counts.texts]
    widths = np.linspace(0.9, 2.4, len(fit.ps))
    lowest = 1.0
    for name in drawn:
        for p, width in zip(fit.ps, widths, strict=True):
            n, share = fit.curve(name, p)
            label = f"{name.replace('_', ' ')}, chance {percent(p)} or more"
            ax.plot(n, np.where(share > 0, share, np.nan), color=COLOURS[name], lw=width,
                    label=label)  # fmt: skip
            lowest = min([lowest, *share[share > 0]])
        greedy = fit.greedy[name]
        if greedy.texts:
            ax.axhline(greedy.share, color=COLOURS[name], lw=1, ls=":",
                       label=f"{name.replace('_', ' ')}, greedy decoding")  # fmt: skip
            lowest = min(lowest, greedy.share)
    if lowest == 1:
        return nothing(ax, "no text is returned")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(lowest / 2, None)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_xlabel("samples n")
    ax.set_ylabel("share of texts")
    ax.legend(loc="upper left", fontsize=7.5)
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top * (top / bottom) ** 0.5)
    return ax


def probabilities(fit: ExtractionResult, ax: "Axes | None" = None) -> "Axes":
    """Draw how many sequences have which probability, by exposure, both on logarithmic axes."""
    ax = axes_for(ax, "Probability of the continuation")
    edges = histogram_edges()[::PER_DECADE]
    known = least_known(fit.min_probability) / np.log(10)
    seen = np.zeros(len(edges) - 1, bool)
    for name, one in fit.classes.items():
        total = one.counts.exposure
        if not total:
            continue
        counts = one.histogram.reshape(-1, PER_DECADE).sum(axis=1)
        seen |= counts > 0
        share = np.where(counts > 0, counts / total, np.nan)
        label = f"{name.replace('_', ' ')}, {total:,} sequences"
        if one.below:
            label += f" ({one.below:,} further left)"
        ax.stairs(share, edges, baseline=None, color=COLOURS[name], lw=1.4, label=label)
    if not seen.any():
        return nothing(ax, "no probability is known")
    if np.isfinite(known):
        ax.axvline(known, color=INK, lw=1, ls="--", label="where the scan stopped")
    first = int(np.flatnonzero(seen)[0])
    ax.set_xlim(edges[first] - 0.5, 0.5)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"$10^{{{value:.0f}}}$")
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_xlabel("probability p of the continuation, given the prompt")
    ax.set_ylabel("share of sequences, by power of ten")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top * (top / bottom) ** 0.25)
    ax.legend(loc="upper left")
    return ax


FIGURES: dict[str, Callable[[ExtractionResult, "Axes | None"], "Axes"]] = {
    "samples": share_over_samples,
    "probabilities": probabilities,
}
CAPTIONS = {
    "samples": "Share of texts of which at least one of n samples is the continuation, with a "
    "chance of p or more. What unexposed texts give is chance.",
    "probabilities": "Probability of the continuation given the prompt, of all scanned sequences.",
}


def overview(fit: ExtractionResult) -> "Figure":
    """Draw both figures side by side under the verdict."""
    with styled():
        figure = new_figure(WIDTH, HEIGHT)
        for place, draw in enumerate(FIGURES.values()):
            draw(fit, figure.add_subplot(1, 2, place + 1))
        write_heading(figure, verdict(fit), fit.label)
        write_sources(figure, [fit.source])
    return figure


def single(fit: ExtractionResult, name: str) -> "Figure":
    """Draw one of `FIGURES` alone."""
    return single_figure(partial(FIGURES[name], fit), fit.label, [fit.source])
