"""Is emergence a Poisson process along training? Counts between checkpoints and their exposure.

When in an interval between two checkpoints a text emerged nobody knows: what needs exact
positions is undefined here and says so.
"""

from collections.abc import Sequence

import numpy as np

from memtrace.emergence.dispersion import emergence_dispersion
from memtrace.emergence.histories import Histories
from memtrace.emergence.overdispersion import local_overdispersion
from memtrace.emergence.process.document import document
from memtrace.emergence.process.figures import process_figure
from memtrace.emergence.process.models import change_of, drift_of, rates_between_cuts, smooth_rate
from memtrace.emergence.process.page import brief, finding
from memtrace.emergence.process.result import EmergenceProcessResult
from memtrace.emergence.process.text import text
from memtrace.emergence.process.verdict import verdict
from memtrace.emergence.windows import emergence_windows
from memtrace.point_process.models.constant import garwood_interval
from memtrace.point_process.models.counts import negative_binomial, poisson_counts
from memtrace.point_process.models.piecewise import Cut
from memtrace.point_process.windows import Windows
from memtrace.report.base import Renderers, Report
from memtrace.types import UNDEFINED, Interval


class EmergenceProcess(Report, EmergenceProcessResult):
    """Everything that `fit_emergence_process` finds out about one model."""

    renderers = Renderers(verdict, document, text, process_figure, finding, brief)


def fit_emergence_process(
    histories: Histories, *, margin: float = 1.05, seed: int = 0, cuts: Sequence[Cut] = ()
) -> EmergenceProcess:
    """Fit a Poisson process to the times of emergence along training.

    Events are first memorizations of texts after exposure, exposure the texts trained on and not
    yet memorized times the steps: so neither that more texts have been seen later in training, nor
    that checkpoints are unequally far apart, looks like a drift. Within an interval between
    checkpoints the rate counts as constant.

    Args:
        histories: As `read_histories` returns them.
        margin: Rate ratio between the end and the start of training that counts as a drift.
        seed: Seed of the simulations.
        cuts: Points of training at which the rate may change, chosen beforehand; their index is a
            step, and rates are compared at the next checkpoint.

    Raises:
        FitError: The margin is not above 1.
    """
    windows, stop, u, left_out = emergence_windows(histories)
    trend, drifting = drift_of(windows, u)
    models = [poisson_counts(windows), drifting, rates_between_cuts(windows, stop, cuts)]
    models += [smooth_rate(windows, u), negative_binomial(windows)]
    return EmergenceProcess(
        histories=histories,
        windows=windows,
        stop=stop,
        u=u,
        left_out=left_out,
        rate_ci95=_rate_interval(windows),
        dispersion=emergence_dispersion(histories, np.random.default_rng([seed, 2])),
        local_overdispersion=local_overdispersion(windows, u, np.random.default_rng([seed, 1])),
        trend=trend,
        equivalence=trend.equivalence(margin),
        change_point=change_of(windows, np.random.default_rng(seed)),
        models=tuple(models),
        seed=seed,
    )


def _rate_interval(windows: Windows) -> Interval:
    exposure = int(windows.exposures.sum())
    if not exposure:
        return UNDEFINED
    low, high = garwood_interval(int(windows.counts.sum()), exposure)
    return float(low), float(high)
