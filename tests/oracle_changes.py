"""Results of the public API for oracle cases about change points, and for the large ones."""

import math

import numpy as np
from oracle_positions import (
    FINE,
    Answers,
    dispersion_of,
    events_of,
    times_in,
    wald_interval,
    windows_of,
)
from scipy import stats

from memtrace.point_process import EventSequence
from memtrace.point_process.diagnostics.dispersion import dispersion
from memtrace.point_process.diagnostics.uniformity import uniformity
from memtrace.point_process.models.change_point import (
    change_point,
    grid_gains,
    null_gains,
    segmentations,
)
from memtrace.point_process.models.constant import homogeneous
from memtrace.point_process.models.trend import log_linear, log_linear_model


def change_in_time(given: Answers) -> Answers:
    events, (start, stop) = events_of(times_in(given)[0]), given["window"]
    trim = tuple(given["trim"])
    found = change_point(events, np.random.default_rng(0), trim=trim)
    scale = FINE / (stop - start)
    before = int((events.positions < found.index).sum())
    return {
        "tau": start + found.index / scale,
        "events_before": before,
        "rate1": found.rate_before * scale,
        "rate2": found.rate_after * scale,
        "max_lr": found.likelihood_ratio,
    }


def change_in_counts(given: Answers) -> Answers:
    windows, years = windows_of(given["counts"]), given["years"]
    gains = grid_gains(windows.counts, windows.exposures, trim=(0.0, 1.0))
    k = int(gains.argmax())
    close = np.flatnonzero(gains >= gains[k] - stats.chi2.ppf(0.95, 1)) + 1
    found = segmentations(windows.counts, windows.exposures, most=5)
    # The costs of rates per index less those per year, and the terms that no division changes.
    shift = windows.counts.sum() * (math.log(FINE) + 1)
    return {
        "k": k + 1,
        "last_year_of_first_segment": years[k],
        "rate1": windows.counts[: k + 1].mean(),
        "rate2": windows.counts[k + 1 :].mean(),
        "max_lr": gains[k],
        "profile_ci95_k_asymptotic_drop": [close.min(), close.max()],
        "lr_at_1885": gains[years.index(1885)],
        "lr_at_1895": gains[years.index(1895)],
        "cost": [one.cost - shift for one in found],
        "starts_1based_of_segments_2plus": [[s + 1 for s in one.starts] for one in found],
        "penalised_bic": [one.bic - 2 * shift for one in found],
        "best_k_bic": 1 + int(np.argmin([one.bic for one in found])),
    }


def change_null(given: Answers) -> Answers:
    gains = null_gains(given["n"], FINE, np.random.default_rng(0), 20_000, tuple(given["trim"]))
    levels = {f"q{q}": np.quantile(gains, q / 100) for q in (50, 90, 95, 99)}
    return levels | {"naive_chi2_1_q95": stats.chi2.ppf(0.95, 1)}


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
    # The rate is an arithmetic expression of i and N, with C's conditional written as Python's.
    names = {"i": np.arange(n), "N": n, "np": np}
    text = given["p"]
    if " if " in text:
        factor, _, condition = text.partition("(")
        yes, _, rest = condition.partition(" if ")
        test, _, no = rest.rstrip(")").partition(" else ")
        text = f"{factor}np.where({test}, {yes}, {no})"
    rate = eval(text, {"__builtins__": {}}, names)
    return np.flatnonzero(park_miller(given["seed"], n) < rate)


def large(given: Answers) -> Answers:
    events = EventSequence.from_positions(large_positions(given), n=given["N"])
    windows, trend, found = events.windows(given["window"]), log_linear(events), uniformity(events)
    # The published distance takes every index at its middle: half an index less on one side.
    u, n = (events.positions + 0.5) / events.n, events.n_events
    steps = np.arange(n + 1) / n
    midpoint = max(np.abs(steps[:-1] - u).max(), np.abs(steps[1:] - u).max())
    assert abs(found.ks - midpoint) <= 0.5 / events.n + 1e-12
    free = math.sqrt(1 - events.fraction)
    halves = events.windows(events.n // 2).counts
    counts = dispersion(windows)
    gain = log_linear_model(events, trend).log_likelihood
    return dispersion_of(counts) | {
        "n_events": n,
        "sum_positions": int(events.positions.sum()),
        "first5": events.positions[:5],
        "last": events.positions[-1],
        "n_windows": len(windows.counts),
        "last_window_len": windows.exposures[-1],
        "count_table": np.bincount(windows.counts),
        "p_under": counts.poisson.p_under,
        "p_over": counts.poisson.p_over,
        "laplace_z_fpc": found.laplace_z,
        "laplace_p": found.laplace_p_value,
        "ks_D_mid": midpoint,
        "ks_sqrtn_D": math.sqrt(n) * midpoint,
        "ks_sqrtn_D_fpc": math.sqrt(n) * midpoint / free,
        "ks_p_fpc": float(stats.kstwobign.sf(math.sqrt(n) * midpoint / free)),
        "theta": trend.theta,
        "se_theta": trend.standard_error,
        "se_theta_fpc": trend.standard_error * math.sqrt(trend.scale),
        "rate_ratio": trend.rate_ratio,
        "rr_ci90_fpc": wald_interval(trend, 0.90),
        "lr_chi2_poisson": 2 * (gain - homogeneous(n, events.exposure).log_likelihood),
        "half_counts": halves,
        "half_ratio": halves[1] / halves[0],
        "index_binomial_1024": dispersion(events.windows(1024)).binomial.value,
        "index_binomial_2048": dispersion(events.windows(2048)).binomial.value,
    }
