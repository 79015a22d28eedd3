"""Does a line on log axes bend, and where? A test of curvature, and the best broken line."""

from dataclasses import dataclass

import numpy as np

from memtrace.comparison.regression import by_size, fit_line, weighted_squares
from memtrace.types import FloatArray, Interval

LEVEL = 0.05
FEWEST, FEWEST_BROKEN = 4, 5
"""Sizes that a test of curvature needs, and that a broken line needs."""
GRID = 200


@dataclass(frozen=True)
class Bend:
    """Curvature of log share over log parameters."""

    curvature: float
    """Of the square of log parameters."""
    ci95: Interval
    p_value: float
    slopes: tuple[float, float]
    """Of the curve at the smallest and the largest size."""
    parameters: float | None
    """Where the best broken line breaks; None where the curvature is not shown, or sizes are too
    few."""

    @property
    def shown(self) -> bool:
        """Return whether the curvature is shown: p < 0.05."""
        return self.p_value < LEVEL


def find_bend(x: FloatArray, y: FloatArray, covariance: FloatArray) -> Bend | None:
    """Test whether a parabola fits better than a line, and look for the break if it does.

    Args:
        x: Parameters, shape (n,).
        y: Shares, shape (n,).
        covariance: Of log y by counts, shape (n, n).

    Returns:
        None where there are fewer than four sizes.
    """
    if len(np.unique(x)) < FEWEST:
        return None
    curve = fit_line(x, y, covariance, degree=2)
    first, second = (float(one) for one in curve.coefficients[1:])
    ends = np.log([x.min(), x.max()]) - curve.centre
    slopes = first + 2 * second * ends
    p_value = curve.p_value(2)
    broken = p_value < LEVEL and len(np.unique(x)) >= FEWEST_BROKEN
    return Bend(
        second,
        curve.interval(2),
        p_value,
        (float(slopes[0]), float(slopes[1])),
        _break(x, y, covariance, curve.tau) if broken else None,
    )


def _break(x: FloatArray, y: FloatArray, covariance: FloatArray, tau: float) -> float:
    """Return where the continuous line of two pieces with the least squares breaks."""
    of = by_size(x, y, covariance)
    places = np.linspace(of.u[1], of.u[-2], GRID)
    squares = [
        weighted_squares(
            np.column_stack((np.ones(len(of.u)), of.u, np.maximum(of.u - at, 0))),
            of.v,
            of.covariance,
            tau,
        )
        for at in places
    ]
    return float(np.exp(places[int(np.argmin(squares))]))
