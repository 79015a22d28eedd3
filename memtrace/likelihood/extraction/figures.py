"""Figures of extraction: the share over the number of samples, and the probabilities themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.likelihood.extraction.result import ExtractionResult, least_known
from memtrace.likelihood.extraction.sequences import PER_DECADE, ClassLikelihoods, histogram_edges
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
    percent_axis,
    single_figure,
    styled,
    subtitle,
    write_heading,
)
from memtrace.report.numbers import count, interval, percent
from memtrace.types import FloatArray, Int64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = ("exposed", "unexposed")
"""Classes of texts that have curves."""
LINES = {"exposed": "-", "unexposed": "--"}
COLOURS = {"exposed": BLUE, "copy_exposed": GREY, "unexposed": RED}


@dataclass(frozen=True, eq=False)
class Curve:
    """The share of a class that so many samples return with a chance, where it is above 0."""

    name: str
    """The class."""
    p: float
    n: FloatArray
    """Samples, shape (points,)."""
    share: FloatArray
    """Of the texts, shape (points,)."""


def curves(fit: ExtractionResult) -> list[Curve]:
    """Return the curves that have points, class by class."""
    found = []
    for name in DRAWN:
        for p in fit.ps if _texts(fit, name) else ():
            n, share = fit.curve(name, p)
            seen = np.isfinite(share) & (share > 0)
            if seen.any():
                found.append(Curve(name, p, n[seen], share[seen]))
    return found


def middle_chance(fit: ExtractionResult) -> float:
    """Return the chance nearest to one half, of those that have a curve or else of all."""
    chances = {one.p for one in curves(fit)} or set(fit.ps)
    return min(sorted(chances), key=lambda p: abs(p - 0.5))


def without_curves(fit: ExtractionResult) -> str:
    """Return why there is nothing to draw against the number of samples, or nothing."""
    drawn = curves(fit)
    if not drawn:
        return (
            f"Up to {count(max(fit.ns), 'sample')} are not known to return any {fit.unit} with "
            f"a chance of {percent(min(fit.ps))} or more, so there is no curve to draw."
        )
    levels = np.unique(np.concatenate([one.share for one in drawn]))
    if len(levels) == 1 or max(len(one.n) for one in drawn) == 1:
        ends = interval((float(levels[0]), float(levels[-1])), percent)
        at = percent(float(levels[0])) if len(levels) == 1 else ends
        return (
            f"Every number of samples that returns any {fit.unit} returns {at} of them: no curve "
            "rises."
        )
    return ""


def share_over_samples(fit: ExtractionResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of texts that n samples return with the middle chance, and what is chance."""
    ax = axes_for(ax, titled(fit, "samples"))
    if without_curves(fit):
        return nothing(ax, "no curve rises")
    middle = middle_chance(fit)
    ends: list[tuple[float, str, str]] = []
    lowest, highest = 1.0, 0.0
    inside: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
    for one in (curve for curve in curves(fit) if curve.p == middle):
        colour, line = COLOURS[one.name], LINES[one.name]
        ax.plot(one.n, one.share, line, color=colour, lw=1.4, marker="o", ms=2,
                markevery=[-1])  # fmt: skip
        ends.append((float(one.share[-1]), fit.called(one.name), colour))
        lowest, highest = min(lowest, one.share.min()), max(highest, one.share.max())
    for name in DRAWN:
        greedy = fit.greedy[name]
        if greedy.texts:
            ax.axhline(greedy.share, color=COLOURS[name], lw=0.8, ls=":")
            ax.annotate("greedy", (0, greedy.share), (2, 2), color=COLOURS[name], **inside)
            lowest, highest = min(lowest, greedy.share), max(highest, greedy.share)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(lowest / 1.5, min(1.5 * highest, 1.1))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    percent_axis(ax.yaxis)
    ax.set_xlabel("samples n")
    ax.set_ylabel(f"share of {fit.unit}s")
    subtitle(ax, f"with a chance of {percent(middle)} or more")
    name_ends(ax, ends)
    return ax


def probabilities(fit: ExtractionResult, ax: "Axes | None" = None) -> "Axes":
    """Draw how many sequences have which probability, by exposure, both on logarithmic axes."""
    ax = axes_for(ax, titled(fit, "probabilities"))
    edges = histogram_edges()[::PER_DECADE]
    known, seen = least_known(fit.min_probability) / np.log(10), _filled(fit)
    ends: list[tuple[float, str, str]] = []
    for name, one in fit.classes.items():
        total = one.counts.exposure
        if not total:
            continue
        counts = _by_decade(one)
        share = np.where(counts > 0, counts / total, np.nan)
        ax.stairs(share, edges, baseline=None, color=COLOURS[name], lw=1.2)
        known_share = share[np.isfinite(share)]
        if len(known_share):
            ends.append((float(known_share[-1]), fit.called(name), COLOURS[name]))
    if len(seen) < 2:
        return nothing(ax, "all known probabilities lie within one power of ten")
    if np.isfinite(known):
        ax.axvline(known, color=INK, lw=0.8, ls="--")
    ax.set_xlim(edges[seen[0]] - 0.5, 0.5)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"$10^{{{value:.0f}}}$")
    percent_axis(ax.yaxis)
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


def titled(fit: ExtractionResult, name: str) -> str:
    """Return the title of one of `FIGURES`."""
    if name == "probabilities":
        return "Probability of the continuation"
    return f"{fit.unit.capitalize()}s that n samples return"


def captioned(fit: ExtractionResult, name: str) -> str:
    """Return the caption of one of `FIGURES`."""
    if name == "probabilities":
        return "Probability of the continuation given the prompt, of all scanned sequences."
    told = (
        f"Share of {fit.unit}s that n samples return at least once, with the chance named or a "
        "higher one."
    )
    if any(fit.greedy[name].texts for name in DRAWN):
        told += " Dotted lines are greedy decoding."
    if "unexposed" not in {one.name for one in curves(fit)}:
        return told
    if fit.condition:
        return f"{told} Copies of exposed sequences may be among the unexposed ones."
    return f"{told} What unexposed texts give is chance."


def shown(fit: ExtractionResult) -> list[str]:
    """Return the names of the figures that have something to show: two points that differ."""
    there = {"samples": not without_curves(fit), "probabilities": len(_filled(fit)) > 1}
    return [name for name in FIGURES if there[name]]


def overview(fit: ExtractionResult) -> "Figure":
    """Draw the figures that have something to show side by side under the verdict."""
    names = shown(fit)
    with styled():
        figure = new_figure(PAGE, (HEIGHT if names else 0) + 0.8)
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


def _by_decade(one: ClassLikelihoods) -> Int64Array:
    """Return the sequences of a class by power of ten of their probability."""
    return np.asarray(one.histogram.reshape(-1, PER_DECADE).sum(axis=1), np.int64)


def _filled(fit: ExtractionResult) -> Int64Array:
    """Return the places of the powers of ten that have sequences of any class."""
    counts = np.stack([_by_decade(one) for one in fit.classes.values()])
    return np.flatnonzero(counts.sum(axis=0))
