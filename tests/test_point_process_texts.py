"""What a fit says of texts and of the control group: documents, sentences, refusals."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_point_process_report import nulls_without_reason

from memtrace.point_process import EventSequence
from memtrace.point_process.figures.descriptions import described
from memtrace.point_process.figures.layout import shown
from memtrace.point_process.fit import Asked, fit_events
from memtrace.point_process.texts.result import by_text
from memtrace.runs.memorized import Events
from memtrace.texts.groups import Texts


def fit_of(labels, held, exposed, scanned=None):
    """Fit a checkpoint that has memorized the texts `held`; all rows are scanned by default."""
    labels = np.asarray(labels)
    stop = len(labels) if scanned is None else scanned
    hits = np.flatnonzero(np.isin(labels[:stop], list(held)))
    events = Events(hits, np.array([[0, stop]]))
    found = by_text(Texts.from_labels(labels), events, exposed)
    return fit_events(EventSequence.from_events(events, n=exposed), Asked(window=8), found)


def said(fit):
    return re.sub(r"\s+", " ", fit.summary(300))


@settings(max_examples=25)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 60),
    st.integers(0, 9),
)
def test_every_null_has_a_reason_and_no_sentence_has_nan(n, kinds, exposed, held, seed):
    labels = np.random.default_rng(seed).integers(0, kinds, n)
    fit = fit_of(labels, range(held), min(exposed, n))
    document = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    assert nulls_without_reason(document) == []
    for text in [fit.summary(60), *(described(fit, name) for name in shown(fit))]:
        assert not re.search(r"\bnan\b|\binf\b", text), text
    classes = [document["control"][name] for name in ("copy_exposed", "unexposed")]
    not_exposed = document["control"]["not_exposed"]
    for key in ("events", "exposure"):
        assert sum(one[key] for one in classes) == not_exposed[key]


def test_copies_of_exposed_texts_are_left_out_of_the_control():
    """A text that training made memorized; its later copies would hide the effect."""
    labels = np.concatenate((np.arange(40), np.repeat(3, 20), np.arange(100, 130)))
    fit = fit_of(labels, {3, *range(10, 20)}, exposed=40)
    control = fit.to_dict()["control"]
    assert control["copy_exposed"] == {"events": 20, "exposure": 20, "texts": 1, "event_texts": 1}
    assert control["unexposed"]["events"] == 0
    assert control["once"]["exposed"] == {"events": 10, "texts": 39}
    assert control["once"]["unexposed"] == {"events": 0, "texts": 30}
    assert control["rate_difference"] == pytest.approx(10 / 39)
    assert control["rate_difference_ci95"][0] > 0
    assert "of 39 once-only texts exposed 10 returned, of 30 unexposed 0" in said(fit)
    assert "no control exists for repeated texts" in said(fit)


def test_where_only_copies_are_left_there_is_no_control():
    fit = fit_of([0, 1, 2, 0, 1], {0}, exposed=3)
    assert fit.to_dict()["control"]["rate_difference"] is None
    assert "not known: every sequence that is not exposed is a copy of an exposed one" in said(fit)


def test_many_rows_of_few_texts_are_said_to_be_few():
    fit = fit_of([*range(50), *[0] * 200], {0, 1}, exposed=250)
    texts = fit.to_dict()["texts"]
    assert (texts["events"], texts["exposure"]) == (2, 50)
    assert texts["largest_share"] == pytest.approx(201 / 202)
    assert "sequence_rate_ci95" not in texts
    assert np.isnan(fit.by_text.rates.sequence_rate_ci95).all()
    assert texts["design_effect"] > 10
    assert "202 rows, but 2 texts: too few to say how it varies" in said(fit)
