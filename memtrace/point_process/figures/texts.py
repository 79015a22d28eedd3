"""Figures whose unit is the text: how many are memorized by their copies, and by exposure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.result import PoissonResult
from memtrace.report.figures import BLUE, GREY, axes_for, nothing, percent_axis, subtitle
from memtrace.report.numbers import count, percent
from memtrace.texts.exposure import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NARROW = 36
"""Characters of a line below the title: names take room at the left."""
Share = tuple[str, int, int]
"""A name, memorized texts, and all texts."""


def texts_by_copies(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the shares of memorized texts by how often they occur, with exact intervals."""
    ax = axes_for(ax, "Texts, by how often they occur")
    if fit.by_text is None:
        return nothing(ax, f"texts are not known: {fit.by_text_reason}")
    rates = fit.by_text.rates
    shares = [("all", rates.event_texts, rates.texts)]
    shares += [(one.name, one.events, one.texts) for one in fit.by_text.strata]
    _draw(ax, shares)
    rows = count(fit.events.n_events, "memorized row is", "memorized rows are")
    note = f"{rows} {count(rates.event_texts, 'text')}"
    if rates.event_texts:
        note += f"; the largest has {percent(rates.largest_share)} of the rows"
    subtitle(ax, note, NARROW)
    return ax


def exposed_and_unexposed(fit: PoissonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the shares of memorized texts by class of exposure, with exact intervals.

    Near-copies count as copies.
    """
    ax = axes_for(ax, "Exposed, and not")
    if fit.by_text is None:
        return nothing(ax, f"no control group: {fit.by_text_reason}")
    classes = ((name, getattr(fit.by_text.classes, name)) for name in CLASSES)
    _draw(ax, [(name.replace("_", " "), one.event_texts, one.texts) for name, one in classes])
    return ax


def _draw(ax: "Axes", shares: Sequence[Share]) -> None:
    """Draw one share below the other."""
    places = range(len(shares) - 1, -1, -1)
    for place, (_, events, texts) in zip(places, shares, strict=True):
        if not texts:
            continue
        share = events / texts
        low, high = map(float, binomial_interval(events, texts))
        ends = [[share - low], [high - share]]
        ax.errorbar([share], [place], xerr=ends, fmt="o", ms=4, color=BLUE, ecolor=GREY)
    labels = [f"{name}\n{events:,} of {texts:,}" for name, events, texts in shares]
    ax.set_yticks(list(places), labels)
    ax.set_ylim(-0.8, len(shares) - 0.2)
    ax.set_xlim(left=0)
    percent_axis(ax.xaxis)
    ax.set_xlabel("share of texts memorized, 95% intervals")
