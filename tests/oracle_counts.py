"""Results of the public API for oracle cases about counts: rates, distributions, regression."""

import math

import numpy as np
import pytest
from oracle_positions import Answers, dispersion_of, windows_of
from scipy import stats

from memtrace.point_process import Windows
from memtrace.point_process.contrasts import METHODS, adjust_p_values, compare_rates
from memtrace.point_process.detectable import credibility
from memtrace.point_process.diagnostics.dispersion import dispersion
from memtrace.point_process.diagnostics.overdispersion import overdispersion
from memtrace.point_process.log_linear import fit_log_linear
from memtrace.point_process.models.constant import (
    binomial_interval,
    garwood_interval,
    homogeneous,
)
from memtrace.point_process.models.counts import (
    beta_binomial,
    binomial_counts,
    negative_binomial,
    poisson_counts,
)
from memtrace.point_process.models.spline import basis
from memtrace.point_process.regression import fit_shares


def from_frequencies(freq: dict[str, int]) -> np.ndarray:
    return np.repeat([int(k) for k in freq], list(freq.values()))


def rates(given: Answers) -> Answers:
    """Give the interval of one rate, or compare two."""
    count, exposure = given["count"], given["exposure"]
    found = compare_rates(tuple(count), tuple(exposure)) if np.ndim(count) else None
    answers: Answers = {}
    for level in np.atleast_1d(given["conf"]):
        ends = found.interval(level) if found else garwood_interval(count, exposure, level)
        name = f"ci{100 * level:g}"
        answers |= {name: ends, f"poisson_test_{name}": ends}
    if found:
        answers |= {
            "ratio": found.ratio,
            "p_greater": found.p_greater(),
            "p_less": found.p_less(),
            "p_two_sided_central": found.p_value,
        }
    return answers


def equivalent_rates(given: Answers) -> Answers:
    """Two exact one-sided tests, and Wald's of the logarithm, to which they tend."""
    (low, high), counts = given["margin"], tuple(given["count"])
    found = compare_rates(counts, tuple(given["exposure"]))
    assert low * high == pytest.approx(1)
    exact = found.equivalence(high)
    se, log = math.sqrt(sum(1 / count for count in counts)), math.log(found.ratio)
    z, width = log / se, float(stats.norm.isf(0.05)) * se
    wald = stats.norm.sf(min(log - math.log(low), math.log(high) - log) / se)
    by_wald = np.exp([log - width, log + width])
    if min(counts) > 10**5:
        assert stats.norm.isf(exact.p_value) == pytest.approx(stats.norm.isf(wald), rel=1e-3)
        assert found.interval(0.9) == pytest.approx(tuple(by_wald), rel=1e-5)
    return {
        "ratio": found.ratio,
        "exact_p_lower": found.p_greater(low),
        "exact_p_upper": found.p_less(high),
        "exact_p": exact.p_value,
        "ci90_exact": found.interval(0.9),
        "se_log": se,
        "z_difference": z,
        "p_difference": 2 * stats.norm.sf(abs(z)),
        "ci90": by_wald,
        "ci90_wald_log": by_wald,
        "wald_log_p": wald,
        "wald_log_tost_p": wald,
    }


def credible(given: Answers) -> Answers:
    mean, alpha = given["mean_per_window"], given["alpha"]
    found = credibility(given["theta"], given["index_excess"], mean, alpha)
    return {
        "n_events_laplace_two_sided": found.events_laplace,
        "n_windows_dispersion_one_sided": found.windows_dispersion,
        "n_events_dispersion": found.events_dispersion,
    }


def adjusted(given: Answers) -> Answers:
    short = {"benjamini-hochberg": "BH", "benjamini-yekutieli": "BY"}
    return {short.get(name, name): adjust_p_values(given["p"], name) for name in METHODS}


def binomial_edges(given: Answers) -> Answers:
    return {f"k{case['k']}": binomial_interval(case["k"], case["m"]) for case in given["cases"]}


def rate_of_trials(given: Answers) -> Answers:
    n, trials = given["events"], given["trials"]
    garwood, binomial = garwood_interval(n, trials), binomial_interval(n, trials)
    rate = homogeneous(n, trials).parameters["rate_per_sequence"]
    return {
        "rate": rate,
        "garwood95": garwood,
        "clopper_pearson95": binomial,
        "mean_per_512": 512 * rate,
        "ratio_width_cp_over_garwood": np.diff(binomial)[0] / np.diff(garwood)[0],
        "sqrt_1_minus_p": math.sqrt(1 - rate),
    }


def binomial_windows(given: Answers) -> Answers:
    windows = windows_of(given["counts"], given["m"])
    found = dispersion(windows)
    p = windows.counts.sum() / windows.exposures.sum()
    logit = fit_shares(
        windows.counts, windows.exposures, np.ones((len(windows.counts), 1)), link="logit"
    )
    return dispersion_of(found) | {
        "p": p,
        "inv_1_minus_p": 1 / (1 - p),
        "glm_pearson": logit.pearson_chi2,
    }


def poisson_windows(given: Answers) -> Answers:
    counts = from_frequencies(given["freq"])
    found = dispersion(windows_of(counts))
    tails = found.poisson
    mean = counts.mean()
    scores = overdispersion(counts, np.full(len(counts), mean))
    return dispersion_of(found) | {
        "n_windows": found.degrees_of_freedom + 1,
        "mean": mean,
        "var": found.poisson.value * mean,
        "p_over": tails.p_over,
        "p_under": tails.p_under,
        "p_two_sided": tails.p_value,
        "dean_PA": scores.dean_a,
        "dean_PB": scores.dean_b,
        "dean_PC": scores.dean_c,
        "aer_z_quasi": scores.cameron_trivedi_1,
        "aer_z_nb1": scores.cameron_trivedi_1,
        "aer_z_nb2": scores.cameron_trivedi_2,
        "aer_dispersion": 1 + scores.alpha_1,
        "aer_alpha_nb1": scores.alpha_1,
        "aer_alpha_nb2": scores.alpha_2,
        "aer_p_greater": scores.p_value,
    }


def unequal_windows(given: Answers) -> Answers:
    counts, exposures = (np.asarray(given[key], np.int64) for key in ("counts", "exposure"))
    return dispersion_of(dispersion(Windows(np.cumsum(exposures) - exposures, counts, exposures)))


def dispersion_edges(given: Answers) -> Answers:
    return {name: dispersion(windows_of(counts)).poisson.value for name, counts in given.items()}


def beta_binomial_windows(given: Answers) -> Answers:
    windows = windows_of(given["counts"], given["m"])
    found = beta_binomial(windows)
    return {
        "p": found.parameters["p"],
        "rho_icc": found.parameters["rho"],
        "loglik": found.log_likelihood,
        "loglik_binomial": binomial_counts(windows).log_likelihood,
        "lr": found.likelihood_ratio,
        "p_boundary": found.p_value,
    }


def laws_of_counts(given: Answers) -> Answers:
    counts = np.array(given["counts"])
    windows = windows_of(counts, 1)
    found, simple = negative_binomial(windows), poisson_counts(windows)
    alpha, mean = found.parameters["alpha"], counts.mean()
    size = 1 / alpha if alpha else math.inf
    return {
        "mu": found.parameters["rate_per_sequence"],
        "theta_size": size,
        "alpha_nb2": alpha,
        "loglik_nb": found.log_likelihood,
        "loglik_poisson": simple.log_likelihood,
        "lr": found.likelihood_ratio,
        "p_boundary_half_chi2": found.p_value,
        "p_naive_chi2_1": stats.chi2.sf(found.likelihood_ratio, 1),
        "cv_rate": math.sqrt(alpha),
        "moment_theta": mean**2 / (counts.var(ddof=1) - mean) if alpha else math.inf,
        "aic_nb": found.aic,
        "aic_poisson": simple.aic,
    }


def laws_of_frequencies(given: Answers) -> Answers:
    return laws_of_counts({"counts": from_frequencies(given["freq"])})


def annual_regression(given: Answers) -> Answers:
    y, year = np.array(given["counts"]), np.array(given["years"])
    design, ones = np.column_stack((np.ones(len(y)), year - year[0])), np.ones(len(y), np.int64)
    fitted = fit_log_linear(y, ones, design)
    left = len(y) - 2
    likelihood = stats.poisson.logpmf(y, fitted.expected).sum()
    scores = design * (y - fitted.expected)[:, None]
    sandwich = fitted.covariance @ scores.T @ scores @ fitted.covariance
    return {
        "intercept": fitted.coefficients[0],
        "slope": fitted.coefficients[1],
        "se": fitted.standard_errors,
        "deviance": fitted.deviance,
        "null_deviance": fit_log_linear(y, ones, design[:, :1]).deviance,
        "df_residual": left,
        "loglik": likelihood,
        "aic": 2 * 2 - 2 * likelihood,
        "pearson": fitted.pearson,
        "phi_pearson": fitted.pearson / left,
        "se_quasi": fitted.standard_errors * math.sqrt(fitted.pearson / left),
        "se_sandwich_HC0": np.sqrt(np.diag(sandwich)),
    }


def annual_spline(given: Answers) -> Answers:
    y, year = np.array(given["counts"]), np.array(given["years"], float)
    ones, knots, ends = (
        np.ones(len(y), np.int64),
        np.array(given["knots"], float),
        given["boundary"],
    )
    design = basis(year, knots, tuple(map(float, ends)))
    fitted = fit_log_linear(y, ones, design)
    likelihood = stats.poisson.logpmf(y, fitted.expected).sum()
    centred = (year - year.mean()) / 10
    line = np.column_stack((np.ones(len(y)), centred))
    straight, bent = (
        fit_log_linear(y, ones, columns) for columns in (line, np.column_stack((line, centred**2)))
    )
    at = [1851, 1880, 1890, 1907, 1935, 1962]
    rows = basis(np.array(at, float), knots, tuple(map(float, ends)))
    n_coef = design.shape[1]
    return {
        "at_years": at,
        "fitted_rate": np.exp(rows @ fitted.coefficients),
        "se_log_rate": np.sqrt(np.einsum("ij,jk,ik->i", rows, fitted.covariance, rows)),
        "deviance": fitted.deviance,
        "loglik": likelihood,
        "aic": 2 * n_coef - 2 * likelihood,
        "bic": n_coef * math.log(len(y)) - 2 * likelihood,
        "n_coef": n_coef,
        "lr_vs_constant": fit_log_linear(y, ones, line[:, :1]).deviance - fitted.deviance,
        "lr_vs_loglinear": straight.deviance - fitted.deviance,
        "quadratic_deviance": bent.deviance,
        "fitted_total": fitted.expected.sum(),
    }
