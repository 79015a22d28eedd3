"""Every other check of the order of the events: dependence, gaps, scales, residuals, as one value.

They are descriptive: the primary end point is the trend.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from memtrace.point_process.diagnostics.dispersion import pearson_residuals
from memtrace.point_process.diagnostics.gaps import (
    Gaps,
    LewisRobinson,
    geometric_gaps,
    lewis_robinson,
)
from memtrace.point_process.diagnostics.mil_hdbk import mil_hdbk_p
from memtrace.point_process.diagnostics.overdispersion import Overdispersion, overdispersion
from memtrace.point_process.diagnostics.residuals import Rescaling, rescaling
from memtrace.point_process.diagnostics.second_order import FanoCurve, RipleyK, fano_curve, ripley_k
from memtrace.point_process.diagnostics.serial import LjungBox, Runs, ljung_box, runs
from memtrace.point_process.events import EventSequence
from memtrace.point_process.model import Model
from memtrace.point_process.windows import Windows


@dataclass(frozen=True, eq=False)
class Checks:
    """Descriptive tests and curves of one fit."""

    gaps: Gaps
    lewis_robinson: LewisRobinson
    mil_hdbk_p_value: float
    ljung_box: LjungBox
    runs: Runs
    overdispersion: Overdispersion
    rescaling: Rescaling
    """Of the model with the smallest Bayesian criterion."""
    fano: FanoCurve
    ripley: tuple[RipleyK, ...]
    """Pairs within a quarter of the unit and within the unit, where they can be counted."""

    def p_values(self) -> dict[str, float]:
        """Return each test's p-value by its name."""
        return {
            "gaps, geometric": self.gaps.p_value,
            "Lewis-Robinson": self.lewis_robinson.p_value,
            "MIL-HDBK-189": self.mil_hdbk_p_value,
            "Ljung-Box": self.ljung_box.p_value,
            "runs": self.runs.p_value,
            "rescaled gaps, KS": self.rescaling.p_value,
            "rescaled gaps, lag 1": self.rescaling.autocorrelation_p_value,
        }


def check(
    events: EventSequence, windows: Windows, best: Model, unit: int, rng: np.random.Generator
) -> Checks:
    """Run every check.

    Args:
        events: Events and exposure.
        windows: Their counts in windows.
        best: The model whose residuals are tested.
        unit: Length of one optimizer step, or of a window, in sequences.
        rng: Draws within the steps of discrete distributions.
    """
    ranks, total = events.ranks, events.exposure
    u = (ranks + 0.5) / max(total, 1)
    radii = [radius for radius in (unit // 4, unit) if 0 < radius < total]
    mean = np.asarray(windows.exposures * (events.n_events / max(total, 1)), np.float64)
    with ThreadPoolExecutor(1) as beside:  # NumPy counts pairs without holding Python's lock
        ripley = beside.submit(ripley_k, ranks, total, radii)
        return Checks(
            gaps=geometric_gaps(np.diff(ranks)),
            lewis_robinson=lewis_robinson(u),
            mil_hdbk_p_value=mil_hdbk_p(ranks, total),
            ljung_box=ljung_box(pearson_residuals(windows), rng=rng),
            runs=runs(ranks, total),
            overdispersion=overdispersion(windows.counts, mean),
            rescaling=rescaling(events, best, rng),
            fano=fano_curve(events, unit),
            ripley=ripley.result(),
        )
