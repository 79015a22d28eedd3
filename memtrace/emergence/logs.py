"""From logarithms and logits back to numbers, without overflow."""

import math

LARGEST = 709.0
"""Logarithm up to which a number fits into a float."""


def exp(x: float) -> float:
    """Return e to the power x, infinite where that is too large for a float."""
    return math.inf if x > LARGEST else math.exp(x)


def logit(p: float) -> float:
    """Return log(p / (1 - p))."""
    return math.log(p / (1 - p))


def expit(x: float) -> float:
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + exp(-x))
