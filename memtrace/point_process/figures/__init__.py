"""Figures of a Poisson fit: an axes in, the axes out.

They compute no statistic: every number comes from the fit.
"""

from memtrace.point_process.figures.pages import FIGURES, page, save, small_multiples
from memtrace.point_process.figures.training import (
    cumulative_deviation,
    exposed_and_unexposed,
    rate_over_training,
    residuals,
)
from memtrace.point_process.figures.windows import fano_curve, hanging_rootogram, qq_window_counts
from memtrace.report.figures import write_figure

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
