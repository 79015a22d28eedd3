"""Answers to the oracles of log-likelihoods, through the public functions."""

import numpy as np
from scipy import stats

from memtrace.likelihood import order_of_rows


def rank_correlation_of(given):
    values = np.array(given["log_prob"])
    found = order_of_rows(np.arange(len(values)), values, exposed_rows=len(values)).spearman
    return {
        "rho": found.rho,
        "p_exact": found.p_value,
        "z_normal": found.z,
        "ci95_bonett_wright": found.ci95,
    }


def exposed_minus_unexposed(given):
    # Rows that were seen come first in training.
    order = np.argsort(-np.array(given["seen"]), kind="stable")
    found = order_of_rows(
        np.arange(len(order)),
        np.array(given["log_prob"])[order],
        baseline=np.array(given["baseline"])[order],
        exposed_rows=sum(given["seen"]),
    )
    # The oracle takes n - 4 degrees of freedom, where memtrace has Satterthwaite's.
    half = stats.t.ppf(0.975, len(order) - 4) * found.difference.standard_error
    return {
        "raw_difference": found.raw.nats,
        "raw_welch_se": found.raw.standard_error,
        "adjusted_difference": found.difference.nats,
        "adjusted_se": found.difference.standard_error,
        "ci95": (found.difference.nats - half, found.difference.nats + half),
    }
