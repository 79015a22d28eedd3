"""How often texts are lost from one evaluation to the next, or learned: with texts as the unit."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.report.numbers import count
from memtrace.types import UNDEFINED, FloatArray, Interval

LEAST = 10
"""Texts that moved below which there is no interval."""


@dataclass(frozen=True)
class Moves:
    """The share of evaluations at which texts left a state that they had been in before."""

    share: float
    """NaN where no text was followed."""
    ci95: Interval
    followed: int
    """Texts that were in the state at an evaluation with another after it."""
    moved: int
    """Those that left it at some time."""
    reason: str | None = None
    """Why there is no interval."""


def moves_by_text(evaluations: npt.ArrayLike, moves: npt.ArrayLike, counts: npt.ArrayLike) -> Moves:
    """Estimate the share of moves; evaluations of one text may hang together in any way.

    The ratio of two sums over texts, with its linearised variance on the logit scale (Cochran
    1977, section 6.13; Student's t with one degree less than texts).

    Args:
        evaluations: How often a text was evaluated after it had been in the state, shape (g,).
        moves: At how many of these it had left it, shape (g,).
        counts: How many texts this is true of, shape (g,).
    """
    a, b, k = (np.asarray(values, float) for values in (evaluations, moves, counts))
    followed, moved = int(k[a > 0].sum()), int(k[b > 0].sum())
    if not followed:
        reason = "no text was in the state at an evaluation with another after it"
        return Moves(math.nan, UNDEFINED, 0, 0, reason)
    share = float(k @ b / (k @ a))
    if moved < LEAST:
        few = f"{count(moved, 'text')} moved: too few to say how it varies (at least {LEAST})"
        return Moves(share, UNDEFINED, followed, moved, few)
    if share == 1:
        return Moves(share, UNDEFINED, followed, moved, "every text moved each time")
    return Moves(share, _interval(a, b, k, followed, share), followed, moved)


def _interval(a: FloatArray, b: FloatArray, k: FloatArray, n: int, share: float) -> Interval:
    error = math.sqrt(n / (n - 1) * float(k @ (b - share * a) ** 2)) / float(k @ a)
    width = float(stats.t.ppf(0.975, n - 1)) * error / (share * (1 - share))
    middle = math.log(share / (1 - share))
    low, high = (1 / (1 + math.exp(-(middle + side * width))) for side in (-1, 1))
    return low, high
