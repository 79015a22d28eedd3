"""Answers to the oracles of texts, through the public functions."""

from math import comb

import numpy as np

from memtrace.point_process.texts.exposure_effect import once_effect, stratified_effect
from memtrace.point_process.texts.order import (
    last_exposure,
    last_exposure_transform,
    last_exposure_variance,
    linear_rank,
)
from memtrace.point_process.texts.rates import (
    design_effect,
    fay_feuer_interval,
    linearised_variance,
    text_rates,
)
from memtrace.runs.memorized import Events
from memtrace.texts.exposure import (
    CLASSES,
    CountStrata,
    TextCounts,
    classify_rows,
    count_classes,
)
from memtrace.texts.groups import Texts

WORDS = {"exposed": "seen", "copy_exposed": "copy_seen", "unexposed": "unseen"}


def exposure_classes(given):
    labels, exposed = np.array(given["text"]), given["exposed_rows"]
    texts, memorized = Texts.from_labels(labels), np.flatnonzero(given["memorized"])
    events = Events(memorized, np.array([[0, len(labels)]]))
    rows = np.arange(len(labels))
    classes = count_classes(texts, events, exposed)
    names = np.unique(texts.names_of(rows))
    seen = texts.copies_before(names, exposed)
    held = np.isin(names, texts.names_of(memorized))
    return {
        "row_class": [WORDS[CLASSES[c]] for c in classify_rows(texts, rows, exposed)],
        "counts": {
            WORDS[name]: {
                "rows": getattr(classes, name).exposure,
                "events": getattr(classes, name).events,
                "texts": getattr(classes, name).texts,
            }
            for name in CLASSES
        },
        "multiplicity": texts.counts_of(names),
        "copies_seen": seen,
        "memorized_text": held,
        "exposed_texts": classes.exposed.texts,
        "exposed_texts_memorized": classes.exposed.event_texts,
        "unseen_texts": classes.unexposed.texts,
        "unseen_texts_memorized": classes.unexposed.event_texts,
    }


def cluster_rate(given):
    m, held = np.array(given["multiplicity"]), np.array(given["memorized_text"])
    copies = np.unique(m)
    counts = TextCounts.together(
        copies,
        np.array([held[m == c].sum() for c in copies]),
        np.array([(m == c).sum() for c in copies]),
    )
    rates = text_rates(counts)
    return {
        "row_rate": rates.sequence_rate,
        "linearised_variance": linearised_variance(counts),
        "design_effect": design_effect(counts),
        "event_texts": rates.event_texts,
        "kish_event_texts": rates.effective,
        "fay_feuer_ci95": fay_feuer_interval(counts),
        "text_rate": rates.rate,
        "text_rate_ci95": rates.rate_ci95,
    }


def exposure_effect(given):
    rows = given["strata"]
    strata = CountStrata(
        np.array([row["m"] for row in rows]),
        np.array([row["seen"] for row in rows]),
        np.array([row["unseen"] for row in rows]),
    )
    once, all_counts = once_effect(strata), stratified_effect(strata)
    return {
        "once_difference": once.difference,
        "once_neyman_se": once.standard_error,
        "once_difference_ci95": once.neyman_ci95,
        "once_fisher_central": once.p_value,
        "mh_statistic": all_counts.statistic,
        "mh_p": all_counts.p_value,
        "mh_odds_ratio": all_counts.odds_ratio,
        "mh_exact_p_minlike": all_counts.p_value_exact,
    }


def linear_rank_test(given):
    ranks = np.concatenate(given["positions_by_text"])
    labels = np.repeat(
        np.arange(len(given["positions_by_text"])), list(map(len, given["positions_by_text"]))
    )
    by_text = given["weight"] == "text"
    rng = np.random.default_rng(0)
    found = linear_rank(ranks, labels, given["rows"], rng, by_text=by_text)
    return {
        "statistic": found.statistic,
        "variance": found.variance,
        "z": found.z,
        "p_normal": found.p_normal,
    }


def last_exposure_test(given):
    n = given["rows"]
    last = np.array([places[-1] for places in given["positions_by_text"]])
    copies = np.array([len(places) for places in given["positions_by_text"]])
    mean = [_mean(m, n) for m in range(1, 5)]
    return {
        "v": last_exposure_transform(last, copies, n),
        "statistic": last_exposure(last, copies, n).statistic,
        "null_mean_by_m": mean,
        "null_variance_by_m": [last_exposure_variance(m, n) for m in range(1, 5)],
    }


def _mean(m, n):
    """The mean over all places of the last of m copies, by their chances C(x, m - 1) / C(n, m)."""
    x = np.arange(m - 1, n)
    chances = np.array([comb(int(i), m - 1) for i in x]) / comb(n, m)
    return float((chances * last_exposure_transform(x, np.full(len(x), m), n)).sum())
