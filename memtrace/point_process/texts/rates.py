"""The rate of memorized texts, and what copies do to the rate of sequences."""

import math
from dataclasses import dataclass

from scipy import stats

from memtrace.point_process.models.constant import binomial_interval
from memtrace.report.numbers import count
from memtrace.texts.exposure import TextCounts
from memtrace.types import UNDEFINED, Interval

FEW_TEXTS = 10
"""Below so many memorized texts, counted or effective, the rate of sequences has no interval."""


@dataclass(frozen=True)
class TextRates:
    """The share of texts that are memorized, and of sequences."""

    texts: int
    """Texts, or exposed texts."""
    event_texts: int
    """Memorized ones."""
    rate: float
    """Share of texts that are memorized; NaN where there is none."""
    rate_ci95: Interval
    """Clopper and Pearson (1934)."""
    sequence_rate: float
    """Share of sequences that are memorized: a census of this run."""
    sequence_rate_ci95: Interval
    """Fay and Feuer (1997), at least 95%: that of the copies as they are; NaN below `FEW_TEXTS`.
    Reports show it only where it is asked for."""
    largest_share: float
    """Share of the memorized sequences that are copies of one text."""
    effective: float
    """Kish's effective number of memorized texts."""
    design_effect: float
    """Variance of the sequence rate with texts as units, over that of independent sequences."""
    reason: str | None = None
    """Why there is no interval of the sequence rate."""


def text_rates(counts: TextCounts) -> TextRates:
    """Estimate the rates of memorized texts and sequences.

    Args:
        counts: Memorized texts and all texts, by their number of copies.
    """
    texts, events = int(counts.texts.sum()), int(counts.memorized.sum())
    sequences = int((counts.copies * counts.texts).sum())
    n = int(counts.hits.sum())
    low, high = binomial_interval(events, texts) if texts else UNDEFINED
    effective = n**2 / float(counts.squares.sum()) if n else math.nan
    few = events < FEW_TEXTS or effective < FEW_TEXTS
    return TextRates(
        texts=texts,
        event_texts=events,
        rate=events / texts if texts else math.nan,
        rate_ci95=(float(low), float(high)),
        sequence_rate=n / sequences if sequences else math.nan,
        sequence_rate_ci95=UNDEFINED if few else fay_feuer_interval(counts),
        largest_share=counts.largest / n if n else math.nan,
        effective=effective,
        design_effect=design_effect(counts),
        reason=too_few(n, events) if few else None,
    )


def too_few(rows: int, texts: int) -> str:
    """Say that memorized rows are of too few texts; rows only where they are more."""
    of_rows = f"{rows:,} rows, but " if rows > texts else ""
    return f"{of_rows}{count(texts, 'text')}: too few to say how it varies"


def fay_feuer_interval(counts: TextCounts, confidence: float = 0.95) -> Interval:
    """Return an interval of the share of sequences that are memorized, given their copies.

    Fay and Feuer (1997, Statistics in Medicine 16:791) with the largest weight: coverage is at
    least `confidence` where texts are memorized independently, each with a chance of its own.
    """
    sequences = float((counts.copies * counts.texts).sum())
    if not sequences:
        return UNDEFINED
    p = float(counts.hits.sum()) / sequences
    v = float(counts.squares.sum()) / sequences**2
    w, tail = float(counts.copies.max()) / sequences, (1 - confidence) / 2
    low = v / (2 * p) * stats.chi2.ppf(tail, 2 * p**2 / v) if p else 0.0
    q, u = p + w, v + w**2
    return float(low), float(u / (2 * q) * stats.chi2.ppf(1 - tail, 2 * q**2 / u))


def linearised_variance(counts: TextCounts) -> float:
    """Return the variance of the sequence rate, a ratio of sums over texts; NaN below 2 texts."""
    texts = float(counts.texts.sum())
    sequences = float((counts.copies * counts.texts).sum())
    if texts < 2:
        return math.nan
    m, p = counts.copies.astype(float), float(counts.hits.sum()) / sequences
    # The sum over texts of (memorized copies - p copies)^2, whose mean is 0.
    squares = (counts.squares - 2 * p * m * counts.hits + p**2 * m**2 * counts.texts).sum()
    return float(texts / (texts - 1) * squares / sequences**2)


def design_effect(counts: TextCounts) -> float:
    """Return how many times as large copies make the variance; NaN where there is none."""
    sequences = float((counts.copies * counts.texts).sum())
    p = float(counts.hits.sum()) / sequences if sequences else math.nan
    simple = p * (1 - p) / sequences if sequences else math.nan
    return linearised_variance(counts) / simple if simple else math.nan
