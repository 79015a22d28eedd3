"""Does accuracy on a term go with how often training has shown it, and since when?"""

from dataclasses import replace

import numpy as np
import polars as pl

from memtrace.errors import FitError
from memtrace.evaluations.names import size_and_family, trainings_of
from memtrace.evaluations.terms.document import document
from memtrace.evaluations.terms.figures import figure
from memtrace.evaluations.terms.page import brief, head
from memtrace.evaluations.terms.relations import series_of
from memtrace.evaluations.terms.result import TermResult
from memtrace.evaluations.terms.text import text
from memtrace.evaluations.terms.verdict import verdict
from memtrace.point_process.contrasts import adjust_p_values
from memtrace.report.base import Renderers, Report


class TermFrequency(Report, TermResult):
    """Every series, and how counts and accuracy met."""

    renderers = Renderers(verdict, document, text, figure, head, brief)


def relate_terms(accuracy: pl.DataFrame, counts: pl.DataFrame, seed: int = 0) -> TermFrequency:
    """Relate accuracy to counts, by checkpoint, model, task and shots.

    A count is that of the same term at the same checkpoint; counts of one step only stand for
    every checkpoint, as relative frequencies, which in a shuffled corpus do not change.

    Args:
        accuracy: A table of `ACCURACY_SCHEMA`.
        counts: A table of (term, step, count), as `memtrace corpus count` writes.
        seed: Of the draws for the change point.

    Raises:
        FitError: No accuracy has a count, or the standard errors fit no number of questions.
    """
    questions = _questions(accuracy)
    points, counted_at = _joined(accuracy, counts)
    missing = sorted(set(accuracy["term"]) - set(points["term"]))
    by = ["model", "task", "shots"]
    rng = np.random.default_rng(seed)
    trainings = trainings_of(points["model"].unique())
    series = [
        series_of(group, questions, trainings[str(key[0])], rng)
        for key, group in points.sort(*by, "step", "term").group_by(by, maintain_order=True)
    ]
    holm = adjust_p_values([one.relations[-1].slope_p_value for one in series])
    changes = adjust_p_values([one.onset.p_value for one in series])
    series = [
        replace(one, p_holm=float(p), change_p_holm=float(change))
        for one, p, change in zip(series, holm, changes, strict=True)
    ]
    series.sort(key=lambda s: (s.task, s.shots, size_and_family(s.model)[1], s.parameters or 0))
    return TermFrequency(tuple(series), tuple(missing), counted_at, questions, seed, points)


def _questions(accuracy: pl.DataFrame) -> int:
    """Return how many questions a term has: the published errors are sqrt(p (1 - p) / (n - 1)).

    Raises:
        FitError: There are no errors, or they fit no one number.
    """
    p, error = pl.col("acc"), pl.col("acc_stderr")
    known = accuracy.filter((error > 0) & (p > 0) & (p < 1))
    found = known.select((p * (1 - p) / error**2 + 1).alias("n"))["n"].to_numpy()
    if not len(found):
        raise FitError("no standard error above 0 (acc_stderr): the number of questions is unknown")
    questions = round(float(np.median(found)))
    if np.abs(found - questions).max() > 0.01 * questions:
        raise FitError(
            f"the standard errors imply {found.min():.0f} to {found.max():.0f} questions a term: "
            "tables of one number of questions only"
        )
    return questions


def _joined(accuracy: pl.DataFrame, counts: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Return accuracy with counts, and what the counts were taken at."""
    steps = counts["step"].unique().to_list()
    if len(steps) == 1:
        points, counted_at = accuracy.join(counts.drop("step"), on="term"), f"step {steps[0]}"
    else:
        points, counted_at = accuracy.join(counts, on=["term", "step"]), "checkpoint"
    if not points.height:
        raise FitError(
            "no accuracy has a count: they share no term"
            + ("" if len(steps) == 1 else " at a step that both have")
            + f" (accuracy: {_some(accuracy, 'term')} at {_some(accuracy, 'step')}; counts: "
            f"{_some(counts, 'term')} at {_some(counts, 'step')}): count at these steps, or at one"
        )
    return points, counted_at


def _some(table: pl.DataFrame, column: str) -> str:
    return ", ".join(map(str, table[column].unique().sort().head(3))) + ", …"
