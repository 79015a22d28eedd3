"""Accuracy by term against how often training has shown the term, as one value."""

from dataclasses import dataclass

import polars as pl

from memtrace.evaluations.populations import Population
from memtrace.evaluations.terms.onset import Onset

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Relation:
    """Accuracy against frequency at one checkpoint of one model, for one task and shots."""

    model: str
    step: int
    task: str
    shots: int
    terms: int
    accuracy: float
    """Mean over the terms."""
    rank_correlation: float
    """Kendall's tau-b of accuracy and count; NaN where either is the same for all terms."""
    rank_p_value: float
    slope: float
    """Log odds of a right answer for ten times the count."""
    slope_error: float
    """Of the sandwich over terms, which need not differ by chance alone."""
    slope_p_value: float
    dispersion: float
    """Pearson's: 1 if terms of one count differed by chance alone."""
    reason: str | None
    """Why there is no slope."""


@dataclass(frozen=True)
class Series:
    """The relation of one model, task and shots along training."""

    model: str
    population: Population
    parameters: int | None
    task: str
    shots: int
    relations: tuple[Relation, ...]
    """By checkpoint, ascending."""
    onset: Onset
    p_holm: float
    """Of the relation at the last checkpoint, adjusted for all series (Holm)."""
    change_p_holm: float
    """Of a change of the slope along training, adjusted for all series (Holm)."""


@dataclass(frozen=True)
class TermResult:
    """Every series, and how counts and accuracy met."""

    series: tuple[Series, ...]
    unmatched_terms: tuple[str, ...]
    """Terms with an accuracy and no count: they are left out."""
    counted_at: str
    """`checkpoint`, or the step whose counts stand for all checkpoints."""
    questions: int
    """For each term: as many as the published standard errors imply."""
    seed: int
    points: pl.DataFrame
    """One row for each accuracy that met a count: those columns, and `count`."""


def grows(one: Series) -> bool:
    """Say whether the slope is shown to grow at a change point (adjusted p below 5%)."""
    return one.change_p_holm < SIGNIFICANT and one.onset.after > one.onset.before


def falls(one: Series) -> bool:
    """Say whether the slope is shown to fall at a change point (adjusted p below 5%)."""
    return one.change_p_holm < SIGNIFICANT and one.onset.after < one.onset.before
