"""A line through shares on log axes, for few models that scatter more than their counts explain.

    log y_i = a + b log x_i + m_i + e_i,   m_i ~ N(0, tau^2),   e ~ N(0, V)

V is what counts of texts leave uncertain; all models are asked the same texts, so it is not
diagonal. tau is how models scatter about the line (random-effects meta-regression), by restricted
maximum likelihood (Thompson and Sharp 1999, Stat. Med. 18:2693). Intervals are those of Knapp and
Hartung (2003, Stat. Med. 22:2693): Student's t with models minus coefficients degrees of freedom,
and a scale of the residuals that is not taken below 1 (Röver, Knapp and Friede 2015, BMC Med. Res.
Methodol. 15:99).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, special

from memtrace.point_process.shares import Z
from memtrace.types import UNDEFINED, FloatArray, Interval

HALF_WIDTH = 0.975
"""Quantile of a 95% interval."""
LEAST_VARIANCE = 1e-12
"""Of the logarithm of a share."""


@dataclass(frozen=True, eq=False)
class Line:
    """A fitted polynomial in log x, with what is needed to predict from it."""

    coefficients: FloatArray
    """Of the powers of log x - centre, ascending, shape (k,)."""
    covariance: FloatArray
    """Of the coefficients, with Knapp and Hartung's scale, shape (k, k)."""
    tau: float
    """Standard deviation of models about the line, on the log scale."""
    degrees: int
    """Models minus coefficients."""
    centre: float
    """Mean of log x."""

    @property
    def quantile(self) -> float:
        """Return Student's t for a 95% interval; NaN where no model is left over."""
        return float(special.stdtrit(self.degrees, HALF_WIDTH)) if self.degrees else math.nan

    def interval(self, power: int) -> Interval:
        """Return the 95% interval of a coefficient; undefined where no model is left over."""
        if not self.degrees:
            return UNDEFINED
        half = self.quantile * math.sqrt(self.covariance[power, power])
        return float(self.coefficients[power]) - half, float(self.coefficients[power]) + half

    def p_value(self, power: int) -> float:
        """Return the two-sided p-value that a coefficient is 0; NaN where no model is left over."""
        if not self.degrees:
            return math.nan
        t = abs(float(self.coefficients[power])) / math.sqrt(self.covariance[power, power])
        return 2 * float(special.stdtr(self.degrees, -t))

    def predict(self, x: float) -> tuple[float, Interval]:
        """Return y at x and the 95% prediction interval of another model's true share there."""
        powers = (math.log(x) - self.centre) ** np.arange(len(self.coefficients))
        middle = float(self.coefficients @ powers)
        if not self.degrees:
            return math.exp(middle), UNDEFINED
        half = self.quantile * math.sqrt(float(powers @ self.covariance @ powers) + self.tau**2)
        return math.exp(middle), (math.exp(middle - half), math.exp(middle + half))


def fit_line(x: FloatArray, y: FloatArray, covariance: FloatArray, degree: int = 1) -> Line:
    """Fit a polynomial to log y over log x.

    Args:
        x: Above 0, with more than `degree` different values, shape (n,).
        y: Above 0, shape (n,).
        covariance: Of log y by counts alone, shape (n, n).
        degree: 1 is a line.
    """
    u, v = np.log(x), np.log(y)
    centre = float(u.mean())
    design = (u - centre)[:, None] ** np.arange(degree + 1)
    degrees = len(u) - degree - 1
    tau = _tau(design, v, covariance) if degrees else 0.0
    coefficients, spread, squares, _ = _solve(design, v, covariance, tau)
    scale = max(1.0, squares / degrees) if degrees else 1.0
    return Line(coefficients, scale * spread, tau, degrees, centre)


def counts_interval(x: FloatArray, y: FloatArray, covariance: FloatArray) -> Interval:
    """Return the interval of the slope that counts alone leave: normal, without any scatter."""
    u = np.log(x)
    design = np.column_stack((np.ones(len(u)), u))
    coefficients, spread, _, _ = _solve(design, np.log(y), covariance, 0.0)
    slope, half = float(coefficients[1]), Z * math.sqrt(spread[1, 1])
    return slope - half, slope + half


def weighted_squares(
    design: FloatArray, v: FloatArray, covariance: FloatArray, tau: float
) -> float:
    """Return the squares of residuals, weighted by counts and scatter, of the best coefficients."""
    return _solve(design, v, covariance, tau)[2]


def _tau(design: FloatArray, v: FloatArray, covariance: FloatArray) -> float:
    """Return the restricted maximum likelihood estimate of tau, 0 where counts explain all."""
    residual = v - design @ np.linalg.lstsq(design, v, rcond=None)[0]
    largest = max(float(np.abs(residual).max()) * 4, 1e-9)
    grid = np.concatenate(([0.0], largest * np.geomspace(1e-4, 1, 40)))
    losses = [_loss(one, design, v, covariance) for one in grid]
    best = int(np.argmin(losses))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        _loss, bounds=(low, high), args=(design, v, covariance), method="bounded",
        options={"xatol": largest * 1e-7},
    )  # fmt: skip
    return float(found.x) if found.fun < losses[best] else float(grid[best])


def _loss(tau: float, design: FloatArray, v: FloatArray, covariance: FloatArray) -> float:
    """Return minus twice the restricted log-likelihood, up to a constant."""
    _, _, squares, logs = _solve(design, v, covariance, tau)
    return squares + logs


def _solve(
    design: FloatArray, v: FloatArray, covariance: FloatArray, tau: float
) -> tuple[FloatArray, FloatArray, float, float]:
    """Return coefficients, their covariance, weighted squares and the sum of log determinants."""
    # The least variance keeps shares of which counts leave no doubt, 0 or 1, from dividing by 0.
    whole = covariance + (tau**2 + LEAST_VARIANCE) * np.eye(len(v))
    factor = linalg.cholesky(whole, lower=True)
    x, y = (linalg.solve_triangular(factor, one, lower=True) for one in (design, v))
    q, r = np.linalg.qr(x)
    inverse = linalg.solve_triangular(r, np.eye(len(r)))
    spread = np.asarray(inverse @ inverse.T, float)
    coefficients = np.asarray(inverse @ (q.T @ y), float)
    squares = float(((y - x @ coefficients) ** 2).sum())
    logs = 2 * float(np.log(np.diag(factor)).sum() + np.log(np.abs(np.diag(r))).sum())
    return coefficients, spread, squares, logs
