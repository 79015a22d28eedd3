"""Emergence of curves: the crossing against a slow search, invariance, coverage, a known case."""

import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memtrace.emergence.curves import (
    EvaluationCurve,
    emergence_time,
    first_crossing,
    size_trend,
)

LAST = 143_000
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 3000, *range(13_000, LAST + 1, 10_000))


def slow_crossing(steps, values, level):
    """Walk along the segments of the curve and stop where it first reaches its target."""
    target = values[0] + level * (values[-1] - values[0])
    for (a, b), (u, v) in zip(pairwise(steps), pairwise(values), strict=True):
        if v >= target:
            return a + (target - u) / (v - u) * (b - a)
    raise AssertionError("a rising curve reaches every level of its gain")


def times(curve, seed=0, **options):
    options = {"level": 0.5, "last_step": LAST, **options}
    return emergence_time(curve, rng=np.random.default_rng(seed), **options)


def rising(noise=0.0, midpoint=4000.0, rng=None):
    """A smooth curve from 0 to 0.7 whose half is made near `midpoint`."""
    steps = np.array(STEPS, float)
    level = 0.7 * steps / (steps + midpoint)
    if rng is not None:
        level = level + noise * rng.standard_normal(len(level))
    return EvaluationCurve(STEPS, tuple(level), (noise,) * len(level))


@given(
    values=st.lists(st.floats(0, 1), min_size=2, max_size=12),
    level=st.floats(0.05, 0.95),
)
def test_crossing_is_where_a_walk_along_the_curve_first_reaches_the_level(values, level):
    assume(values[-1] - values[0] > 1e-3)
    steps = np.cumsum(np.arange(len(values), dtype=float))
    found = first_crossing(steps, np.array(values), level)
    assert found == pytest.approx(slow_crossing(steps, values, level), rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.1, 10), st.floats(-5, 5))
def test_crossing_knows_no_unit_of_the_values_and_scales_with_the_steps(values, scale, shift):
    assume(values[-1] - values[0] > 1e-2)
    x, y = np.arange(len(values), dtype=float), np.array(values)
    found = first_crossing(x, y, 0.5)
    assert first_crossing(x, scale * y + shift, 0.5) == pytest.approx(found, rel=1e-5, abs=1e-5)
    assert first_crossing(7 * x, y, 0.5) == pytest.approx(7 * found, rel=1e-9)


def test_a_batch_of_curves_is_each_curve_by_itself_and_a_falling_one_never_crosses():
    rng = np.random.default_rng(1)
    x, curves = np.arange(6.0), rng.random((50, 6))
    together = first_crossing(x, curves, 0.3)
    assert together == pytest.approx([float(first_crossing(x, c, 0.3)) for c in curves])
    assert np.isinf(together).any()
    np.testing.assert_array_equal(np.isinf(together), curves[:, -1] <= curves[:, 0])


def test_the_two_linear_scales_agree_and_the_log_scale_crosses_between_the_same_checkpoints():
    found = times(rising(), tokens_per_step=2_097_152, parameters=70_426_624)
    assert found.share == found.step / LAST
    assert found.tokens_per_parameter == pytest.approx(found.step * 2_097_152 / 70_426_624)
    assert 3000 < found.step < 13_000
    assert 3000 < math.expm1(found.log_share * math.log1p(LAST)) < 13_000


def test_lower_levels_come_earlier():
    steps = [times(rising(), level=level).step for level in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert steps == sorted(steps)


def test_exact_values_have_an_interval_of_one_point_and_unknown_errors_none():
    exact, unknown = rising(), rising(math.nan)
    assert times(exact).step_ci95 == pytest.approx((times(exact).step,) * 2)
    found = times(unknown)
    assert found.step == times(exact).step
    assert found.step_ci95 is found.share_ci95 is found.log_share_ci95 is None
    assert math.isnan(unknown.gain_p_value)


def test_a_gain_within_the_noise_has_no_interval():
    curve = EvaluationCurve((0, 10, 20), (0.3, 0.31, 0.32), (0.02, 0.02, 0.02))
    assert times(curve).step_ci95 is None
    assert curve.gain_p_value > 0.3


def test_intervals_cover_the_true_crossing():
    truth = times(rising()).step
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(200):
        low, high = times(rising(0.007, rng=rng), seed, draws=400).step_ci95
        covered += low <= truth <= high
    assert covered / 200 > 0.9


def test_gain_p_values_are_uniform_where_nothing_is_gained():
    rng = np.random.default_rng(3)
    drawn = 0.3 + 0.02 * rng.standard_normal((2000, 2))
    p = [EvaluationCurve((0, 1), (a, b), (0.02, 0.02)).gain_p_value for a, b in drawn]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.015)


def test_equal_seeds_give_equal_intervals():
    curve = rising(0.01)
    assert repr(times(curve, 5)) == repr(times(curve, 5))
    assert times(curve, 5).step_ci95 != times(curve, 6).step_ci95


def test_size_trend_recovers_a_power_law_and_its_interval_covers_it():
    size = np.array([70e6, 160e6, 410e6, 1e9, 1.4e9, 2.8e9, 6.9e9, 12e9])
    exact = size_trend(size, 1e-4 * size**0.2)
    assert exact.factor == pytest.approx(10**0.2)
    assert exact.rank_correlation == pytest.approx(1)
    rng, covered = np.random.default_rng(4), 0
    for _ in range(500):
        noisy = size_trend(size, size**0.2 * np.exp(0.2 * rng.standard_normal(8)))
        covered += noisy.factor_ci95[0] < 10**0.2 < noisy.factor_ci95[1]
    assert covered / 500 == pytest.approx(0.95, abs=0.03)


def test_size_trend_knows_no_order_of_models_and_needs_three():
    size, t = [1e8, 1e9, 1e10, 1e11], [3.0, 2.0, 5.0, 4.0]
    assert size_trend(size[::-1], t[::-1]).factor == pytest.approx(size_trend(size, t).factor)
    assert math.isnan(size_trend(size[:2], t[:2]).factor)
    assert math.isnan(size_trend([1e9] * 3, t[:3]).rank_correlation)


@pytest.mark.parametrize(
    ("model", "step", "share"),
    [("70m", 2185, 0.0153), ("410m", 2957, 0.0207), ("12b", 4793, 0.0335)],
)
def test_lambada_in_pythia_against_the_known_answer(shared_folder, model, step, share):
    folder = shared_folder / "data" / "pythia-evals" / "pythia-v1" / f"pythia-{model}" / "zero-shot"
    rows = []
    for path in folder.glob("*.json"):
        task = json.loads(path.read_text())["results"]["lambada_openai"]
        rows.append((int(re.search(r"step(\d+)", path.name)[1]), task["acc"], task["acc_stderr"]))
    found = times(EvaluationCurve(*zip(*sorted(rows), strict=True)))
    assert round(found.step) == step
    assert round(found.share, 4) == share
    assert found.step_ci95[0] < found.step < found.step_ci95[1]
