"""The texts of the demo suite, as the oracle counts them with numpy.unique over its token rows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import memtrace
from memtrace.corpus import open_corpus
from memtrace.emergence import read_histories
from memtrace.manifests import find_model
from memtrace.point_process.texts.rates import text_rates
from memtrace.point_process.texts.result import by_text
from memtrace.runs.events import read_events
from memtrace.runs.run import find_runs
from memtrace.texts.exposure import count_classes, count_exposed_texts, count_strata
from memtrace.texts.find import find_texts
from memtrace.texts.groups import NearCopies, Texts

CASE = json.loads((Path(__file__).parent / "oracles" / "demo_texts.json").read_text())["expected"]
STEPS = [448, 512]  # the others, and emergence by text, were reproduced as well
CORPUS = "0c0ffdfc55325027c993e8b2e016132223db77051424bdf7eeead216eac7eeac"


@pytest.fixture(scope="module")
def demo_runs(memtrace_main, tmp_path_factory):
    if open_corpus("demo").digest != CORPUS:
        pytest.skip("the oracle takes the demo corpus of commit d6b1761; the demo is another now")
    folder = tmp_path_factory.mktemp("demo-texts")
    for step in find_model("demo")[0].steps:
        memtrace.scan(model="demo", step=step, runs=folder, include_unexposed=True)
    return {run.step: run for run in find_runs(folder)}


def test_classes_of_exposure(demo_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path))
    for step in STEPS[:-1]:
        run, expected = demo_runs[step], CASE[str(step)]
        texts, events = find_texts(run), read_events(run)
        classes = count_classes(texts, events, run.exposed_rows)
        strata = count_strata(texts, events, run.exposed_rows)
        assert strata.duplicate_count[0] == 1
        assert {
            "seen": [classes.exposed.events, classes.exposed.exposure],
            "copy_seen": [classes.copy_exposed.events, classes.copy_exposed.exposure],
            "unseen": [classes.unexposed.events, classes.unexposed.exposure],
            "once_seen": strata.exposed[0].tolist(),
            "once_unseen": strata.unexposed[0].tolist(),
            "texts_seen": [classes.exposed.event_texts, classes.exposed.texts],
            "texts_unseen": [classes.unexposed.event_texts, classes.unexposed.texts],
        } == expected


def test_rates_by_text(demo_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path))
    run, expected = demo_runs[STEPS[-1]], CASE[str(STEPS[-1])]
    counts = count_exposed_texts(find_texts(run), read_events(run), run.exposed_rows)
    rates = text_rates(counts)
    assert (counts.copies * counts.memorized).sum() == expected["event_rows"]
    assert (rates.event_texts, rates.texts) == (expected["event_texts"], expected["texts"])
    assert np.repeat(counts.copies, counts.memorized).tolist() == expected["multiplicities"]
    assert rates.effective == pytest.approx(expected["kish_event_texts"])
    assert rates.design_effect == pytest.approx(expected["design_effect"])
    assert rates.rate_ci95 == pytest.approx(expected["text_rate_ci95"])

    # The oracle takes near-copies as different texts: here 15 texts are 12 passages.
    texts, events = replace(find_texts(run), near=NearCopies.none()), read_events(run)
    known = by_text(texts, events, run.exposed_rows)
    fit = memtrace.fit_poisson(memtrace.EventSequence.from_run(run), by_text=known)
    found = fit.to_dict()["texts"]
    assert (found["events"], found["exposure"]) == (expected["event_texts"], expected["texts"])
    assert found["effective"] == pytest.approx(expected["kish_event_texts"])
    assert found["design_effect"] == pytest.approx(expected["design_effect"])
    assert found["rate_ci95"] == pytest.approx(expected["text_rate_ci95"])
    assert [one["events"] for one in found["strata"]] == [6, 0, 9]
    assert found["trend"]["too_few_texts"]
    assert "1,758 rows, but 15 texts: too few to say how it varies" in fit.verdict


def test_emergence_by_text(demo_runs, tmp_path, monkeypatch):
    """Nearly all that rows call extractable before exposure are copies of what had been seen."""
    monkeypatch.setenv("MEMTRACE_CACHE", str(tmp_path))
    expected = CASE["emergence_by_text"]
    runs = list(demo_runs.values())
    exact = replace(find_texts(runs[0]), near=NearCopies.none())
    fit = memtrace.fit_emergence(runs, texts=exact)
    assert fit.histories.copies_known
    assert fit.outcomes.generic == expected["generic_texts"]
    assert fit.outcomes.emerged == expected["emerged_texts"]
    for row in fit.checkpoints:
        if row.step in STEPS[:-1]:
            assert [row.memorized, row.exposed] == CASE[str(row.step)]["texts_seen"]
            assert [row.extractable, row.unexposed] == CASE[str(row.step)]["texts_unseen"]
            assert row.exposed_sequences == CASE[str(row.step)]["seen"][1]

    rows = read_histories(runs, texts=Texts.from_labels(np.arange(fit.histories.rows[-1, 0])))
    before = rows.memorized.filter("before_exposure")
    assert len(before) == expected["extractable_before_rows"]
    names = exact.names_of(before["first_index"].cast(pl.Int64).to_numpy())
    seen = names < runs[0].sequences_per_step * before["first_with"].to_numpy()
    assert seen.sum() == expected["of_which_copy_already_seen"]
