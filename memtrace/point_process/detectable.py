"""What could have been seen: how many events or windows it takes to notice a departure.

Closed forms of the size of a departure and of the sample; no data are used.
"""

import math
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Credibility:
    """Sample sizes at which random order would be rejected half the time (Lindsay and Liu 2009).

    Below them the model is a credible description, whatever the p-value at the size at hand.
    """

    events_laplace: float
    """Events for the two-sided test of a drift: 12 (z / theta)^2."""
    windows_dispersion: float
    """Windows for the one-sided test of over-dispersion: 2 (z / excess)^2."""
    events_dispersion: float
    """Events in those windows."""


@dataclass(frozen=True)
class DispersionPower:
    """What the dispersion of window counts can and cannot show."""

    standard_error: float
    """Of the index, sqrt(2 / (W - 1))."""
    expected_poisson: float
    """Poisson index in random order with at most one event a sequence: 1 - p."""
    hidden_trend: float
    """Slope b of a density 1 + b (2 u - 1) that just lifts the Poisson index back to 1."""


def credibility(
    theta: float, index_excess: float, mean_per_window: float, alpha: float = 0.05
) -> Credibility:
    """Return the sample sizes that would tell the departures from random order.

    Args:
        theta: Log of the rate ratio end over start.
        index_excess: Index of dispersion less 1.
        mean_per_window: Events in a window.
        alpha: Level of the tests.
    """
    two, one = float(stats.norm.isf(alpha / 2)), float(stats.norm.isf(alpha))
    events = 12 * (two / theta) ** 2 if theta else math.inf
    windows = 2 * (one / index_excess) ** 2 if index_excess > 0 else math.inf
    return Credibility(events, windows, windows * mean_per_window)


def dispersion_power(p: float, windows: int, mean_per_window: float) -> DispersionPower:
    """Return the error of the index and the linear trend that it cannot see.

    Args:
        p: Share of the sequences that are events.
        windows: Number of windows.
        mean_per_window: Events in a window.
    """
    error = math.sqrt(2 / (windows - 1)) if windows > 1 else math.nan
    hidden = math.sqrt(3 * p / mean_per_window) if mean_per_window else math.nan
    return DispersionPower(error, 1 - p, hidden)
