"""Poisson regression: the log of the rate of counts in groups as a linear function."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from memtrace.types import FloatArray, Int64Array

TOLERANCE, ROUNDS = 1e-13, 200


@dataclass(frozen=True, eq=False)
class LogLinearRates:
    """Fitted counts of mean e exp(x b), of groups with exposure e and covariates x."""

    coefficients: FloatArray
    """b, shape (columns,)."""
    covariance: FloatArray
    """Of the coefficients, for Poisson counts: the inverse of the information."""
    expected: FloatArray
    """Fitted counts, shape (g,)."""
    deviance: float
    """Twice what the fit lacks of the largest log-likelihood."""
    pearson: float
    """Sum of (count - expected)^2 / expected."""

    @property
    def standard_errors(self) -> FloatArray:
        """Return the standard error of each coefficient."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    def gain(self, counts: Int64Array, exposures: Int64Array | FloatArray) -> float:
        """Return twice the gain in log-likelihood over one constant rate."""
        constant = exposures * (counts.sum() / exposures.sum())
        # The sums of both expectations are equal but for rounding, which their difference removes.
        gains = special.xlogy(counts, self.expected / constant) - (self.expected - constant)
        return 2 * float(gains.sum())


def fit_log_linear(
    counts: Int64Array, exposures: Int64Array | FloatArray, design: FloatArray
) -> LogLinearRates | None:
    """Fit Poisson counts by iteratively reweighted least squares (Nelder and Wedderburn 1972).

    Where a rate goes to 0 a coefficient goes to minus infinity; it is left where the likelihood
    grows no more.

    Args:
        counts: Events in each group, shape (g,).
        exposures: Sequences in each group, shape (g,).
        design: One row for each group, shape (g, columns).

    Returns:
        The fit, or None where the numbers leave what a float can hold, or find no rest.
    """
    offset, expected, deviance = np.log(exposures), (counts + counts.mean()) / 2, np.inf
    with np.errstate(all="ignore"):
        for _ in range(ROUNDS):
            if (inverse := _inverse(expected, design)) is None:
                return None
            response = np.log(expected) - offset + (counts - expected) / expected
            coefficients = inverse @ (np.sqrt(expected) * response)
            expected, before = np.exp(design @ coefficients + offset), deviance
            log_ratio = special.xlogy(counts, counts / expected)
            deviance = 2 * float((log_ratio - (counts - expected)).sum())
            if abs(before - deviance) <= TOLERANCE * max(deviance, 1.0):
                break
        else:
            return None
        inverse = _inverse(expected, design)
    if inverse is None:
        return None
    pearson = float(((counts - expected) ** 2 / expected).sum())
    return LogLinearRates(coefficients, inverse @ inverse.T, expected, deviance, pearson)


def _inverse(expected: FloatArray, design: FloatArray) -> FloatArray | None:
    """Return the pseudoinverse of the design, each row weighted by the root of its variance."""
    if not (np.isfinite(expected).all() and expected.min(initial=np.inf) > 0):
        return None
    return np.asarray(np.linalg.pinv(np.sqrt(expected)[:, None] * design))
