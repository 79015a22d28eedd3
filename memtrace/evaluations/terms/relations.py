"""The relation of accuracy and count: rank correlation and logistic slope at each checkpoint."""

import math

import numpy as np
import polars as pl
from scipy import stats

from memtrace.evaluations.names import Training
from memtrace.evaluations.populations import population_of
from memtrace.evaluations.terms.onset import find_onset
from memtrace.evaluations.terms.result import Relation, Series
from memtrace.point_process.regression import fit_shares
from memtrace.types import FloatArray, Int64Array

FEW_TERMS = 10
"""Terms from which a relation is estimated."""
FEW_ANSWERED = 5
"""Terms with a right answer, and terms with a wrong one, from which a slope is estimated."""


def series_of(
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
        population=population_of(model, training),
        parameters=training.parameters if training else None,
        task=task,
        shots=shots,
        relations=tuple(relations),
        onset=find_onset(steps, np.array(slopes), _covariance(influences), rng),
        p_holm=math.nan,
        change_p_holm=math.nan,
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
        p = 2 * float(stats.t.sf(abs(slope) / error, min(_telling(right, questions)) - 2))
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
    fit = fit_shares(right, np.full(len(x), questions), design, link="logit")
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
    for found, name in zip(_telling(right, questions), ("right", "wrong"), strict=True):
        if found < FEW_ANSWERED:
            return f"{found} terms have a {name} answer: at least {FEW_ANSWERED} are needed"
    return None


def _telling(right: Int64Array, questions: int) -> tuple[int, int]:
    """Return how many terms have a right answer, and how many a wrong one.

    Where one of the two is few, the sandwich rests on these terms alone: they give its degrees of
    freedom. Those of all terms would reject a slope of none too often, at p < 0.001 many times so.
    """
    return int((right > 0).sum()), int((right < questions).sum())
