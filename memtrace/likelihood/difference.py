"""What training on a sequence is worth: exposed minus unexposed rows, in nats.

Order is random, so both groups are alike before training. A baseline, the log-likelihood of the
same row at a checkpoint that had seen neither, takes away most of what rows differ in anyway.
"""

import math
from dataclasses import dataclass

from scipy import stats

from memtrace.likelihood.sums import Moments
from memtrace.report.numbers import count
from memtrace.types import Interval

POWER = 0.8
LEVEL = 0.05
MARGIN = 0.01
"""Nats a token within which a difference does not matter, unless another is chosen beforehand."""
ROUNDING = 1e-7
"""Standard error, as a share of the log-likelihoods, below which it is one of rounding."""
FEW_ROWS = 30
"""Rows of a group below which no difference is said to be absent: Student's t is not exact there.
"""
ALL_SAME = "log-likelihoods do not vary within the groups"
NOTHING_LEFT = "given the baseline nothing is left to compare"


@dataclass(frozen=True)
class Equivalence:
    """Is the difference within a margin? Two one-sided tests (Schuirmann 1987)."""

    margin: float
    """Nats a token, either way."""
    p_value: float
    equivalent: bool | None
    """Whether a difference of the margin is ruled out at 5%; None where that is undefined."""
    reason: str | None = None
    """Why it is."""


@dataclass(frozen=True)
class Difference:
    """Mean log-likelihood of exposed rows minus that of unexposed ones, in nats a sequence."""

    exposed: int
    unexposed: int
    nats: float
    standard_error: float
    degrees_of_freedom: float
    residual_sd: float
    """Standard deviation of what the baseline leaves, in nats a sequence."""
    adjusted: bool
    """Whether a baseline was taken out."""
    reason: str | None = None
    """Why there is no difference."""

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of no difference."""
        t = self.nats / self.standard_error
        return float(2 * stats.t.sf(abs(t), self.degrees_of_freedom))

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the interval of Student's t."""
        t = stats.t.ppf((1 + confidence) / 2, self.degrees_of_freedom)
        half = float(t) * self.standard_error
        return self.nats - half, self.nats + half

    def equivalence(self, margin: float, tokens: int) -> Equivalence:
        """Test that the difference is within a margin.

        Args:
            margin: Nats a token, chosen before the data were seen.
            tokens: Of a continuation.
        """
        if self.reason:
            return Equivalence(margin, math.nan, None, self.reason)
        if (least := min(self.exposed, self.unexposed)) < FEW_ROWS:
            few = f"{least:,} rows of a group: at least {FEW_ROWS} are needed"
            return Equivalence(margin, math.nan, None, few)
        nearer = margin * tokens - abs(self.nats)
        p = float(stats.t.sf(nearer / self.standard_error, self.degrees_of_freedom))
        return Equivalence(margin, p, p < LEVEL)

    @property
    def detectable(self) -> float:
        """Return the difference that rows as many would show with 80% power, in nats."""
        t = stats.t(self.degrees_of_freedom)
        return float(t.isf(LEVEL / 2) + t.ppf(POWER)) * self.standard_error


def raw_difference(exposed: Moments, unexposed: Moments) -> Difference:
    """Compare the means; standard error and degrees of freedom of Welch (1947).

    Args:
        exposed: Of the rows that the checkpoint had seen.
        unexposed: Of those that it had not.
    """
    if reason := _too_few(exposed, unexposed, 2):
        return _undefined(exposed, unexposed, reason, adjusted=False)
    parts = [group.variance / group.n for group in (exposed, unexposed)]
    if _is_rounding(parts, exposed, unexposed):
        return _undefined(exposed, unexposed, ALL_SAME, adjusted=False)
    n = exposed.n + unexposed.n
    return Difference(
        exposed.n,
        unexposed.n,
        exposed.y - unexposed.y,
        math.sqrt(sum(parts)),
        _degrees_of_freedom(parts, [exposed.n - 1, unexposed.n - 1]),
        math.sqrt((exposed.yy + unexposed.yy) / (n - 2)),
        adjusted=False,
    )


def adjusted_difference(exposed: Moments, unexposed: Moments) -> Difference:
    """Compare the means at equal baseline (Lin 2013, Ann. Appl. Stat. 7:295).

    In each group least squares of the log-likelihood on the baseline, centred on the mean of both
    groups: the difference of the intercepts, SE^2 = s1^2 / n1 + s0^2 / n0, s_g^2 = RSS_g /
    (n_g - 2). Student's t has the degrees of freedom of Satterthwaite (1946), as Welch's has: with
    n1 + n0 - 4 a few exposed rows among many unexposed ones would be found to differ too often.

    Args:
        exposed: Of the rows that the checkpoint had seen.
        unexposed: Of those that it had not.
    """
    if reason := _too_few(exposed, unexposed, 3):
        return _undefined(exposed, unexposed, reason, adjusted=True)
    n = exposed.n + unexposed.n
    centre = (exposed.n * exposed.b + unexposed.n * unexposed.b) / n
    groups = (exposed, unexposed)
    one, other = (group.y + group.slope * (centre - group.b) for group in groups)
    squares = [group.residual_squares(group.slope) for group in groups]
    parts = [s / (g.n - 2) / g.n for s, g in zip(squares, groups, strict=True)]
    if _is_rounding(parts, exposed, unexposed):
        return _undefined(exposed, unexposed, NOTHING_LEFT, adjusted=True)
    return Difference(
        exposed.n,
        unexposed.n,
        one - other,
        math.sqrt(sum(parts)),
        _degrees_of_freedom(parts, [group.n - 2 for group in groups]),
        math.sqrt(sum(squares) / (n - 4)),
        adjusted=True,
    )


def rows_needed(nats: float, residual_sd: float, share: float) -> float:
    """Return how many rows show a difference with 80% power at 5%.

    n = (1.96 + 0.84)^2 s^2 / (d^2 f (1 - f)).

    Args:
        nats: The difference d, nats a sequence.
        residual_sd: Standard deviation s of what the baseline leaves.
        share: Share f of the rows that are exposed.
    """
    quantiles = float(stats.norm.isf(LEVEL / 2) + stats.norm.ppf(POWER))
    return quantiles**2 * residual_sd**2 / (nats**2 * share * (1 - share))


def _is_rounding(variances: list[float], exposed: Moments, unexposed: Moments) -> bool:
    """Return whether the variance of a difference is 0 but for rounding: there is no error then."""
    size = max(abs(exposed.y), abs(unexposed.y))
    return math.sqrt(sum(variances)) <= ROUNDING * size


def _degrees_of_freedom(variances: list[float], own: list[int]) -> float:
    """Return those of a sum of two variances with degrees of freedom of their own (Satterthwaite).

    From the smaller of the two to their sum.
    """
    below = sum(v**2 / n for v, n in zip(variances, own, strict=True))
    return sum(variances) ** 2 / below if below else float(sum(own))


def _too_few(exposed: Moments, unexposed: Moments, least: int) -> str | None:
    for group, name in ((exposed, "exposed"), (unexposed, "unexposed")):
        if not group.n:
            return f"no {name} row was scanned"
        if group.n < least:
            return f"{count(group.n, f'{name} row')}: at least {least} are needed"
    return None


def _undefined(exposed: Moments, unexposed: Moments, reason: str, *, adjusted: bool) -> Difference:
    nan = math.nan
    return Difference(exposed.n, unexposed.n, nan, nan, nan, nan, adjusted, reason)
