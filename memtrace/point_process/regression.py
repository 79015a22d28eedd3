"""Rates of counts in groups by regression: generalised linear models, by statsmodels."""

import warnings
from typing import Any

import numpy as np
from statsmodels.genmod import families
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning, SingularMatrixWarning

from memtrace.types import FloatArray, Int64Array

TOLERANCE = 1e-13
"""Standard errors use the weights of the last step but one, so it must be a short one."""


def fit_rates(
    counts: Int64Array,
    exposures: Int64Array | FloatArray,
    design: FloatArray,
    *,
    link: str = "log",
    covariance: str = "nonrobust",
    scale: str | None = None,
    offset: FloatArray | None = None,
) -> Any:
    """Fit rates of counts and return the results of statsmodels' GLM.

    Args:
        counts: Events in each group, shape (g,).
        exposures: Sequences in each group, shape (g,).
        design: One row for each group, shape (g, columns).
        link: `log`: Poisson counts of mean e exp(x b). `logit` or `cloglog`: at most one event a
            sequence; cloglog is the exact link of a Poisson process of which a sequence shows only
            whether it had an event.
        covariance: As statsmodels names it: `nonrobust`, or a sandwich such as `HC0`.
        scale: None for the distribution's own, `X2` to estimate it from Pearson residuals.
        offset: Known part of x b in each group, shape (g,): with `cloglog` the log of the time
            during which a sequence could have its event.
    """
    if link == "log":
        known = np.log(exposures) if offset is None else np.log(exposures) + offset
        model = GLM(counts, design, family=families.Poisson(), offset=known)
    else:
        links = {"logit": families.links.Logit(), "cloglog": families.links.CLogLog()}
        both = np.column_stack((counts, exposures - counts))
        model = GLM(both, design, family=families.Binomial(link=links[link]), offset=offset)
    with warnings.catch_warnings():
        # Counts that follow the design exactly, such as equal ones, are no separation of 0 and 1.
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        # A rate that goes to 0 leaves no finite estimate: the caller looks for one.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", SingularMatrixWarning)
        return model.fit(tol=TOLERANCE, maxiter=200, cov_type=covariance, scale=scale)


def finite_rates(counts: Int64Array, exposures: Int64Array, design: FloatArray) -> Any | None:
    """Fit rates as `fit_rates` does, or return None where one goes to 0 and leaves no numbers."""
    try:
        return fit_rates(counts, exposures, design)
    except ValueError:  # statsmodels, of weights that are no longer numbers
        return None
