"""The texts of the demo suite, as the oracle counts them with numpy.unique over its token rows."""

import json
from pathlib import Path

import numpy as np
import pytest

from memtrace.corpus import open_corpus
from memtrace.point_process.texts.rates import text_rates
from memtrace.runs.events import read_events
from memtrace.runs.run import find_runs
from memtrace.texts.exposure import count_classes, count_exposed_texts, count_strata
from memtrace.texts.find import find_texts

CASE = json.loads((Path(__file__).parent / "oracles" / "demo_texts.json").read_text())["expected"]
STEPS = [448, 512]  # the others, and emergence by text, were reproduced as well
CORPUS = "0c0ffdfc55325027c993e8b2e016132223db77051424bdf7eeead216eac7eeac"


@pytest.fixture(scope="module")
def demo_runs(memtrace_main, tmp_path_factory):
    if open_corpus("demo").digest != CORPUS:
        pytest.skip("the oracle takes the demo corpus of commit d6b1761; the demo is another now")
    import memtrace

    folder = tmp_path_factory.mktemp("demo-texts")
    for step in STEPS:
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
