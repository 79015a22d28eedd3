"""Figures of a Poisson fit: an axes in, the axes out.

They compute no statistic: every number comes from the fit.
"""

from memtrace.plots.pages import FIGURES, page, save, small_multiples
from memtrace.plots.style import write_figure
from memtrace.plots.training import (
    cumulative_deviation,
    exposed_and_unexposed,
    rate_over_training,
    residuals,
)
from memtrace.plots.windows import fano_curve, hanging_rootogram, qq_window_counts

__all__ = [
    "FIGURES",
    "cumulative_deviation",
    "exposed_and_unexposed",
    "fano_curve",
    "hanging_rootogram",
    "page",
    "qq_window_counts",
    "rate_over_training",
    "residuals",
    "save",
    "small_multiples",
    "write_figure",
]
