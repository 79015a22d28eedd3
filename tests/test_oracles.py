"""Statistics with known answers: every case that the public API can answer is compared.

A case is dispatched by its group and the keys of its input, never by its name, so that a new case
of a known kind needs no new code.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memtrace.point_process import EventSequence, Windows
from memtrace.point_process.counts import Rootogram, expected_frequencies, qq_points
from memtrace.point_process.dispersion import Dispersion, dispersion
from memtrace.point_process.poisson import (
    binomial_interval,
    compare_rates,
    garwood_interval,
    homogeneous,
)
from memtrace.point_process.trend import log_linear, log_linear_model
from memtrace.point_process.uniformity import uniformity

BESIDE = Path(__file__).parents[1].parent / "shared" / "oracles"
FOLDER = Path(os.environ.get("MEMTRACE_ORACLES", BESIDE))
CASES = sorted(FOLDER.glob("*.json"))

# Times on a continuous axis are indices on an axis so fine that rounding is below 1e-12.
FINE = 2**40

Answers = dict[str, Any]


def events_of(u: Any) -> EventSequence:
    """Place times in (0, 1) on the fine axis; equal times take neighbouring indices."""
    positions = np.floor(np.sort(np.atleast_1d(np.asarray(u, float))) * FINE).astype(np.int64)
    positions[1:] += np.diff(positions) == 0
    return EventSequence.from_positions(positions, n=FINE)


def times_in(given: Answers) -> tuple[np.ndarray, float]:
    """Return the times as shares of the window, and the window's length."""
    start, stop = given["window"]
    return (np.asarray(given["times"]) - start) / (stop - start), stop - start


def windows_of(counts: Any, exposure: int) -> Windows:
    counts = np.atleast_1d(np.asarray(counts, dtype=np.int64))
    start = np.arange(len(counts), dtype=np.int64) * exposure
    return Windows(start, counts, np.full_like(counts, exposure))


def from_frequencies(freq: dict[str, int]) -> np.ndarray:
    return np.repeat([int(k) for k in freq], list(freq.values()))


def answer_interval(given: Answers) -> Answers:
    names = {0.95: ("ci95", "poisson_test_ci95"), 0.99: ("ci99",), 0.9: ("ci90",)}
    levels = np.atleast_1d(given["conf"])
    return {
        name: garwood_interval(given["count"], given["exposure"], level)
        for level in levels
        for name in names[float(level)]
    }


def answer_rate_ratio(given: Answers) -> Answers:
    compared = compare_rates(tuple(given["count"]), tuple(given["exposure"]))
    return {
        "ratio": compared.ratio,
        "ci95": compared.ratio_ci95,
        "p_two_sided_central": compared.p_value,
    }


def answer_binomial_edges(given: Answers) -> Answers:
    return {f"k{case['k']}": binomial_interval(case["k"], case["m"]) for case in given["cases"]}


def answer_rate(given: Answers) -> Answers:
    n, exposure = given["events"], given["trials"]
    garwood, binomial = garwood_interval(n, exposure), binomial_interval(n, exposure)
    return {
        "rate": homogeneous(n, exposure).parameters["rate_per_sequence"],
        "garwood95": garwood,
        "clopper_pearson95": binomial,
        "ratio_width_cp_over_garwood": np.diff(binomial)[0] / np.diff(garwood)[0],
    }


def answer_constant_rate_in_time(given: Answers) -> Answers:
    n, (start, stop) = len(given["times"]), given["window"]
    model = homogeneous(n, stop - start)
    rate = model.parameters["rate_per_sequence"]
    interval = garwood_interval(n, stop - start)
    return {"n": n, "rate": rate, "ci95": interval, "loglik": model.log_likelihood}


def answer_dispersion(found: Dispersion) -> Answers:
    index, poisson = found.binomial, found.poisson
    return {
        "index": poisson.value,
        "index_poisson": poisson.value,
        "index_binomial": index.value,
        "index_poisson_ci95": poisson.ci95,
        "df": found.degrees_of_freedom,
        "X2": poisson.value * found.degrees_of_freedom,
        "X2_poisson": poisson.value * found.degrees_of_freedom,
        "X2_binomial": index.value * found.degrees_of_freedom,
        "p_over_poisson": poisson.p_over,
        "p_under_poisson": poisson.p_under,
        "p_over_binomial": index.p_over,
        "p_under_binomial": index.p_under,
        "icc_rho_mom": found.icc,
        "cv_rate_excess_binomial": found.cv,
    }


def answer_binomial_windows(given: Answers) -> Answers:
    return answer_dispersion(dispersion(windows_of(given["counts"], given["m"])))


def answer_poisson_windows(given: Answers) -> Answers:
    # On windows of 2^40 indices the binomial law is the Poisson law.
    found = dispersion(windows_of(from_frequencies(given["freq"]), FINE))
    poisson = found.poisson
    tails = {"p_over": poisson.p_over, "p_under": poisson.p_under, "p_two_sided": poisson.p_value}
    return answer_dispersion(found) | tails | {"n_windows": found.degrees_of_freedom + 1}


def answer_unequal_windows(given: Answers) -> Answers:
    counts, exposures = (np.asarray(given[key], np.int64) for key in ("counts", "exposure"))
    windows = Windows(np.cumsum(exposures) - exposures, counts, exposures)
    return answer_dispersion(dispersion(windows))


def answer_dispersion_edges(given: Answers) -> Answers:
    return {
        name: dispersion(windows_of(counts, FINE)).poisson.value for name, counts in given.items()
    }


def answer_spread(events: EventSequence) -> Answers:
    found = uniformity(events)
    return {
        "n": events.n_events,
        "ks_D": found.ks,
        "ks_p_exact": found.p_value,
        "laplace_U": found.laplace_z,
        "laplace_z_fpc": found.laplace_z,
        "laplace_p": found.laplace_p_value,
        "dkw95_halfwidth": found.ks_upper95 - found.ks,
        "rate": 0.0 if not events.n_events else math.nan,
    }


def answer_trend_in_time(given: Answers) -> Answers:
    found = uniformity(events_of(times_in(given)[0]))
    m = len(given["times"])
    return {"laplace": {"U": found.laplace_z, "m": m, "p": found.laplace_p_value}}


def answer_finite_population(given: Answers) -> Answers:
    events = EventSequence.from_positions(given["positions"], n=given["N"])
    spread, n, total = uniformity(events), events.n_events, given["N"]
    found = {
        "n": n,
        "N": total,
        "p_hat": events.fraction,
        "clopper_pearson95": binomial_interval(n, total),
        "laplace_z_fpc": spread.laplace_z,
        "p_exact": spread.laplace_p_value,
        "dispersion_binomial": dispersion(events.windows(5)).binomial.value,
    }
    if n < total:
        found |= {
            "ks_D_events_vs_all": spread.ks,
            "ks_D_events_vs_nonevents": spread.ks / (1 - events.fraction),
            "ks_p_two_sample_exact": spread.p_value,
        }
    return found


def answer_log_linear_in_time(given: Answers) -> Answers:
    u, length = times_in(given)
    events = events_of(u)
    trend = log_linear(events)
    constant = homogeneous(events.n_events, length).log_likelihood
    start, end = trend.density(np.array([0.0, 1.0])) / length
    return {
        "theta": trend.theta,
        "slope_per_unit_time": trend.theta / length,
        "se_theta": trend.standard_error,
        "se_theta_null": trend.null_standard_error,
        "rate_ratio_end_over_start": trend.rate_ratio,
        "rr_ci95_profile": trend.interval(0.95),
        "rr_ci95_wald": trend.wald_interval(0.95),
        "lr_chi2": trend.likelihood_ratio,
        "lr_p": trend.p_value,
        "wald_z": trend.theta / trend.standard_error,
        "score_z_laplace": uniformity(events).laplace_z,
        "rate_start": start,
        "rate_end": end,
        "loglik": constant + trend.likelihood_ratio / 2,
    }


def answer_log_linear_one_event(given: Answers) -> Answers:
    trend = log_linear(events_of(given["u"]))
    return {"theta": trend.theta, "lr_chi2": trend.likelihood_ratio}


def answer_detectable(given: Answers) -> Answers:
    n, total = given["n_events"], given["N"]
    k = np.arange(n, dtype=np.int64)
    events = EventSequence.from_positions((2 * k + 1) * total // (2 * n), n=total)
    trend, spread = log_linear(events), uniformity(events)
    return {
        "se_theta_loglinear": trend.null_standard_error,
        "se_theta_fpc": trend.null_standard_error * math.sqrt(trend.scale),
        "mde_theta_80": math.log(trend.detectable_ratio(given["power"])),
        "dkw95": spread.ks_upper95 - spread.ks,
        "ks_crit95_fpc": spread.ks_critical95,
    }


def answer_equal_parts(given: Answers) -> Answers:
    u, length = times_in(given)
    parts = events_of(u).windows(FINE // given["bins"])
    low, high = garwood_interval(parts.counts, length / given["bins"])
    found = answer_dispersion(dispersion(parts))
    garwood = np.column_stack((low, high))
    return {"counts": parts.counts, "garwood95": garwood, "X2": found["X2"], "df": found["df"]}


def answer_qq(given: Answers) -> Answers:
    counts = from_frequencies(given["freq"])
    points = qq_points(counts)
    off = points[points[:, 0] != points[:, 1], 2].sum()
    return {"pairs": points, "off_diagonal": off}


def answer_rootogram(given: Answers) -> Answers:
    # On windows of 2^40 indices the binomial law is the Poisson law.
    counts = from_frequencies(given["freq"])
    edges = np.arange(max(counts) + 2)
    expected = expected_frequencies(windows_of(counts, FINE), edges)
    root = Rootogram(edges, np.bincount(counts), expected, math.nan)
    return {"expected": expected, "hanging": root.hanging}


def park_miller(seed: int, n: int) -> np.ndarray:
    """Return n values of the minimal standard generator, 16807^i mod 2^31 - 1 by doubling."""
    modulus = 2**31 - 1
    powers = np.array([16807], dtype=np.uint64)
    while len(powers) < n:
        powers = np.concatenate((powers, powers * powers[-1] % modulus))
    return (powers[:n] * np.uint64(seed) % np.uint64(modulus)).astype(float) / modulus


def large_positions(given: Answers) -> np.ndarray:
    """Reproduce the input of a large case from its generator's description."""
    n = given["N"]
    if "seed" not in given:
        k = np.arange(given["n"], dtype=np.int64)
        return (2 * k + 1) * n // (2 * given["n"])
    i = np.arange(n)
    rate = {
        "0.0128*(1+0.2*(2*(i+0.5)/N-1))": lambda: 0.0128 * (1 + 0.2 * (2 * (i + 0.5) / n - 1)),
        "0.0128*(0.7 if (i//1024)%2==0 else 1.3)": lambda: (
            0.0128 * np.where((i // 1024) % 2 == 0, 0.7, 1.3)
        ),
    }
    if given["p"] not in rate:
        pytest.skip(f"not computed yet: the generator {given['p']!r} is unknown")
    return np.flatnonzero(park_miller(given["seed"], n) < rate[given["p"]]())


def answer_large(given: Answers) -> Answers:
    events = EventSequence.from_positions(large_positions(given), n=given["N"])
    windows, trend, spread = events.windows(given["window"]), log_linear(events), uniformity(events)
    # The published distance takes every index at its middle: half an index less on one side.
    u, n = (events.positions + 0.5) / events.n, events.n_events
    steps = np.arange(n + 1) / n
    midpoint = max(np.abs(steps[:-1] - u).max(), np.abs(steps[1:] - u).max())
    assert abs(spread.ks - midpoint) <= 0.5 / events.n + 1e-12
    halves = events.windows(events.n // 2).counts
    found = dispersion(windows)
    return answer_dispersion(found) | {
        "n_events": n,
        "sum_positions": int(events.positions.sum()),
        "first5": events.positions[:5],
        "last": events.positions[-1],
        "n_windows": len(windows.counts),
        "last_window_len": windows.exposures[-1],
        "count_table": np.bincount(windows.counts),
        "p_under": found.poisson.p_under,
        "p_over": found.poisson.p_over,
        "laplace_z_fpc": spread.laplace_z,
        "laplace_p": spread.laplace_p_value,
        "theta": trend.theta,
        "se_theta": trend.standard_error,
        "se_theta_fpc": trend.standard_error * math.sqrt(trend.scale),
        "rate_ratio": trend.rate_ratio,
        "rr_ci90_fpc": trend.wald_interval(0.90),
        "lr_chi2_poisson": 2
        * (
            log_linear_model(events, trend).log_likelihood
            - homogeneous(n, events.exposure).log_likelihood
        ),
        "half_counts": halves,
        "index_binomial_1024": dispersion(events.windows(1024)).binomial.value,
        "index_binomial_2048": dispersion(events.windows(2048)).binomial.value,
    }


# (group, keys that the input must have) -> the answers; the first that fits is used.
ANSWERS: list[tuple[str, set[str], Any]] = [
    ("hpp", {"count", "exposure", "conf"}, None),
    ("hpp", {"cases"}, answer_binomial_edges),
    ("hpp", {"events", "trials"}, answer_rate),
    ("hpp", {"times", "window"}, answer_constant_rate_in_time),
    ("dispersion", {"counts", "m"}, answer_binomial_windows),
    ("dispersion", {"counts", "exposure"}, answer_unequal_windows),
    ("dispersion", {"freq"}, answer_poisson_windows),
    ("dispersion", {"one_window", "empty"}, answer_dispersion_edges),
    ("uniformity", {"times", "window"}, lambda given: answer_spread(events_of(times_in(given)[0]))),
    ("uniformity", {"u"}, lambda given: answer_spread(events_of(given["u"]))),
    ("discrete", {"positions", "N"}, answer_finite_population),
    ("trend", {"times", "window"}, answer_trend_in_time),
    ("loglinear", {"times", "window"}, answer_log_linear_in_time),
    ("loglinear", {"u"}, answer_log_linear_one_event),
    ("equivalence", {"n_events", "N", "power"}, answer_detectable),
    ("piecewise", {"times", "window", "bins"}, answer_equal_parts),
    ("qq", {"freq", "plotting"}, answer_qq),
    ("qq", {"freq"}, answer_rootogram),
    ("large", {"generator", "N", "window"}, answer_large),
]


def answer(case: Answers) -> Answers:
    """Return what the public API says to the case, by the names of its expected values."""
    given = case["input"]
    for group, keys, solve in ANSWERS:
        if group == case["group"] and keys <= given.keys():
            if solve is None:
                ratio = isinstance(given["count"], list)
                solve = answer_rate_ratio if ratio else answer_interval
            return solve(given)
    return {}


def agrees(got: Any, expected: Any, tolerance: dict[str, float]) -> bool:
    """Compare numbers, arrays and nested values; None stands for undefined."""
    if isinstance(expected, dict):
        return all(agrees(got[key], value, tolerance) for key, value in expected.items())
    if expected is None:
        return math.isnan(got)
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    limit = tolerance["abs"] + tolerance["rel"] * np.abs(expected)
    return got.shape == expected.shape and bool((np.abs(got - expected) <= limit).all())


@pytest.mark.skipif(not CASES, reason=f"no oracles in {FOLDER}; set MEMTRACE_ORACLES")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_public_api_gives_the_known_answer(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    answers = answer(case)
    compared = answers.keys() & case["expected"].keys()
    if not compared:
        pytest.skip(f"not computed yet: {case['group']}")
    wrong = {
        key: (answers[key], case["expected"][key])
        for key in sorted(compared)
        if not agrees(answers[key], case["expected"][key], case["tolerance"])
    }
    assert not wrong, f"{case['quantity']}: got, expected {wrong}"
