"""Exposed, copy exposed, unexposed: what a checkpoint had seen of a sequence and of its text.

Training consumes rows in order, so a checkpoint had seen the rows [0, exposed_rows). A later row is
*copy exposed* if it has the text of an earlier one, else *unexposed*: only these are a control.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from memtrace.runs.memorized import Events
from memtrace.texts.groups import Texts
from memtrace.types import FloatArray, Int64Array

CLASSES = ("exposed", "copy_exposed", "unexposed")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ClassCounts:
    """The scanned sequences of one class."""

    events: int
    """Memorized ones."""
    exposure: int
    """All of them."""
    texts: int
    """Different texts among them."""
    event_texts: int
    """Texts among them that are memorized."""


@dataclass(frozen=True)
class ExposureClasses:
    """The scanned sequences of a checkpoint, by what it had seen of them."""

    exposed: ClassCounts
    copy_exposed: ClassCounts
    unexposed: ClassCounts


@dataclass(frozen=True, eq=False)
class CountStrata:
    """Exposed and unexposed texts that were scanned, by their number of copies in the corpus."""

    duplicate_count: Int64Array
    """Ascending, shape (s,)."""
    exposed: Int64Array
    """Memorized texts and all texts, shape (s, 2)."""
    unexposed: Int64Array
    """Likewise."""


@dataclass(frozen=True, eq=False)
class TextCounts:
    """Texts by their number of copies."""

    copies: Int64Array
    """Ascending, shape (g,)."""
    memorized: Int64Array
    """Memorized texts with so many copies, shape (g,)."""
    texts: Int64Array
    """All texts with so many copies, shape (g,)."""
    hits: Int64Array
    """Memorized copies of them, shape (g,)."""
    squares: Int64Array
    """Sum over texts of the square of that number, shape (g,)."""
    largest: int
    """Most memorized copies of one text."""

    @classmethod
    def together(cls, copies: Int64Array, memorized: Int64Array, texts: Int64Array) -> "TextCounts":
        """Return the counts of texts of which either all copies are memorized or none."""
        largest = int(copies[memorized > 0].max(initial=0))
        return cls(copies, memorized, texts, copies * memorized, copies**2 * memorized, largest)


def classify_rows(
    texts: Texts, rows: npt.NDArray[np.integer], exposed_rows: int
) -> npt.NDArray[np.int8]:
    """Return the place in `CLASSES` of each row's class, shape (n,)."""
    late = (rows >= exposed_rows).astype(np.int8)
    return late + (late & (texts.names_of(rows) >= exposed_rows))


def telling_copies(texts: Texts, exposed_rows: int) -> Mask:
    """Return which of `texts.copies` tell whether a checkpoint has memorized their text.

    Of a text that it was exposed to these are the exposed copies: what it returns of a later one,
    which may be a near-copy that it has not seen, is no memory of the text. Of others all.
    """
    return ~_classes(texts, exposed_rows)[1]


def count_classes(texts: Texts, events: Events, exposed_rows: int) -> ExposureClasses:
    """Count scanned and memorized sequences and texts in each class.

    Args:
        texts: The texts of the corpus.
        events: The memorized sequences of a checkpoint and what was scanned.
        exposed_rows: Rows that the checkpoint had been exposed to.
    """
    total = events.count(exposed_rows)
    scanned, hit = _scanned(texts, events), _memorized(texts, events)
    masks = _classes(texts, exposed_rows)
    copy = scanned & masks[1]
    exposure = [total["sequences"], int(copy.sum()), total["not_exposed_sequences"]]
    memorized = [total["memorized"], int((copy & hit).sum()), total["not_exposed_memorized"]]
    exposure[2] -= exposure[1]
    memorized[2] -= memorized[1]
    counts = []
    for mask, n, n_hit in zip(masks, exposure, memorized, strict=True):
        here = scanned & mask
        counts.append(
            ClassCounts(n_hit, n, _distinct(texts, here, n), _distinct(texts, here & hit, n_hit))
        )
    return ExposureClasses(*counts)


def count_exposed_texts(texts: Texts, events: Events, exposed_rows: int) -> TextCounts:
    """Count the texts that a checkpoint had seen, by the copies that it had seen and are scanned.

    Their copies add up to the scanned sequences that are exposed.
    """
    hit, seen = _memorized(texts, events), texts.copies < exposed_rows
    scanned = _scanned(texts, events) & seen
    copies, hits = texts.per_text(scanned), texts.per_text(hit & scanned)
    once = events.count(exposed_rows)
    longest = max(int(copies.max(initial=1)), 1)
    # Sums in floating point: exact below 2^53.
    counts = [
        np.bincount(copies, weights, longest + 1).astype(np.int64)
        for weights in (hits > 0, None, hits, hits**2)
    ]
    alone = once["memorized"] - int(hits.sum())
    others = once["sequences"] - int(copies.sum())
    for total, more in zip(counts, (alone, others, alone, alone), strict=True):
        total[1] += more
    some = np.flatnonzero(counts[1][1:]) + 1
    memorized, every, sums, squares = (total[some] for total in counts)
    largest = max(int(hits.max(initial=0)), int(alone > 0))
    return TextCounts(some, memorized, every, sums, squares, largest)


def count_strata(texts: Texts, events: Events, exposed_rows: int) -> CountStrata:
    """Count exposed and unexposed texts, and the memorized ones, by their number of copies.

    Texts of which only copies after the checkpoint were scanned, though it had seen others, are in
    neither group.
    """
    scanned, hit = _scanned(texts, events), _memorized(texts, events)
    seen, _, unseen = _classes(texts, exposed_rows)
    memorized = texts.per_text(hit) > 0
    groups = [texts.per_text(scanned & mask) > 0 for mask in (seen, unseen)]
    values, which = np.unique(texts.duplicate_counts, return_inverse=True)
    repeated = [
        [np.bincount(which[group & kept], minlength=len(values)) for kept in (memorized, True)]
        for group in groups
    ]
    once = _once(texts, events, exposed_rows, scanned, hit)
    both = [
        np.vstack((row, np.column_stack(pair))) for row, pair in zip(once, repeated, strict=True)
    ]
    some = (both[0][:, 1] + both[1][:, 1]) > 0
    strata = np.concatenate(([1], values)).astype(np.int64)
    return CountStrata(strata[some], both[0][some], both[1][some])


def unexposed_probability(
    duplicate_counts: npt.ArrayLike, corpus_rows: int, exposed_rows: int
) -> FloatArray:
    """Return the chance that in random order no copy of a text is among the exposed rows.

    C(N - m, X) / C(N, X) for m copies in N rows of which X are exposed, elementwise; 0 where
    N - m < X.
    """
    m, n, x = np.asarray(duplicate_counts, float), corpus_rows, exposed_rows
    left = n - m - x
    with np.errstate(invalid="ignore"):
        log = gammaln(n - m + 1) - gammaln(left + 1) - gammaln(n + 1) + gammaln(n - x + 1.0)
    return np.where(left >= 0, np.exp(np.where(left >= 0, log, -np.inf)), 0.0)


def _once(
    texts: Texts, events: Events, exposed_rows: int, scanned: Mask, hit: Mask
) -> tuple[Int64Array, Int64Array]:
    """Return memorized and all scanned rows that are the only ones of their text, [1, 2] each."""
    total = events.count(exposed_rows)
    before = texts.copies < exposed_rows
    repeated = [
        [int((scanned & hit & side).sum()), int((scanned & side).sum())]
        for side in (before, ~before)
    ]
    groups = ("memorized", "sequences"), ("not_exposed_memorized", "not_exposed_sequences")
    seen, unseen = (
        np.array([[total[key] for key in keys]], np.int64) - np.array(there, np.int64)
        for keys, there in zip(groups, repeated, strict=True)
    )
    return seen, unseen


def _classes(texts: Texts, exposed_rows: int) -> tuple[Mask, Mask, Mask]:
    """Return which of `texts.copies` are exposed, copy exposed and unexposed."""
    seen = texts.copies < exposed_rows
    text_seen = (texts.names < exposed_rows)[texts.numbers]
    return seen, text_seen & ~seen, ~text_seen


def _scanned(texts: Texts, events: Events) -> Mask:
    """Return which of `texts.copies` were scanned."""
    if not len(events.scanned):
        return np.zeros(len(texts.copies), bool)
    start, stop = events.scanned.T
    which = np.searchsorted(start, texts.copies, side="right") - 1
    inside: Mask = (which >= 0) & (texts.copies < stop[which])
    return inside


def _memorized(texts: Texts, events: Events) -> Mask:
    """Return which of `texts.copies` are memorized."""
    places = texts.places(events.sequence_index)
    hit = np.zeros(len(texts.copies), bool)
    hit[places[places >= 0]] = True
    return hit


def _distinct(texts: Texts, mask: Mask, rows: int) -> int:
    """Return the texts of `rows` sequences of which `mask` are the repeated ones."""
    return rows - int(mask.sum()) + int((texts.per_text(mask) > 0).sum())
