"""The likelihoods of a run by class of exposure: counts of all, values of those above a floor.

Copies of a text have one likelihood, so a text has the largest of its scanned copies in a class:
they differ by rounding at most.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from memtrace.runs.likelihoods import Likelihoods
from memtrace.runs.memorized import Events, ranges_of
from memtrace.texts.exposure import CLASSES, ClassCounts, classify_rows, count_classes
from memtrace.texts.groups import Texts
from memtrace.types import FloatArray, Int64Array

LOWEST, PER_DECADE = -100, 2
"""The histogram begins at 1e-100, with all below in its first bin; bins in a factor of 10."""
BINS = -LOWEST * PER_DECADE


@dataclass(frozen=True, eq=False)
class ClassLikelihoods:
    """The scanned sequences of one class of exposure."""

    counts: ClassCounts
    """All of them, and those that greedy decoding returns."""
    sequence_values: FloatArray
    """Log-likelihoods of those above the floor, ascending."""
    text_values: FloatArray
    """Likewise of their texts."""
    histogram: Int64Array
    """Sequences by log10 of the probability, in `BINS` equal bins from `LOWEST` to 0."""
    below: int
    """Sequences whose probability is only known to be below that at which the scan stopped."""

    def sequences_from(self, log_likelihood: float) -> int:
        """Return how many sequences have at least this, which is not below the floor."""
        return len(self.sequence_values) - int(
            np.searchsorted(self.sequence_values, log_likelihood)
        )

    def texts_from(self, log_likelihood: float) -> int:
        """Return how many texts have at least this, which is not below the floor."""
        return len(self.text_values) - int(np.searchsorted(self.text_values, log_likelihood))


def by_class(
    blocks: Iterable[Likelihoods],
    texts: Texts | None,
    exposed_rows: int,
    tokens: int,
    floor: float,
) -> dict[str, ClassLikelihoods]:
    """Read likelihoods block by block, and keep those above a floor, by class of exposure.

    Args:
        blocks: With matched tokens, in order of the rows.
        texts: The texts of the corpus; None where they are not known: then each row is a text, and
            copies of exposed rows are among the unexposed.
        exposed_rows: Rows that the checkpoint had seen.
        tokens: Of a continuation.
        floor: Log-likelihood from which values are kept.
    """
    alone = texts if texts is not None else Texts.from_labels(np.arange(0))
    hits, values, memorized, ranges = [], [], [], []
    histograms = np.zeros((len(CLASSES), BINS), np.int64)
    below = np.zeros(len(CLASSES), np.int64)
    copies = _copy_exposed(alone, exposed_rows)
    for block in blocks:
        y, index = block.log_likelihood, block.sequence_index
        which = _classes(index, exposed_rows, copies)
        unknown = np.isnan(y)
        below += np.bincount(which[unknown], minlength=len(CLASSES))
        bins = which[~unknown] * BINS + _bins(y[~unknown].astype(float))
        histograms += np.bincount(bins, minlength=histograms.size).reshape(histograms.shape)
        above = y >= np.float64(floor)  # compared in float64
        hits.append(index[above])
        values.append(y[above].astype(float))
        if block.matched_tokens is not None:
            memorized.append(index[block.matched_tokens >= tokens])
        ranges.append(ranges_of(index))
    scanned = np.concatenate([np.empty((0, 2), np.int64), *ranges])
    events = Events(np.concatenate([np.empty(0, np.int64), *memorized]), scanned)
    counts = count_classes(alone, events, exposed_rows)
    index = np.concatenate([np.empty(0, np.int64), *hits])
    likelihoods = np.concatenate([np.empty(0), *values])
    groups = classify_rows(alone, index, exposed_rows)
    names = alone.names_of(index)
    return {
        name: ClassLikelihoods(
            getattr(counts, name),
            np.sort(likelihoods[groups == place]),
            _of_texts(names[groups == place], likelihoods[groups == place]),
            histograms[place],
            int(below[place]),
        )
        for place, name in enumerate(CLASSES)
    }


def histogram_edges() -> FloatArray:
    """Return the ends of the histogram's bins as log10 of the probability, (BINS + 1,)."""
    return np.linspace(LOWEST, 0, BINS + 1)


def _bins(log_likelihood: FloatArray) -> Int64Array:
    places = (np.maximum(log_likelihood / np.log(10), LOWEST) - LOWEST) * PER_DECADE
    bins: Int64Array = np.minimum(places.astype(np.int64), BINS - 1)
    return bins


def _copy_exposed(texts: Texts, exposed_rows: int) -> Int64Array:
    """Return the rows that are copies of exposed ones, without being exposed, ascending."""
    late = texts.copies >= exposed_rows
    return np.sort(texts.copies[late & (texts.names[texts.numbers] < exposed_rows)])


def _classes(index: Int64Array, exposed_rows: int, copies: Int64Array) -> Int64Array:
    """Return the place in `CLASSES` of each row's class; a search per copy and none per row."""
    which: Int64Array = np.where(index < exposed_rows, np.int64(0), np.int64(2))
    if len(index):
        ends = np.searchsorted(copies, [index[0], index[-1] + 1])
        here = copies[slice(*ends)]
        places = np.searchsorted(index, here)
        which[places[index[places] == here]] = 1
    return which


def _of_texts(names: Int64Array, values: FloatArray) -> FloatArray:
    """Return the largest value of each name, ascending."""
    order = np.lexsort((values, names))
    last = np.append(np.diff(names[order]) != 0, True)[: len(order)]
    return np.sort(values[order][last])
