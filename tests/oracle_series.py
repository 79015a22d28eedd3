"""Results of the public API for oracle cases about series: gaps, dependence, residuals."""

import math

import numpy as np
from oracle_counts import from_frequencies
from oracle_positions import Answers, windows_of
from scipy import stats

from memtrace.point_process.diagnostics.gaps import geometric_gaps
from memtrace.point_process.diagnostics.residuals import (
    quantile_residuals,
    rescale_gaps,
)
from memtrace.point_process.diagnostics.second_order import fano_and_allan
from memtrace.point_process.diagnostics.serial import ljung_box, runs
from memtrace.point_process.diagnostics.window_counts import (
    Rootogram,
    expected_frequencies,
    qq_points,
)


def geometric(given: Answers) -> Answers:
    gaps = np.diff(np.sort(given["positions"]))
    found = geometric_gaps(gaps)
    law = (1 - found.p) / found.p**2
    return {
        "gaps": gaps,
        "p_mle": found.p,
        "var_over_geom_var": (found.cv * found.mean) ** 2 / law,
        "expected_P_gap1": found.p,
        "observed_P_gap1": found.share_of_ones,
        "loglik": found.log_likelihood,
        "cv": found.cv,
        "geom_cv": math.sqrt(1 - found.p),
    }


def autocorrelation(given: Answers) -> Answers:
    found = ljung_box(np.asarray(given["counts"]), given["lag"])
    return {
        "Q_LB": found.statistic,
        "p_LB": found.p_value,
        "Q_BP": found.box_pierce,
        "acf": found.autocorrelation,
    }


def binary_series(given: Answers) -> Answers:
    bits = np.array(given["bits"])
    found = runs(np.flatnonzero(bits), len(bits))
    a, b, c, d = found.transitions
    return {
        "n1": bits.sum(),
        "N": len(bits),
        "runs": found.runs,
        "mean_runs": found.expected,
        "var_runs": found.variance,
        "z": found.z,
        "transitions": found.transitions,
        "markov_G2": found.markov_g2,
        "markov_X2": found.markov_x2,
        "p11": d / (c + d),
        "p01": b / (a + b),
        "odds_ratio": a * d / (b * c),
    }


def discrete_rescaling(given: Answers) -> Answers:
    events = np.flatnonzero(given["bits"])
    q = -np.log1p(-np.array(given["p"]))
    before = np.cumsum(q) - q
    naive = np.cumsum(given["p"])[events]
    return {
        "xi": rescale_gaps(before[events], q[events], np.array(given["r"])),
        "naive_continuous": np.diff(naive, prepend=0.0),
    }


def residuals_of_counts(given: Answers) -> Answers:
    y, mu = np.array(given["counts"]), given["mu"]
    below, chance = stats.poisson.cdf(y - 1, mu), stats.poisson.pmf(y, mu)
    transform, normal = quantile_residuals(below, chance, np.array(given["r"]))
    middle = quantile_residuals(below, chance, np.full(len(y), 0.5))[0]
    return {"pit": transform, "residual": normal, "mid_pit": middle}


def qq(given: Answers) -> Answers:
    counts = from_frequencies(given["freq"])
    points = qq_points(counts)
    return {
        "pairs": points,
        "off_diagonal": points[points[:, 0] != points[:, 1], 2].sum(),
        "dkw95": math.sqrt(math.log(2 / 0.05) / (2 * len(counts))),
    }


def rootogram(given: Answers) -> Answers:
    counts = from_frequencies(given["freq"])
    k = np.arange(max(counts) + 1)
    observed = np.bincount(counts)
    expected = expected_frequencies(windows_of(counts), np.append(k, k[-1] + 1))
    root = Rootogram(np.append(k, k[-1] + 1), observed, expected, math.nan)
    factorials = np.array([math.factorial(int(i)) for i in k])
    return {
        "expected": expected,
        "hanging": root.hanging,
        "pearson": (observed - expected) / np.sqrt(expected),
        "poissonness_metameter": np.log(observed * factorials / len(counts)),
    }


def fano(given: Answers) -> Answers:
    counts = np.array(given["counts"])
    grouped = [counts[: len(counts) // w * w].reshape(-1, w).sum(axis=1) for w in given["window"]]
    found = [fano_and_allan(one) for one in grouped]
    return {
        "windows": [len(one) for one in grouped],
        "fano": [one[0] for one in found],
        "allan": [one[1] for one in found],
    }
