"""Texts ranked by the log-likelihoods of one run: how well that tells what another memorized.

The area under the curve is the chance that a memorized text ranks above another one. Its interval
is that of DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44:837) on the logit scale, with
texts as units, wider where memorized texts are few. The threshold with the best F1 is chosen on
four fifths of the texts and tried on the rest, in turn, so that no text is counted by a threshold
that it helped to choose.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.comparison.agreement import EACH, Agreement, Measure
from memtrace.point_process.models.constant import binomial_interval
from memtrace.point_process.shares import Z
from memtrace.texts.distinct import distinct
from memtrace.types import UNDEFINED, Interval

FOLDS = 5
BLOCK = 1 << 20
"""Texts that are ranked at once."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
Scores = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Ranking:
    """How log-likelihoods of the source tell what the target memorized."""

    auc: Measure
    threshold: float
    """Log-likelihood from which on F1 is best, of all texts; NaN without memorized ones."""
    held_out: Agreement | None
    """What thresholds chosen without a text say of it; None with a fold without memorized texts."""
    budget: float
    """Share of texts, those with the highest rank, that has `recall` of the memorized ones."""
    budget_ci95: Interval
    """Of that share in a population of which these texts are a sample, distribution-free."""
    recall: float
    texts: int


def rank(
    values: Scores, memorized: npt.NDArray[np.bool_], names: npt.NDArray[np.integer], recall: float
) -> Ranking:
    """Rank texts by their log-likelihood.

    Args:
        values: Of the source, one a text; minus infinity where it is below what was recorded,
            shape (n,).
        memorized: By the target, shape (n,).
        names: Of the texts, from which their fold follows, shape (n,).
        recall: Share of the memorized texts that a budget is asked for.
    """
    folds = folds_of(names)
    hits, others = (
        [np.sort(values[(folds == fold) & (memorized == side)]) for fold in range(FOLDS)]
        for side in (True, False)
    )
    held_out = _held_out(hits, others)
    positive, negative = _joined(hits), _joined(others)
    return Ranking(
        auc=area(positive, negative),
        threshold=best_threshold(positive, negative),
        held_out=held_out,
        budget=_budget(positive, negative, recall),
        budget_ci95=_budget_interval(positive, negative, recall),
        recall=recall,
        texts=len(values),
    )


def folds_of(names: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Return the fold of each text, which depends on its name alone, shape (n,)."""
    found = np.empty(len(names), np.uint8)
    for start in range(0, len(names), BLOCK):
        mixed = (names[start : start + BLOCK].astype(np.uint64) + np.uint64(1)) * _ODD
        found[start : start + BLOCK] = (mixed >> np.uint64(40)) % np.uint64(FOLDS)
    return found


def area(positive: Scores, negative: Scores) -> Measure:
    """Return the area under the curve, ties half, with its interval on the logit scale.

    DeLong's variance comes out too small where nearly all rank right, however many texts there
    are, so that the larger of it and Hanley and McNeil's (1982, Radiology 143:29) is taken: then
    the interval holds at least. Where all rank right, the lower end is that of as many draws
    without a failure.

    Args:
        positive: Values of memorized texts, ascending.
        negative: Values of the others, ascending.
    """
    m, n = len(positive), len(negative)
    if not m or not n:
        return Measure(math.nan, UNDEFINED)
    value, above = _below(positive, negative)
    _, below = _below(negative, positive)
    fewest = min(m, n)
    if value in (0.0, 1.0):
        end = 0.025 ** (1 / fewest)
        return Measure(value, (end, 1.0) if value else (0.0, 1 - end))
    if fewest < 2:
        return Measure(value, (0.0, 1.0))
    variance = above / m + below / n
    variance = max(variance, _hanley_mcneil(value, m, n))
    middle = math.log(value / (1 - value))
    half = Z * math.sqrt(variance) / (value * (1 - value))
    low, high = (
        1 / (1 + math.exp(-min(max(end, -700), 700))) for end in (middle - half, middle + half)
    )
    return Measure(value, (low, high))


def _hanley_mcneil(area: float, m: int, n: int) -> float:
    """Return the variance of the area where both sides have exponential distributions."""
    one, other = area / (2 - area), 2 * area**2 / (1 + area)
    own = area * (1 - area)
    return (own + (m - 1) * (one - area**2) + (n - 1) * (other - area**2)) / (m * n)


def best_threshold(positive: Scores, negative: Scores) -> float:
    """Return the value from which on F1 is largest: one of a memorized text's; NaN without any.

    Args:
        positive: Values of memorized texts, ascending.
        negative: Values of the others, ascending.
    """
    if not len(positive):
        return math.nan
    candidates = distinct(positive)
    right = len(positive) - np.searchsorted(positive, candidates)
    wrong = len(negative) - np.searchsorted(negative, candidates)
    # Of equal ones the highest: the fewest texts are taken.
    f1 = (2 * right / (len(positive) + right + wrong))[::-1]
    return float(candidates[::-1][int(np.argmax(f1))])


def _below(values: Scores, others: Scores) -> tuple[float, float]:
    """Return mean and variance over values of the share of the others below one, ties half.

    Both ascend. Blocks are joined as by Chan, Golub and LeVeque (1983, Am. Stat. 37:242): there may
    be many more values than fit into memory as float64.
    """
    n, mean, squares = 0, 0.0, 0.0
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        low, high = (np.searchsorted(others, block, side) for side in ("left", "right"))
        shares = (low + high) / (2 * len(others))
        apart = float(shares.mean()) - mean
        squares += float(shares.var()) * len(block) + apart**2 * n * len(block) / (n + len(block))
        n += len(block)
        mean += apart * len(block) / n
    return mean, squares / max(n - 1, 1)


def _joined(parts: list[Scores]) -> Scores:
    """Return all parts as one, ascending; they are emptied, to save memory."""
    found = np.concatenate(parts)
    parts.clear()
    found.sort()
    return found


def _held_out(hits: list[Scores], others: list[Scores]) -> Agreement | None:
    """Apply to each fold the threshold of all others, and count texts over all folds."""
    if sum(len(fold) > 0 for fold in hits) < 2:
        return None
    right = taken = 0
    for fold in range(FOLDS):
        rest = [place for place in range(FOLDS) if place != fold]
        least = best_threshold(*(_joined([side[k] for k in rest]) for side in (hits, others)))
        caught = int((hits[fold] >= least).sum())
        right += caught
        taken += caught + int((others[fold] >= least).sum())
    memorized = sum(map(len, hits))
    return Agreement(right, taken, memorized, memorized + sum(map(len, others)))


def _budget(positive: Scores, negative: Scores, recall: float) -> float:
    """Return the share of texts at or above the value that a share of the memorized ones reach."""
    if not len(positive):
        return math.nan
    needed = math.ceil(recall * len(positive) - 1e-9)
    return _taken(positive, negative, len(positive) - max(needed, 1))


def _budget_interval(positive: Scores, negative: Scores, recall: float) -> Interval:
    """Return the 95% interval of that share in a population of which the texts are a sample.

    Two numbers are binomial, whatever the distribution of values: the memorized texts below the
    true threshold, with 1 - recall (Thompson 1936, Ann. Math. Stat. 7:122), and all texts at or
    above it, with the share looked for. Each has 97.5% (Bonferroni).
    """
    if not len(positive):
        return UNDEFINED
    m, n = len(positive), len(positive) + len(negative)
    tail = (1 - EACH) / 2
    low, high = (int(stats.binom.ppf(end, m, 1 - recall)) for end in (tail, 1 - tail))
    least = _taken(positive, negative, high) if high < m else 0.0
    most = _taken(positive, negative, low - 1) if low else 1.0
    ends = [binomial_interval(round(taken * n), n, EACH) for taken in (least, most)]
    return float(ends[0][0]), float(ends[1][1])


def _taken(positive: Scores, negative: Scores, place: int) -> float:
    """Return the share of all texts at or above the value of a memorized one, by its place."""
    least = positive[place]
    taken = sum(len(each) - int(np.searchsorted(each, least)) for each in (positive, negative))
    return taken / (len(positive) + len(negative))
