"""A line through shares on log axes, for few models that scatter more than their counts explain.

    log y_i = a + b log x_i + m_i + e_i,   m_i ~ N(0, tau^2),   e ~ N(0, V)

V is what counts of texts leave uncertain; all models are asked the same texts, so it is not
diagonal. tau is how models scatter about the line (random-effects meta-regression), by restricted
maximum likelihood (Thompson and Sharp 1999, Stat. Med. 18:2693). Intervals are those of Knapp and
Hartung (2003, Stat. Med. 22:2693): Student's t with sizes minus coefficients degrees of freedom,
and a scale of the residuals that is not taken below 1 (Röver, Knapp and Friede 2015, BMC Med. Res.
Methodol. 15:99). Models of one size, which differ by their seed, are one point, their mean: they
tell how seeds scatter, and nothing of how sizes scatter about a line.
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
LARGEST_EXPONENT = 700.0
"""Beyond which a factor is infinite: near the end of what a float holds."""


@dataclass(frozen=True, eq=False)
class Line:
    """A fitted polynomial in log x, with what is needed to predict from it."""

    coefficients: FloatArray
    """Of the powers of log x - centre, ascending, shape (k,)."""
    covariance: FloatArray
    """Of the coefficients, with Knapp and Hartung's scale, shape (k, k)."""
    tau: float
    """Standard deviation of sizes about the line, on the log scale."""
    degrees: int
    """Different sizes minus coefficients."""
    centre: float
    """Mean of log x over sizes."""
    weights: FloatArray
    """Of the log share of each model in each coefficient, shape (k, n)."""
    of_seed: float
    """Variance of one model's log share beyond that of a size's mean; 0 without equal sizes."""

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

    def powers(self, x: float) -> FloatArray:
        """Return what the coefficients are multiplied by at x, shape (k,)."""
        return np.asarray((math.log(x) - self.centre) ** np.arange(len(self.coefficients)), float)

    def predict(self, x: float, counting: float = 0.0) -> tuple[float, Interval]:
        """Return y at x and the 95% prediction interval of another model's share there.

        Args:
            x: The size.
            counting: What counts of texts add to the variance of the difference between the log
                share and the line; 0 for the true share of the other model.
        """
        powers = self.powers(x)
        middle = float(self.coefficients @ powers)
        if not self.degrees:
            return factor(middle), UNDEFINED
        scatter = self.tau**2 + self.of_seed + counting
        half = self.quantile * math.sqrt(float(powers @ self.covariance @ powers) + scatter)
        return factor(middle), (factor(middle - half), factor(middle + half))


@dataclass(frozen=True, eq=False)
class Sizes:
    """Shares by size, each the geometric mean of its models."""

    u: FloatArray
    """Logarithm of the size, ascending, shape (k,)."""
    v: FloatArray
    """Mean log share, shape (k,)."""
    covariance: FloatArray
    """Of v by counts, shape (k, k)."""
    means: FloatArray
    """Weight of each model in each size, shape (k, n)."""
    of_seed: float
    """Variance of one model's log share beyond that of a size's mean."""


def factor(exponent: float) -> float:
    """Return e to this power, infinite where that is too large for a float."""
    return math.exp(exponent) if exponent < LARGEST_EXPONENT else math.inf


def by_size(x: FloatArray, y: FloatArray, covariance: FloatArray) -> Sizes:
    """Average models of equal size.

    Args:
        x: Sizes, shape (n,).
        y: Shares, shape (n,).
        covariance: Of log y by counts, shape (n, n).
    """
    sizes, which, models = np.unique(x, return_inverse=True, return_counts=True)
    means = (which == np.arange(len(sizes))[:, None]) / models[:, None]
    v = np.log(y)
    left = len(x) - len(sizes)
    within = float(((v - (means @ v)[which]) ** 2).sum()) / left if left else 0.0
    # A mean of K seeds has a share of 1 / K of their variance, which tau holds.
    of_seed = within * (1 - float((1 / models).mean()))
    return Sizes(np.log(sizes), means @ v, means @ covariance @ means.T, means, of_seed)


def fit_line(x: FloatArray, y: FloatArray, covariance: FloatArray, degree: int = 1) -> Line:
    """Fit a polynomial to log y over log x.

    Args:
        x: Above 0, with more than `degree` different values, shape (n,).
        y: Above 0, shape (n,).
        covariance: Of log y by counts alone, shape (n, n).
        degree: 1 is a line.
    """
    of = by_size(x, y, covariance)
    centre = float(of.u.mean())
    design = (of.u - centre)[:, None] ** np.arange(degree + 1)
    degrees = len(of.u) - degree - 1
    tau = _tau(design, of.v, of.covariance) if degrees else 0.0
    coefficients, spread, squares, _ = _solve(design, of.v, of.covariance, tau)
    scale = max(1.0, squares / degrees) if degrees else 1.0
    weights = spread @ np.linalg.solve(_whole(of.covariance, tau), design).T @ of.means
    return Line(coefficients, scale * spread, tau, degrees, centre, weights, of.of_seed)


def counts_interval(x: FloatArray, y: FloatArray, covariance: FloatArray) -> Interval:
    """Return the interval of the slope that counts alone leave: normal, without any scatter."""
    of = by_size(x, y, covariance)
    design = np.column_stack((np.ones(len(of.u)), of.u))
    coefficients, spread, _, _ = _solve(design, of.v, of.covariance, 0.0)
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


def _whole(covariance: FloatArray, tau: float) -> FloatArray:
    """Return the covariance by counts and scatter; the least variance keeps it regular."""
    return covariance + (tau**2 + LEAST_VARIANCE) * np.eye(len(covariance))


def _solve(
    design: FloatArray, v: FloatArray, covariance: FloatArray, tau: float
) -> tuple[FloatArray, FloatArray, float, float]:
    """Return coefficients, their covariance, weighted squares and the sum of log determinants."""
    factor = linalg.cholesky(_whole(covariance, tau), lower=True)
    x, y = (linalg.solve_triangular(factor, one, lower=True) for one in (design, v))
    q, r = np.linalg.qr(x)
    inverse = linalg.solve_triangular(r, np.eye(len(r)))
    spread = np.asarray(inverse @ inverse.T, float)
    coefficients = np.asarray(inverse @ (q.T @ y), float)
    squares = float(((y - x @ coefficients) ** 2).sum())
    logs = 2 * float(np.log(np.diag(factor)).sum() + np.log(np.abs(np.diag(r))).sum())
    return coefficients, spread, squares, logs
