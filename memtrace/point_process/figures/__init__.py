"""Figures of a Poisson fit: an axes in, the axes out; every number comes from the fit."""

from functools import partial

from memtrace.point_process.figures.layout import (
    FIGURES,
    overview,
    shown,
    single,
    small_multiples,
)
from memtrace.point_process.figures.texts import exposed_and_unexposed, texts_by_copies
from memtrace.point_process.figures.training import (
    cumulative_deviation,
    rate_over_training,
    residuals,
)
from memtrace.point_process.figures.windows import fano_curve, hanging_rootogram, qq_window_counts
from memtrace.storage.modules import submodule

__all__ = [
    "FIGURES",
    "cumulative_deviation",
    "exposed_and_unexposed",
    "fano_curve",
    "hanging_rootogram",
    "overview",
    "qq_window_counts",
    "rate_over_training",
    "residuals",
    "shown",
    "single",
    "small_multiples",
    "texts_by_copies",
]

__getattr__ = partial(submodule, __name__)
