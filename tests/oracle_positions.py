"""Results of the public API for oracle cases about positions: trends and evenness."""

import math
from typing import Any

import numpy as np
from scipy import stats

from memtrace.point_process import EventSequence, Windows
from memtrace.point_process.detectable import dispersion_power
from memtrace.point_process.diagnostics.dispersion import Dispersion, dispersion
from memtrace.point_process.diagnostics.gaps import lewis_robinson
from memtrace.point_process.diagnostics.residuals import rescale_gaps
from memtrace.point_process.diagnostics.second_order import ripley_k
from memtrace.point_process.diagnostics.uniformity import laplace_z, uniformity
from memtrace.point_process.models.constant import binomial_interval, garwood_interval, homogeneous
from memtrace.point_process.models.piecewise import piecewise_constant
from memtrace.point_process.models.power_law import PowerLaw, power_law
from memtrace.point_process.models.trend import Trend, log_linear
from memtrace.point_process.regression import fit_shares

# Times on a continuous axis are indices on an axis so fine that rounding is below 1e-12. On
# windows of that many indices the binomial law is the Poisson law.
FINE = 2**40

Answers = dict[str, Any]


def wald_interval(trend: Trend, confidence: float) -> tuple[float, float]:
    """Return exp(theta -+ z SE), to which the library's interval tends."""
    z = float(stats.norm.isf((1 - confidence) / 2))
    width = z * trend.standard_error * math.sqrt(trend.scale)
    return math.exp(trend.theta - width), math.exp(trend.theta + width)


def events_of(u: Any) -> EventSequence:
    """Place times in [0, 1] on the fine axis; equal times take neighbouring indices."""
    positions = np.floor(np.sort(np.atleast_1d(np.asarray(u, float))) * FINE).astype(np.int64)
    order = np.arange(len(positions))
    positions = np.maximum.accumulate(positions - order) + order
    positions = np.minimum(positions, FINE - len(positions) + order)
    return EventSequence.from_positions(positions, n=FINE)


def times_in(given: Answers) -> tuple[np.ndarray, float]:
    """Return the times as shares of the window, and the window's length."""
    start, stop = given["window"]
    return (np.asarray(given["times"]) - start) / (stop - start), stop - start


def windows_of(counts: Any, exposure: int = FINE) -> Windows:
    counts = np.atleast_1d(np.asarray(counts, dtype=np.int64))
    start = np.arange(len(counts), dtype=np.int64) * exposure
    return Windows(start, counts, np.full_like(counts, exposure))


def dispersion_of(found: Dispersion) -> Answers:
    index, poisson = found.binomial, found.poisson
    return {
        "index": poisson.value,
        "index_poisson": poisson.value,
        "index_binomial": index.value,
        "ratio": index.value / poisson.value if poisson.value else math.nan,
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


def constant_rate_in_time(given: Answers) -> Answers:
    n, (start, stop) = len(given["times"]), given["window"]
    model = homogeneous(n, stop - start)
    rate = model.parameters["rate_per_sequence"]
    return {
        "n": n,
        "exposure": stop - start,
        "rate": rate,
        "ci95": garwood_interval(n, stop - start),
        "loglik": model.log_likelihood,
        "se": math.sqrt(n) / (stop - start),
    }


def spread(events: EventSequence) -> Answers:
    found = uniformity(events)
    n = max(events.n_events, 1)
    mil = power_law((events.positions + 0.5) / events.n).mil_hdbk
    return {
        "n": events.n_events,
        "ks_D": found.ks,
        "ks_Dplus": found.ks_plus,
        "ks_Dminus": found.ks_minus,
        "ks_p_exact": found.p_value,
        "ks_p_asymptotic": float(stats.kstwobign.sf(math.sqrt(n) * found.ks)),
        "kuiper_V": found.kuiper,
        "ad_A2": found.anderson_darling,
        "ad_p": found.anderson_darling_p_value,
        "cvm_W2": found.cramer_von_mises,
        "cvm_p": found.cramer_von_mises_p_value,
        "laplace_U": found.laplace_z,
        "laplace_z_fpc": found.laplace_z,
        "laplace_p": found.laplace_p_value,
        "neyman_theta": found.neyman,
        "neyman_components": np.sqrt(n) * np.array(found.neyman),
        "neyman_N4": found.neyman_statistic,
        "neyman_N4_p": found.neyman_p_value,
        "dkw95_halfwidth": found.ks_upper95 - found.ks,
        "mil_chi2": mil,
        "rate": 0.0 if not events.n_events else math.nan,
    }


def laplace_in_time(u: np.ndarray) -> Answers:
    found = uniformity(events_of(u))
    return {"U": found.laplace_z, "m": len(u), "p": found.laplace_p_value}


def mil_hdbk(found: PowerLaw) -> Answers:
    return {
        "chi2": found.mil_hdbk,
        "df": found.degrees_of_freedom,
        "p_lower": found.p_lower,
        "p_upper": found.p_upper,
        "p_two_sided": found.p_value,
    }


def trend_in_time(given: Answers) -> Answers:
    u = times_in(given)[0]
    renewal = lewis_robinson(u)
    return {
        "laplace": laplace_in_time(u),
        "mil_hdbk": mil_hdbk(power_law(u)),
        "lewis_robinson": {
            "U": renewal.laplace,
            "cv": renewal.cv,
            "lewis_robinson": renewal.statistic,
            "p": renewal.p_value,
        },
    }


def trend_between_failures(given: Answers) -> Answers:
    # Stopped at the last event: the others are spread over the time before it.
    times = np.cumsum(given["interarrival"])
    n, last = len(times), times[-1]
    found = power_law(times[:-1] / last)
    beta = found.beta * n / (n - 1)
    return {
        "laplace_n_minus_1": laplace_in_time(times[:-1] / last),
        "mil": mil_hdbk(found),
        "beta_mle_n": beta,
        "beta_n_minus_1": found.beta,
        "lambda_n": n / last**beta,
        "lambda_for_beta_n_minus_1": n / last**found.beta,
    }


def power_law_in_time(given: Answers) -> Answers:
    times, length = np.atleast_1d(given["times"]).astype(float), given["T"]
    found, n = power_law(times / length), len(times)
    beta = found.beta
    scale = n / length**beta
    constant = homogeneous(n, length).log_likelihood
    gain = n * math.log(beta) + (beta - 1) * float(np.log(times / length).sum())
    return {
        "beta": beta,
        "lambda": scale,
        "beta_unbiased": found.beta_unbiased,
        "intensity_T": scale * beta * length ** (beta - 1),
        "loglik": constant + gain,
        "loglik_hpp": constant,
        "lr_chi2": 2 * gain,
        "cvm_C2M": found.cramer_von_mises,
        "beta_ci95": found.ci95,
        # The published value is rounded to three digits, as its times are.
        "laplace": laplace_in_time(times / length),
        "mil_hdbk": mil_hdbk(found),
    }


def power_law_of_positions(given: Answers) -> Answers:
    u = (np.array(given["positions"]) + 0.5) / given["N"]
    found = power_law(u)
    return {"u": u, "mil_chi2": found.mil_hdbk, "beta": found.beta}


def finite_population(given: Answers) -> Answers:
    events = EventSequence.from_positions(given["positions"], n=given["N"])
    found, n, total = uniformity(events), events.n_events, given["N"]
    ranks, mean = events.ranks, float(events.positions.mean())
    windows = dispersion(events.windows(given.get("window", 5)))
    variance = (total + 1) * (total - n) / (12 * n)
    nothing = {"laplace_z_fpc": math.nan, "ks_D_events_vs_all": 0.0, "var_mean_fpc": variance}
    answers: Answers = {
        "n": n,
        "N": total,
        "p_hat": events.fraction,
        "clopper_pearson95": binomial_interval(n, total),
        "dispersion_binomial": windows.binomial.value,
    }
    if n == total:
        return answers | nothing
    z = laplace_z(ranks, total)
    return answers | {
        "mean_pos": mean,
        "var_mean_fpc": variance,
        "laplace_z_fpc": found.laplace_z,
        "laplace_z_continuous_midpoint": ((mean + 0.5) / total - 0.5) * math.sqrt(12 * n),
        "p_normal": 2 * float(stats.norm.sf(abs(z))),
        "p_wilcoxon_normal": 2 * float(stats.norm.sf(abs(z))),
        "wilcoxon_W": int((ranks + 1).sum()) - n * (n + 1) // 2,
        "p_exact": found.laplace_p_value,
        "p_mean_two_sided_doubled": found.laplace_p_value,
        "p_ks": found.p_value,
        "X2_binomial": windows.binomial.value * windows.degrees_of_freedom,
        "ks_D": found.ks,
        "ks_D_events_vs_all": found.ks,
        "ks_D_events_vs_nonevents": found.ks / (1 - events.fraction),
        "identity_D1_over_1mp": found.ks / (1 - events.fraction),
        "ks_p_two_sample_exact": found.p_value,
    }


def bernoulli_regression(given: Answers) -> Answers:
    bits = np.array(given["bits"], np.int64)
    u = (np.arange(len(bits)) + 0.5) / len(bits)
    design, ones = np.column_stack((np.ones_like(u), u)), np.ones_like(bits)
    logit, cloglog = (fit_shares(bits, ones, design, link=name) for name in ("logit", "cloglog"))
    return {
        "logit_coef": logit.params,
        "logit_se": logit.bse,
        "lr_chi2": logit.null_deviance - logit.deviance,
        "cloglog_coef": cloglog.params,
        "cloglog_deviance": cloglog.deviance,
        "null_deviance": logit.null_deviance,
    }


def log_linear_in_time(given: Answers) -> Answers:
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
        "rr_ci95_wald": wald_interval(trend, 0.95),
        "lr_chi2": trend.likelihood_ratio,
        "lr_p": trend.p_value,
        "wald_z": trend.theta / trend.standard_error,
        "score_z_laplace": uniformity(events).laplace_z,
        "rate_start": start,
        "rate_end": end,
        "loglik": constant + trend.likelihood_ratio / 2,
    }


def log_linear_of_positions(given: Answers) -> Answers:
    trend = log_linear(events_of(given["u"]))
    # On a finite axis no slope is steeper than the axis is fine; its limit is infinite.
    theta = trend.theta if abs(trend.theta) < FINE / 100 else math.copysign(math.inf, trend.theta)
    return {
        "theta": theta,
        "rate_ratio_end_over_start": trend.rate_ratio,
        "lr_chi2": trend.likelihood_ratio,
    }


def detectable(given: Answers) -> Answers:
    n, total, window = given["n_events"], given["N"], given["window"]
    k = np.arange(n, dtype=np.int64)
    events = EventSequence.from_positions((2 * k + 1) * total // (2 * n), n=total)
    trend, found = log_linear(events), uniformity(events)
    power = dispersion_power(events.fraction, total // window, events.fraction * window)
    return {
        "se_theta_loglinear": trend.null_standard_error,
        "se_theta_fpc": trend.null_standard_error * math.sqrt(trend.scale),
        "mde_theta_80": math.log(trend.detectable_ratio(given["power"])),
        "se_index_dispersion": power.standard_error,
        "expected_index_poisson_under_bernoulli": power.expected_poisson,
        "linear_trend_b_that_offsets_bernoulli": power.hidden_trend,
        "dkw95": found.ks_upper95 - found.ks,
        "ks_crit95_fpc": found.ks_critical95,
    }


def empty_parts(given: Answers) -> Answers:
    counts, exposure = np.array(given["counts"]), np.array(given["exposure"])
    assert (exposure == exposure[0]).all()
    length = FINE // len(counts)
    inside = [start * length + np.arange(count) for start, count in enumerate(counts)]
    events = EventSequence.from_positions(np.concatenate(inside), n=FINE)
    cuts = [start * length for start in range(1, len(counts))]
    model = piecewise_constant(events, cuts, "parts", np.random.default_rng(0))
    found = dispersion(windows_of(counts))
    return {
        "G2": model.likelihood_ratio,
        "loglik_sat_minus_null": model.likelihood_ratio / 2,
        "X2": found.poisson.value * found.degrees_of_freedom,
        "garwood95_bin0": garwood_interval(int(counts[0]), exposure[0]),
    }


def equal_parts(given: Answers) -> Answers:
    u, length = times_in(given)
    events, bins = events_of(u), given["bins"]
    parts = events.windows(FINE // bins)
    low, high = garwood_interval(parts.counts, length / bins)
    cuts = parts.start[1:].tolist()
    model = piecewise_constant(events, cuts, "parts", np.random.default_rng(0))
    rate = np.array(list(model.parameters.values())) * FINE / length
    mean = rate.mean()
    found = dispersion(parts)
    return {
        "counts": parts.counts,
        "rate": rate,
        "garwood95": np.column_stack((low, high)),
        "G2": model.likelihood_ratio,
        "X2": found.poisson.value * found.degrees_of_freedom,
        "df": found.degrees_of_freedom,
        "max_abs_log_rr": np.abs(np.log(rate / mean)).max(),
        "cv_rate_raw": rate.std(ddof=1) / mean,
        "cv_rate_excess": found.cv,
    }


def rescaled_gaps(given: Answers) -> Answers:
    (u, _), theta = times_in(given), given["theta"]
    n, zeros = len(u), np.zeros(len(u))
    expected = n * np.expm1(theta * u) / np.expm1(theta)
    # No sequence has a chance of its own in continuous time: q is 0 and r means nothing.
    gaps = rescale_gaps(expected, zeros, zeros)
    centred = gaps - gaps.mean()
    middle = n * np.expm1(theta / 2) / np.expm1(theta)
    return {
        "first5_gaps": gaps[:5],
        "last_Lambda": expected[-1],
        "mean_gap": gaps.mean(),
        "ks_D": stats.kstest(-np.expm1(-gaps), "uniform").statistic,
        "ks_D_of_Lambda_over_n": stats.kstest(expected / n, "uniform").statistic,
        "lag1_acf_gaps": (centred[1:] @ centred[:-1]) / (centred @ centred),
        "band95": 1.358 / math.sqrt(n),  # rounded, as the source has it
        "martingale_residual_mid": (u < 0.5).sum() - middle,
    }


def pairs_within(given: Answers) -> Answers:
    positions, total = np.array(given["positions"]), given["T"]
    found = ripley_k(positions, total, given["r"])
    k = np.array([one.k for one in found])
    return {
        "K_uncorrected": [one.uncorrected for one in found],
        "K_translation": k,
        "L": k / 2 - np.array(given["r"]),
        "E_K_translation_without_replacement": [one.expected for one in found],
        "n_pairs_within": [one.pairs for one in found],
    }
