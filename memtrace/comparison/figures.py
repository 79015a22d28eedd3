"""All figures of a comparison: their names, their captions, and one sheet of those that show."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from memtrace.comparison.combinations_figure import MOST_BARS, combinations
from memtrace.comparison.deduplication.figures import shares_by_copies, texts_of_both
from memtrace.comparison.heat_maps import FEW, LETTER, has_pale_cells, jaccard, precision, recall
from memtrace.comparison.paired.figures import difference_by_step, who_memorized
from memtrace.comparison.profile.figures import course, effect_table
from memtrace.comparison.profile.result import Profile
from memtrace.comparison.result import ComparisonResult
from memtrace.comparison.scale import compared_sizes
from memtrace.comparison.scale_figure import share_over_size
from memtrace.comparison.verdict import verdict
from memtrace.report.figures import (
    COLUMN,
    HEIGHT,
    PAGE,
    new_figure,
    single_figure,
    styled,
    write_heading,
)
from memtrace.report.numbers import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOM, AROUND = 0.16, 0.9
"""Height of a run in a heat map or a grid of dots, and of what is around it, in inches, without
the names of runs, which stand upright."""
HEAT_MAPS = {"precision", "recall", "overlap"}
"""Figures of shares of pairs of runs."""
WIDE = {"precision", "recall", "overlap", "combinations"}
"""Figures whose size grows with the runs."""
MANY = 5
"""Runs above which these are as wide as a page."""


FIGURES: dict[str, Callable[[ComparisonResult, "Axes | None"], "Axes"]] = {
    "scale": share_over_size,
    "precision": precision,
    "recall": recall,
    "overlap": jaccard,
    "combinations": combinations,
    "deduplication": lambda found, ax: shares_by_copies(found.deduplication[-1], ax),
    "both-corpora": lambda found, ax: texts_of_both(found.deduplication, ax),
    "pairs": lambda found, ax: who_memorized(found.paired, ax),
    "pairs-over-training": lambda found, ax: difference_by_step(found.paired, ax),
    "profile": lambda found, ax: effect_table(found.drawn_profile, ax),
    "time-since-training": lambda found, ax: course(found.drawn_profile, ax),
}
CAPTIONS = {
    "scale": "Share of the texts {texts} that greedy decoding returns, against parameters, both "
    "on log axes; bars are 95% intervals by counts. A band, of four models or more, is where "
    "another model would lie.",
    "precision": "From each smaller or earlier run to each larger or later one: the share of what "
    "it memorized that the other has memorized too.",
    "recall": "From each smaller or earlier run to each larger or later one: the share of what the "
    "other memorized that it has memorized too.",
    "overlap": "Jaccard's index of each pair: texts that both memorized, of those that either did.",
    "combinations": "Texts by the runs that memorized them, exactly those whose dot stands "
    "out{of}.",
    "deduplication": "Share of the texts that a model and its deduplicated twin memorized, by "
    "{copies}; bars are exact 95% intervals. In a corpus that is passed more than once, text seen "
    "once is fresh and text seen twice came round again.",
    "both-corpora": "Texts {both}, by who memorized them and by {ours}.",
    "pairs": "Texts {texts}: those that one model of a pair memorized alone, and those that both "
    "did, at the last checkpoint.",
    "pairs-over-training": "Share of the texts {texts} that a model memorized minus that of its "
    "baseline, on the same texts, with score intervals.",
    "profile": "What training on a text changed, by when it was trained on (rows) and at which "
    "checkpoint (columns), against texts not yet trained on. Left of the line texts had not been "
    "trained on, so there is nothing but noise.",
    "time-since-training": "The mean effect of training on a text by checkpoints since, with 95% "
    "intervals whose unit is the text; before it there should be none.",
}


def caption(found: ComparisonResult, name: str) -> str:
    """Return the caption of one of `FIGURES`."""
    known = all(one.last.is_order_known for one in found.deduplication)
    pale = name in HEAT_MAPS and has_pale_cells(found, name)
    return CAPTIONS[name].format(
        texts=found.of_texts,
        copies="how often each had seen them" if known else "copies in the corpus of each",
        ours="how often the model had seen them" if known else "copies in the model's corpus",
        of=_of_combinations(found),
        both="that a model and its deduplicated twin had both seen" if known else "of both corpora",
    ) + (f" Pale cells are shares of fewer than {FEW} texts." if pale else "")


def _of_combinations(found: ComparisonResult) -> str:
    """Say of which texts combinations are, and how many are not drawn."""
    one = found.combinations
    if one is None:
        return ""
    left = len(one.texts) - MOST_BARS
    more = f"; {count(left, 'smaller combination')} left out" if left > 0 else ""
    scanned = count(one.scanned, found.unit)
    return f", of the {scanned} that {one.of_how_many(len(found.runs))} scanned{more}"


def drawn(found: ComparisonResult) -> list[str]:
    """Return the names of the figures that have something to show."""
    has = {
        "scale": bool(compared_sizes(found.runs, found.points)),
        "precision": any(not one.reason for one in found.drawn_predictions),
        "recall": any(not one.reason for one in found.drawn_predictions),
        "overlap": any(not one.reason for one in found.drawn_overlaps),
        "combinations": found.combinations is not None and len(found.combinations.texts) > 0,
        "deduplication": any(one.last.total is not None for one in found.deduplication[-1:]),
        "both-corpora": any(one.last.matched_total is not None for one in found.deduplication),
        "pairs": _asked_alike(found, 1),
        "pairs-over-training": _asked_alike(found, 2),
        "profile": bool(_profiles(found)),
        "time-since-training": bool(_profiles(found)),
    }
    return [name for name in FIGURES if has[name]]


def _asked_alike(found: ComparisonResult, steps: int) -> bool:
    """Return whether a pair of models has so many steps with exposed texts that both scanned."""
    return any(
        sum(step.shares["exposed"].texts > 0 for step in one.steps) >= steps for one in found.paired
    )


def _profiles(found: ComparisonResult) -> list[Profile]:
    """Return the profiles that have an effect."""
    return [one for one in found.profiles if one.instantaneous is not None]


def overview(found: ComparisonResult) -> "Figure":
    """Draw all figures that have something to show under the verdict."""
    names: Sequence[str] = drawn(found) or ["scale"]
    across = 2 if len(names) > 1 and max(_lines(found, name) for name in names) <= MANY else 1
    down = -(-len(names) // across)
    with styled():
        highest = max(_height(found, name) for name in names)
        figure = new_figure(PAGE, highest * down + HEIGHT / 2)
        # Each in a figure of its own: long names beside one panel take no room from the others.
        places = figure.subfigures(down, across, squeeze=False).flat
        for place, name in zip(places, names, strict=False):
            FIGURES[name](found, place.add_subplot())
        write_heading(figure, verdict(found), count(len(found.runs), "run"))
    return figure


def single(found: ComparisonResult, name: str) -> "Figure":
    """Draw one of `FIGURES` alone."""
    size = (COLUMN, HEIGHT)
    if name in WIDE:
        size = PAGE if _lines(found, name) > MANY else COLUMN, _height(found, name)
    label = count(len(found.runs), "run")
    return single_figure(partial(FIGURES[name], found), label, [], size)


def _height(found: ComparisonResult, name: str) -> float:
    """Return the height of a panel in which every run that is shown has a line."""
    if name not in WIDE:
        return HEIGHT
    lines = _lines(found, name)
    names = max(len(found.label(place)) for place in range(len(found.runs))) * LETTER / 72
    return max(HEIGHT, 2 * ROOM * lines, ROOM * lines + AROUND + names)


def _lines(found: ComparisonResult, name: str) -> int:
    """Return how many runs a figure shows below each other."""
    if name == "combinations":
        return len(found.combinations.runs) if found.combinations else 0
    if name == "overlap":
        return len({place for one in found.drawn_overlaps for place in (one.a, one.b)})
    sides = [(one.source, one.target) for one in found.drawn_predictions if name in WIDE]
    return max((len(set(side)) for side in zip(*sides, strict=True)), default=0)
