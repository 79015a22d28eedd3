"""Chances of a continuation among n samples, in logarithms: small ones do not become 0.

Hayes, Swanberg, Chaudhari, Yona, Shumailov, Nasr, Choquette-Choo, Lee and Cooper (2024), Measuring
memorization in language models via probabilistic extraction, arXiv:2410.19482: a sequence z is
(n, p)-discoverable if 1 - (1 - p_z)^n >= p, where p_z is the probability of its continuation.
"""

import math

import numpy as np
import numpy.typing as npt

from memtrace.errors import FitError
from memtrace.types import FloatArray


def chance_within(log_likelihood: npt.ArrayLike, n: float) -> FloatArray:
    """Return the chance that n samples hold the continuation: 1 - (1 - p_z)^n, elementwise.

    Args:
        log_likelihood: log p_z in nats.
        n: Number of samples.
    """
    with np.errstate(divide="ignore"):  # p_z = 1 has the logarithm of 0
        missed = np.log1p(-np.exp(np.minimum(np.asarray(log_likelihood, float), 0.0)))
    return np.asarray(-np.expm1(n * missed))


def least_log_likelihood(n: float, p: float) -> float:
    """Return the log-likelihood from which on a sequence is (n, p)-discoverable.

    log(1 - (1 - p)^(1 / n)), which needs no power of what is close to 1.

    Args:
        n: Number of samples, at least 1.
        p: Chance, between 0 and 1.

    Raises:
        FitError: n or p is out of range.
    """
    if not 1 <= n < math.inf:
        raise FitError(f"n = {n:g} must be at least 1: how many samples are drawn")
    if not 0 < p < 1:
        raise FitError(f"p = {p:g} must lie between 0 and 1, such as 0.5")
    return math.log(-math.expm1(math.log1p(-p) / n))
