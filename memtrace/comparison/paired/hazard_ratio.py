"""How much faster texts emerge in one model than in another, over the checkpoints of both.

Times are grouped by checkpoints: which texts were memorized by each. In a stratum, the texts of one
checkpoint that came at risk at the same one or before it, the hazards of the models differ by one
factor: the complementary log-log model of grouped proportional hazards (Prentice and Gloeckler
1978). A text is in both models, so errors are clustered by text (Lin and Wei 1989).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memtrace.point_process.contrasts import compare_rates
from memtrace.point_process.regression import fit_shares
from memtrace.types import UNDEFINED, FloatArray, Int64Array, Interval

Z95 = float(stats.norm.ppf(0.975))
FEW = 5
"""Texts that emerged in each model below which there is no ratio."""
BASELINE, MODEL = 0, 1
LEAST = 0.01
"""Part of a standard error by which an estimate may miss the best fit."""


@dataclass(frozen=True)
class HazardRatio:
    """The hazard of emergence in a model over that in its baseline, for all texts together."""

    ratio: float
    ci95: Interval
    p_value: float
    emerged: tuple[int, int]
    """Texts that emerged in the baseline and in the model."""
    first: tuple[int, int]
    """Texts that emerged in the baseline first, or alone, and in the model; at one checkpoint in
    both they are in neither count."""
    first_p_value: float
    """Exact two-sided p-value that either is as likely; 1 where there are none."""
    reason: str | None = None
    """Why values are NaN."""


@dataclass(frozen=True, eq=False)
class PairedTimes:
    """Texts by when they came at risk and emerged, as numbers of checkpoints; shapes (g,)."""

    entry: Int64Array
    """First checkpoint that had seen the text."""
    baseline: Int64Array
    """First checkpoint of the baseline that had memorized it; `checkpoints` where none had."""
    model: Int64Array
    """Likewise of the other model."""
    texts: Int64Array
    """How many such texts there are."""
    checkpoints: int


@dataclass(frozen=True, eq=False)
class _Strata:
    """A stratum is a checkpoint and whether texts came at risk at it or before; shapes (s, 2)."""

    at_risk: Int64Array
    events: Int64Array

    @property
    def tell(self) -> npt.NDArray[np.bool_]:
        """Return which tell of the ratio: both models have texts at risk, some emerge, not all."""
        events = self.events.sum(axis=1)
        some = (events > 0) & (events < self.at_risk.sum(axis=1))
        return np.asarray(some & (self.at_risk > 0).all(axis=1))


def hazard_ratio(times: PairedTimes) -> HazardRatio:
    """Estimate the ratio; texts that are memorized at their first checkpoint count there."""
    none = times.checkpoints
    emerged = [int(times.texts[of < none].sum()) for of in (times.baseline, times.model)]
    first = [
        int(times.texts[one < other].sum())
        for one, other in ((times.baseline, times.model), (times.model, times.baseline))
    ]
    counts = (emerged[0], emerged[1]), (first[0], first[1])
    p_first = compare_rates((first[1], first[0]), (1, 1)).p_value
    strata = _strata(times)
    reason = _reason(*counts, strata)
    if reason is None:
        beta, error, missed = _estimate(times, strata)
        if abs(missed) <= LEAST * error and error > 0:
            low, high = beta - Z95 * error, beta + Z95 * error
            p_value = 2 * float(stats.norm.sf(abs(beta) / error))
            ends = math.exp(low), math.exp(high)
            return HazardRatio(math.exp(beta), ends, p_value, *counts, p_first)
        reason = "no ratio was found that fits best"
    return HazardRatio(math.nan, UNDEFINED, math.nan, *counts, p_first, reason)


def _reason(emerged: tuple[int, int], first: tuple[int, int], strata: "_Strata") -> str | None:
    """Return why no ratio fits best, or none has an error; None where one does."""
    if min(emerged) < FEW:
        return (
            f"{emerged[0]:,} texts emerged in the baseline and {emerged[1]:,} in the model: at "
            f"least {FEW} are needed in each"
        )
    if not sum(first):
        return "each text emerged at the same checkpoint in both: the error cannot be estimated"
    n, d = (each[strata.tell] for each in (strata.at_risk, strata.events))
    none, every = d == 0, d == n
    # A larger ratio fits better and better where the model has all, or its baseline none.
    if (none[:, BASELINE] | every[:, MODEL]).all() or (none[:, MODEL] | every[:, BASELINE]).all():
        return (
            "at each checkpoint where the models differ, no text at risk emerged in one of them or "
            "all did in the other, so the ratio has no bound"
        )
    return None


def _strata(times: PairedTimes) -> _Strata:
    """Count texts at risk and events in each stratum, for each model."""
    shape = 2 * times.checkpoints, 2
    at_risk, events = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for arm, when in enumerate((times.baseline, times.model)):
        stop = np.minimum(when, times.checkpoints - 1)
        risk = at_risk[:, arm].reshape(-1, 2)
        np.add.at(risk[:, 0], times.entry, times.texts)
        later = stop > times.entry  # at risk from the checkpoint after the first on
        change = np.zeros(times.checkpoints + 1, np.int64)
        np.add.at(change, times.entry[later] + 1, times.texts[later])
        np.add.at(change, stop[later] + 1, -times.texts[later])
        risk[:, 1] = np.cumsum(change)[:-1]
        there = when < times.checkpoints
        place = _place(times.entry[there], when[there])
        np.add.at(events[:, arm], place, times.texts[there])
    return _Strata(at_risk, events)


def _place(entry: Int64Array, when: Int64Array) -> Int64Array:
    return 2 * when + (when > entry)


def _fit(strata: _Strata) -> FloatArray:
    """Return the log of the ratio, then the log hazard of each stratum that tells of it."""
    n, d = strata.at_risk[strata.tell], strata.events[strata.tell]
    own = np.eye(len(n))
    design = np.column_stack((np.repeat((0.0, 1.0), len(n)), np.vstack((own, own))))
    with np.errstate(all="ignore"):
        fitted = fit_shares(d.T.ravel(), n.T.ravel(), design, link="cloglog")
    return np.asarray(fitted.params, float)


def _estimate(times: PairedTimes, strata: _Strata) -> tuple[float, float, float]:
    """Return the log ratio, its standard error, and about how far it is from the best fit.

    The error is that of the efficient score of each text.

    A text at risk in a stratum has the score r = L (d / p - 1) of its log hazard, L the cumulative
    hazard and p = 1 - exp(-L). That of the ratio, with the stratum's own hazard projected out, is
    (z - w) r, w the model's part of the observed information: L of a text that did not emerge,
    L (1 + L exp(-L) / p^2 - 1 / p) of one that did. It holds where hazards are not proportional.
    """
    logs = _fit(strata)
    both = np.flatnonzero(strata.tell)
    hazard = np.zeros(strata.at_risk.shape)
    hazard[both] = np.exp(logs[1:, None] + logs[0] * np.arange(2))
    p = -np.expm1(-hazard)
    information = np.zeros(hazard.shape)
    lam, q = hazard[both], p[both]
    bend = lam * np.exp(-lam) / q**2 - 1 / q
    information[both] = lam * (strata.at_risk[both] + strata.events[both] * bend)
    total = information.sum(axis=1)
    share = np.divide(information[:, MODEL], total, out=np.zeros(len(total)), where=total > 0)
    score = np.zeros(len(times.entry))
    for arm, when in enumerate((times.baseline, times.model)):
        sign = arm - share
        # Every checkpoint at risk costs the hazard; the last one, where it emerged, gives L / p.
        waiting = np.concatenate(([0.0], np.cumsum((sign * hazard[:, arm])[1::2])))
        stop = np.minimum(when, times.checkpoints - 1)
        score -= (sign * hazard[:, arm])[2 * times.entry]
        score -= waiting[stop + 1] - waiting[times.entry + 1]
        there = when < times.checkpoints
        place = _place(times.entry[there], when[there])
        gain = np.divide(hazard[:, arm], p[:, arm], out=np.zeros(len(p)), where=p[:, arm] > 0)
        score[there] += (sign * gain)[place]
    efficient = float((information[:, MODEL] * (1 - share)).sum())
    if not efficient > 0:
        return math.nan, math.nan, math.nan
    error = math.sqrt(float(times.texts @ score**2)) / efficient
    return float(logs[0]), error, float(times.texts @ score) / efficient
