"""Shares of groups by regression: binomial generalised linear models, by statsmodels."""

import warnings
from typing import Any

import numpy as np

from memtrace.types import FloatArray, Int64Array

TOLERANCE = 1e-13
"""Standard errors use the weights of the last step but one, so it must be a short one."""


def fit_shares(
    counts: Int64Array,
    exposures: Int64Array,
    design: FloatArray,
    *,
    link: str,
    offset: FloatArray | None = None,
) -> Any:
    """Fit shares of counts and return the results of statsmodels' GLM.

    Args:
        counts: Sequences with an event in each group, shape (g,).
        exposures: Sequences in each group, shape (g,).
        design: One row for each group, shape (g, columns).
        link: `logit`, or `cloglog`: the exact link of a Poisson process of which a sequence shows
            only whether it had an event.
        offset: Known part of x b in each group, shape (g,): with `cloglog` the log of the time
            during which a sequence could have its event.
    """
    from statsmodels.genmod import families
    from statsmodels.genmod.generalized_linear_model import GLM
    from statsmodels.tools.sm_exceptions import PerfectSeparationWarning, SingularMatrixWarning

    links = {"logit": families.links.Logit(), "cloglog": families.links.CLogLog()}
    both = np.column_stack((counts, exposures - counts))
    model = GLM(both, design, family=families.Binomial(link=links[link]), offset=offset)
    with warnings.catch_warnings():
        # Counts that follow the design exactly, such as equal ones, are no separation of 0 and 1.
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        # A rate that goes to 0 leaves no finite estimate: the caller looks for one.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", SingularMatrixWarning)
        return model.fit(tol=TOLERANCE, maxiter=200)
