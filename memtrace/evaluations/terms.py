"""Does accuracy on a term go with how often training has shown it, and since when?

It knows tables of accuracy by term and of counts by checkpoint; counting is `corpus.counting`'s.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy import stats

from memtrace.corpus.term_counts import COUNTS_SCHEMA
from memtrace.errors import FitError, first_line
from memtrace.evaluations.names import Training, model_of, size_and_family, trainings_of
from memtrace.evaluations.onset import Onset, find_onset
from memtrace.point_process.contrasts import adjust_p_values
from memtrace.point_process.regression import fit_rates
from memtrace.report.json import json_safe
from memtrace.types import FloatArray, Int64Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCURACY_SCHEMA = pl.Schema(
    {
        "model": pl.String,
        "step": pl.Int64,
        "task": pl.String,
        "term": pl.String,
        "shots": pl.Int64,
        "acc": pl.Float64,
        "acc_stderr": pl.Float64,
    }
)
_NAMES = {"checkpoint": "step", "fewshot": "shots", "accuracy": "acc", "stderr": "acc_stderr"}
FEW_TERMS = 10
"""Terms from which a relation is estimated."""
FEW_ANSWERED = 5
"""Terms with a right answer from which a slope is estimated."""


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
    parameters: int | None
    task: str
    shots: int
    relations: tuple[Relation, ...]
    """By checkpoint, ascending."""
    onset: Onset
    p_holm: float
    """Of the relation at the last checkpoint, adjusted for all series (Holm)."""


@dataclass(frozen=True)
class TermFrequency:
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

    @property
    def verdict(self) -> str:
        """Return the answer in one plain sentence."""
        from memtrace.evaluations.terms_page import verdict

        return verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `memtrace term-frequency --json`; undefined values are None."""
        found: dict[str, Any] = json_safe(
            {
                "verdict": self.verdict,
                "counted_at": self.counted_at,
                "questions_per_term": self.questions,
                "unmatched_terms": list(self.unmatched_terms),
                "seed": self.seed,
                "series": [asdict(one) for one in self.series],
            }
        )
        return found

    def summary(self) -> str:
        """Return the answer as a page of text."""
        from memtrace.evaluations.terms_page import terms_page
        from memtrace.report.text import rendered

        return rendered(terms_page(self))

    def plot(self) -> "Figure":
        """Draw accuracy against count, and the slope along training."""
        from memtrace.evaluations.figures import terms_page

        return terms_page(self)


def read_term_accuracy(path: Path) -> pl.DataFrame:
    """Read accuracy by term from a CSV file, or from all CSV files below a folder.

    Columns: `model`, `checkpoint` (or `step`), `task`, `fewshot` (or `shots`), `acc`, and, where
    there are, `acc_stderr` and `term`; without `term` it is what follows the last underscore of
    the task.

    Returns:
        A table of `ACCURACY_SCHEMA`, without rows that are there twice.

    Raises:
        FitError: There is no CSV file, or one lacks a column or holds something else in it.
    """
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise FitError(f"no CSV file in {path}: pass a table of accuracy by term")
    return pl.concat(map(_read_csv, files)).unique(maintain_order=True)


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
        _series(group, questions, trainings[str(key[0])], rng)
        for key, group in points.sort(*by, "step", "term").group_by(by, maintain_order=True)
    ]
    holm = adjust_p_values([one.relations[-1].slope_p_value for one in series])
    series = [replace(one, p_holm=float(p)) for one, p in zip(series, holm, strict=True)]
    series.sort(key=lambda s: (s.task, s.shots, size_and_family(s.model)[1], s.parameters or 0))
    return TermFrequency(tuple(series), tuple(missing), counted_at, questions, seed, points)


def read_counts(path: Path) -> pl.DataFrame:
    """Read a table of counts, Parquet or CSV.

    Raises:
        FitError: It cannot be read, or has not the columns term, step and count.
    """
    try:
        table = (
            pl.read_csv(path, schema_overrides={"term": pl.String})
            if (path.suffix == ".csv")
            else pl.read_parquet(path)
        )
        return table.select(COUNTS_SCHEMA.names()).cast(COUNTS_SCHEMA)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FitError(
            f"{path} is no table of term, step, count ({first_line(error)}): make one with "
            "`memtrace corpus count`"
        ) from error


def _read_csv(path: Path) -> pl.DataFrame:
    try:
        table = pl.read_csv(path, schema_overrides={"term": pl.String})
        table = table.rename({k: v for k, v in _NAMES.items() if k in table.columns})
        if "term" not in table.columns:
            parts = pl.col("task").str.extract_groups(r"^(?<task>.*)_(?<term>[^_]*)$")
            table = table.with_columns(parts.struct.unnest())
        if "acc_stderr" not in table.columns:
            table = table.with_columns(acc_stderr=pl.lit(None, pl.Float64))
        found = table.select(ACCURACY_SCHEMA.names()).cast(ACCURACY_SCHEMA)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FitError(
            f"{path} is no table of model, checkpoint, task, fewshot, acc ({first_line(error)})"
        ) from error
    return found.with_columns(
        pl.col("model").map_elements(lambda name: model_of(name).model, pl.String)
    )


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


def _series(
    rows: pl.DataFrame, questions: int, training: Training | None, rng: np.random.Generator
) -> Series:
    """Estimate the relation at each checkpoint, and where along training it sets in."""
    terms = rows["term"].unique(maintain_order=True)
    places = {term: i for i, term in enumerate(terms)}
    relations, steps, slopes, influences = [], [], [], []
    for _, there in rows.group_by("step", maintain_order=True):
        relation, influence = _relation(there, questions)
        relations.append(relation)
        if influence is not None:
            of_all = np.zeros(len(terms))
            of_all[[places[term] for term in there["term"]]] = influence
            steps.append(relation.step)
            slopes.append(relation.slope)
            influences.append(of_all)
    model, task, shots = rows.select("model", "task", "shots").row(0)
    return Series(
        model=model,
        parameters=training.parameters if training else None,
        task=task,
        shots=shots,
        relations=tuple(relations),
        onset=find_onset(steps, np.array(slopes), _covariance(influences), rng),
        p_holm=math.nan,
    )


def _covariance(influences: list[FloatArray]) -> FloatArray:
    """Return the covariance of slopes at different checkpoints, which share their terms.

    It is the sandwich over terms, shrunk to its diagonal by the number of checkpoints for each
    term, since it cannot be known better from so few.
    """
    if not influences:
        return np.zeros((0, 0))
    there = np.array(influences)
    found = there @ there.T
    kept = max(0.0, 1 - len(there) / there.shape[1])
    return np.asarray(kept * found + (1 - kept) * np.diag(np.diag(found)))


def _relation(rows: pl.DataFrame, questions: int) -> tuple[Relation, FloatArray | None]:
    """Estimate the relation at one checkpoint, and how much each term moves the slope."""
    accuracy, count = rows["acc"].to_numpy(), rows["count"].to_numpy()
    right = np.rint(accuracy * questions).astype(np.int64)
    tau = tau_p = slope = error = p = dispersion = math.nan
    influence, reason = None, _no_slope(right, count, questions)
    if len(set(right)) > 1 and len(set(count)) > 1:
        rank = stats.kendalltau(count, right)
        tau, tau_p = float(rank.statistic), float(rank.pvalue)
    if reason is None:
        slope, dispersion, influence = _slope(right, count, questions)
        error = float(np.linalg.norm(influence))
        p = 2 * float(stats.t.sf(abs(slope) / error, len(right) - 2))
    model, step, task, shots = rows.select("model", "step", "task", "shots").row(0)
    relation = Relation(
        model=model,
        step=step,
        task=task,
        shots=shots,
        terms=rows.height,
        accuracy=float(accuracy.mean()),
        rank_correlation=tau,
        rank_p_value=tau_p,
        slope=slope,
        slope_error=error,
        slope_p_value=p,
        dispersion=dispersion,
        reason=reason,
    )
    return relation, influence


def _slope(right: Int64Array, count: Int64Array, questions: int) -> tuple[float, float, FloatArray]:
    """Return the logistic slope on log10(1 + count), the dispersion, and each term's influence.

    The sum of the squared influences is the sandwich variance, with n / (n - 2) for few terms.
    """
    # Centred, so that intercept and slope are far from collinear.
    x = np.log10(1.0 + count)
    design = np.column_stack((np.ones(len(x)), x - x.mean()))
    fit = fit_rates(right, np.full(len(x), questions), design, link="logit")
    p = np.asarray(fit.fittedvalues)
    bread = np.linalg.inv(design.T @ (design * (questions * p * (1 - p))[:, None]))
    residual = right - questions * p
    influence = (design @ bread[:, 1]) * residual * math.sqrt(len(x) / (len(x) - 2))
    pearson = float((residual**2 / (questions * p * (1 - p))).sum()) / (len(x) - 2)
    return float(fit.params[1]), pearson, np.asarray(influence)


def _no_slope(right: Int64Array, count: Int64Array, questions: int) -> str | None:
    """Return why there is no logistic slope, or None."""
    if len(right) < FEW_TERMS:
        return f"{len(right)} terms: at least {FEW_TERMS} are needed"
    if len(set(count)) == 1:
        return "every term has the same count"
    if not right.any():
        return "no question is answered right"
    if (right == questions).all():
        return "every question is answered right"
    # With fewer terms the likelihood may have no maximum, and the sandwich knows no variance.
    answered = int((right > 0).sum())
    if answered < FEW_ANSWERED:
        return f"{answered} terms have a right answer: at least {FEW_ANSWERED} are needed"
    return None
