"""Figures of extraction: the share over the number of samples, and the probabilities themselves."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.likelihood.extraction.result import ExtractionResult, least_known
from memtrace.likelihood.extraction.sequences import PER_DECADE, histogram_edges
from memtrace.likelihood.extraction.verdict import verdict
from memtrace.report.figures import (
    BLUE,
    GREY,
    HEIGHT,
    INK,
    PAGE,
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
from memtrace.report.numbers import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = ("exposed", "unexposed")
"""Classes of texts that have curves."""
COLOURS = {"exposed": BLUE, "copy_exposed": GREY, "unexposed": RED}


def share_over_samples(fit: ExtractionResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of texts that n samples return, for each chance, and what is chance."""
    ax = axes_for(ax, "Texts that n samples return")
    drawn = [name for name in DRAWN if _texts(fit, name)]
    widths = np.linspace(0.7, 1.6, len(fit.ps))
    lowest = 1.0
    ends: list[tuple[float, str, str]] = []
    inside: dict[str, Any] = {
        "xycoords": ax.get_yaxis_transform(),
        "textcoords": "offset points",
    }
    for name in drawn:
        for p, width in zip(fit.ps, widths, strict=True):
            n, share = fit.curve(name, p)
            seen = share > 0
            if not seen.any():
                continue
            ax.plot(n[seen], share[seen], color=COLOURS[name], lw=width)
            ends.append((float(share[seen][-1]), f"{name}, {percent(p)}", COLOURS[name]))
            lowest = min([lowest, *share[seen]])
        greedy = fit.greedy[name]
        if greedy.texts:
            ax.axhline(greedy.share, color=COLOURS[name], lw=0.8, ls=":")
            ax.annotate("greedy", (0, greedy.share), (2, 2), color=COLOURS[name], **inside)
            lowest = min(lowest, greedy.share)
    if not ax.lines:
        return nothing(ax, "no text is returned")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(lowest / 2, 1.2 * ax.get_ylim()[1])
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_xlabel("samples n")
    ax.set_ylabel("share of texts")
    subtitle(ax, "with a chance of so much or more")
    name_ends(ax, ends)
    return ax


def probabilities(fit: ExtractionResult, ax: "Axes | None" = None) -> "Axes":
    """Draw how many sequences have which probability, by exposure, both on logarithmic axes."""
    ax = axes_for(ax, "Probability of the continuation")
    edges = histogram_edges()[::PER_DECADE]
    known = least_known(fit.min_probability) / np.log(10)
    seen = np.zeros(len(edges) - 1, bool)
    ends: list[tuple[float, str, str]] = []
    for name, one in fit.classes.items():
        total = one.counts.exposure
        if not total:
            continue
        counts = one.histogram.reshape(-1, PER_DECADE).sum(axis=1)
        seen |= counts > 0
        share = np.where(counts > 0, counts / total, np.nan)
        ax.stairs(share, edges, baseline=None, color=COLOURS[name], lw=1.2)
        known_share = share[np.isfinite(share)]
        if len(known_share):
            ends.append((float(known_share[-1]), name.replace("_", " "), COLOURS[name]))
    if not seen.any():
        return nothing(ax, "no probability is known")
    if np.isfinite(known):
        ax.axvline(known, color=INK, lw=0.8, ls="--")
    first = int(np.flatnonzero(seen)[0])
    ax.set_xlim(edges[first] - 0.5, 0.5)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"$10^{{{value:.0f}}}$")
    ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    ax.set_xlabel("probability of the continuation, given the prompt")
    ax.set_ylabel("share of sequences")
    stopped = "; dashed: where the scan stopped" if np.isfinite(known) else ""
    subtitle(ax, f"by power of ten, of all sequences of a class{stopped}")
    name_ends(ax, ends)
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


def shown(fit: ExtractionResult) -> list[str]:
    """Return the names of the figures that have something to show."""
    curves = (fit.curve(name, p)[1] for name in DRAWN for p in fit.ps if _texts(fit, name))
    returned = any(bool((share > 0).any()) for share in curves)
    greedy = any(fit.greedy[name].texts for name in DRAWN)
    known = any(one.histogram.any() for one in fit.classes.values())
    there = {"samples": returned or greedy, "probabilities": known}
    return [name for name in FIGURES if there[name]]


def overview(fit: ExtractionResult) -> "Figure":
    """Draw the figures that have something to show side by side under the verdict."""
    names = shown(fit)
    with styled():
        figure = new_figure(PAGE, HEIGHT + 0.8)
        for place, name in enumerate(names):
            FIGURES[name](fit, figure.add_subplot(1, len(names), place + 1))
        write_heading(figure, verdict(fit), fit.label)
        keep_sources(figure, [fit.source])
    return figure


def single(fit: ExtractionResult, name: str) -> "Figure":
    """Draw one of `FIGURES` alone."""
    return single_figure(partial(FIGURES[name], fit), fit.label, [fit.source])


def _texts(fit: ExtractionResult, name: str) -> int:
    return fit.classes[name].counts.texts
