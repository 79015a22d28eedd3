"""Texts that emerge together are told from a rate that changes smoothly."""

import numpy as np
import pytest

from memtrace.emergence.overdispersion import local_overdispersion
from memtrace.emergence.process.models import drift_of
from memtrace.point_process.windows import Windows


def test_bursts_are_told_from_a_smooth_rate() -> None:
    rng = np.random.default_rng(1)
    start = np.arange(0, 40) * 25
    exposures = np.full(40, 10_000)
    u = (start + 12) / 1000
    smooth = 40 * np.exp(np.sin(start / 300))
    burst = rng.choice([0.2, 1.8], 40)
    p_values = [
        [
            local_overdispersion(Windows(start, rng.poisson(mean), exposures), u, rng).p_value
            for mean in (smooth, smooth * burst)
        ]
        for _ in range(60)
    ]
    even, uneven = np.array(p_values).T
    assert (even < 0.05).mean() <= 0.1
    assert (uneven < 0.05).all()


@pytest.mark.parametrize("intervals", [5, 6, 10])
def test_a_rate_that_falls_manifold_between_checkpoints_is_no_burst(intervals) -> None:
    """Texts emerge soon after they are seen or never: per text at risk the rate falls, smoothly."""
    rng = np.random.default_rng(2)
    time = np.arange(0.5, 600 * intervals) / (600 * intervals)
    windows = np.repeat(np.arange(intervals), 600)
    exposures = np.bincount(windows, time)
    mean = np.bincount(windows, time / (time + 0.05))
    u = np.bincount(windows, time**2) / exposures
    found = [
        local_overdispersion(
            Windows(np.arange(intervals), rng.poisson(400 * mean / mean.sum()),
                    (1e4 * exposures).astype(np.int64)), u, rng
        )
        for _ in range(80)
    ]  # fmt: skip
    if intervals < 6:
        assert all("at least 6 are needed" in one.reason for one in found)
    else:
        assert np.mean([one.widening > 1 for one in found]) <= 0.1


@pytest.mark.parametrize("intervals", [4, 8])
def test_bursts_are_no_drift_however_few_the_intervals(intervals) -> None:
    """With the normal distribution every fifth run of 4 intervals had a drift."""
    rng, drifts, runs = np.random.default_rng(3), 0, 300
    u = (np.arange(intervals) + 0.5) / intervals
    for _ in range(runs):
        mean = np.exp(rng.normal(0, 0.5, intervals))
        counts = rng.poisson(200 * mean / mean.sum())
        windows = Windows(np.arange(intervals), counts, np.full(intervals, 10_000))
        drifts += drift_of(windows, u)[0].p_value < 0.05
    assert drifts <= 0.1 * runs
