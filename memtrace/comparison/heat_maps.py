"""Heat maps between runs: what one predicts of another, and what they have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memtrace.comparison.agreement import Agreement
from memtrace.comparison.result import ComparisonResult
from memtrace.report.figures import (
    BLUE,
    FONT,
    INK,
    LINE,
    SUBTITLE_WIDTH,
    axes_for,
    nothing,
    read_on,
    subtitle,
)
from memtrace.report.numbers import percent
from memtrace.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

DIGITS = 3.2
"""Width of a number in a cell, in sizes of the font."""
LETTER = 0.56 * FONT
"""Width of a letter in points, about."""
SHARES = ("#f1f6fa", BLUE, "#12304a")
"""Colours of 0% to 100%."""
FEW = 10
"""Texts below which a share is drawn pale: chance alone makes it high or low."""
FADED = 0.3
"""Opacity of what is drawn pale."""
INSIDE = 0.55
"""Of a panel's width and height, about what its axes leave to the cells."""


def precision(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the precision of each prediction as a heat map."""
    ax = axes_for(ax, "Precision of a prediction")
    told = "of the texts that the row memorized, the share that the column did"
    return _predicted(found, ax, "precision", told)


def recall(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw the recall of each prediction as a heat map."""
    ax = axes_for(ax, "Recall of a prediction")
    told = "of the texts that the column memorized, the share that the row did"
    return _predicted(found, ax, "recall", told)


def jaccard(found: ComparisonResult, ax: "Axes | None" = None) -> "Axes":
    """Draw Jaccard's index of each pair as a heat map."""
    ax = axes_for(ax, "Texts in common")
    places = sorted({place for one in found.drawn_overlaps for place in (one.a, one.b)})
    if not places:
        return nothing(ax, "there is one run")
    at = {place: row for row, place in enumerate(places)}
    values = np.full((len(places), len(places)), np.nan)
    few = np.zeros(values.shape, bool)
    for one in found.drawn_overlaps:
        a, b = at[one.a], at[one.b]
        values[a, b] = values[b, a] = one.agreement.jaccard.value
        few[a, b] = few[b, a] = texts_behind(one.agreement, "overlap") < FEW
    names = [found.label(place) for place in places]
    beside_names(ax, "share of the texts that either of two memorized", names)
    return heat_map(ax, names, names, values, few)


def _predicted(found: ComparisonResult, ax: "Axes", measure: str, told: str) -> "Axes":
    sources = sorted({one.source for one in found.drawn_predictions})
    targets = sorted({one.target for one in found.drawn_predictions})
    if not sources:
        return nothing(ax, "no run is smaller or earlier than another")
    values = np.full((len(sources), len(targets)), np.nan)
    few = np.zeros(values.shape, bool)
    for one in found.drawn_predictions:
        place = sources.index(one.source), targets.index(one.target)
        values[place] = getattr(one.every, measure).value
        few[place] = texts_behind(one.every, measure) < FEW
    rows, columns = ([found.label(place) for place in places] for places in (sources, targets))
    beside_names(ax, told, rows)
    return heat_map(ax, rows, columns, values, few)


def texts_behind(found: Agreement, figure: str) -> int:
    """Return how many texts a share in one of the heat maps is of."""
    of = {"precision": found.first, "recall": found.second, "overlap": found.either}
    return of[figure]


def has_pale_cells(found: ComparisonResult, figure: str) -> bool:
    """Return whether a heat map has shares of few texts, which are drawn pale."""
    pairs = [one.agreement for one in found.drawn_overlaps if not one.reason]
    if figure != "overlap":
        pairs = [one.every for one in found.drawn_predictions if not one.reason]
    return any(0 < texts_behind(one, figure) < FEW for one in pairs)


def beside_names(ax: "Axes", text: str, names: Sequence[str]) -> None:
    """Write below the title of a panel, in the room that names at its left leave."""
    width = ax.figure.bbox.width / ax.figure.dpi * 72
    room = int(width / LETTER) - max(map(len, names)) - 2
    subtitle(ax, text, max(20, min(SUBTITLE_WIDTH, room)))


def heat_map(
    ax: "Axes",
    rows: Sequence[str],
    columns: Sequence[str],
    values: FloatArray,
    few: npt.NDArray[np.bool_],
) -> "Axes":
    """Draw shares from 0 to 1, darker for more; what is not defined stays empty.

    Every name is written where there is room for it, every second or third one where not; cells
    have numbers where these fit.

    Args:
        ax: Where to draw.
        rows: Their names, from the top.
        columns: Their names.
        values: Shape (rows, columns), NaN where not defined.
        few: Which of them are of few texts and drawn pale, shape (rows, columns).
    """
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("share", SHARES)
    opacity = np.where(few, FADED, 1.0)
    ax.imshow(values, cmap=colours, vmin=0, vmax=1, aspect="auto", alpha=opacity)
    width, height = _points(ax)
    upright = len(columns) > 1 and max(map(len, columns)) * FONT * 0.6 > width / len(columns)
    every = -(-len(rows) * LINE // height), -(-len(columns) * LINE // width)
    down, across = (max(int(each), 1) for each in every)
    ax.set_yticks(range(0, len(rows), down), rows[::down])
    ax.set_xticks(range(0, len(columns), across), columns[::across], rotation=90 if upright else 0)
    ax.tick_params(length=0)
    if width / len(columns) >= DIGITS * FONT and height / len(rows) >= LINE:
        _numbers(ax, values, few, colours)
    _legend(ax, colours)
    return ax


def _legend(ax: "Axes", colours: "Colormap") -> None:
    """Draw the colours of 0% to 100% beside the cells."""
    from matplotlib.cm import ScalarMappable

    shares = ScalarMappable(cmap=colours)
    shares.set_clim(0, 1)
    bar = ax.figure.colorbar(shares, ax=ax, ticks=[0, 0.5, 1], aspect=30, pad=0.02, label="share")
    bar.ax.yaxis.set_major_formatter(lambda value, _: percent(value))
    bar.outline.set_visible(False)


def _points(ax: "Axes") -> tuple[float, float]:
    """Return about how many points wide and high the cells will be."""
    cell = ax.get_subplotspec()
    down, across = (1, 1) if cell is None else cell.get_gridspec().get_geometry()
    scale = 72 / ax.figure.dpi * INSIDE
    return ax.figure.bbox.width * scale / across, ax.figure.bbox.height * scale / down


def _numbers(
    ax: "Axes", values: FloatArray, few: npt.NDArray[np.bool_], colours: "Colormap"
) -> None:
    for row, column in np.argwhere(np.isfinite(values)):
        value = float(values[row, column])
        colour = INK if few[row, column] else read_on(colours(value))
        ax.text(column, row, percent(value, 2), ha="center", va="center", color=colour)
