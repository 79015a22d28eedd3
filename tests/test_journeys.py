"""Three users, each from an empty folder to what they came for, by the pages of the docs."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from journeys import (
    BATCH,
    STEPS,
    run_page,
    write_auditor,
    write_statistician,
    write_student,
)

import memtrace


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_student_finds_what_her_model_knows_and_since_when(memtrace_cli):
    rows = write_student()
    session, printed = run_page("journey-student.md", memtrace_cli)
    corpus = memtrace.open_corpus("my-run.yaml")
    assert (corpus[:] == rows[:-1]).all()  # the trainer never uses the last sample
    runs = memtrace.find_runs("runs")
    assert [(run.step, run.exposed_rows) for run in runs] == [(s, s * BATCH) for s in STEPS]
    # What the last checkpoint returns are copies of the text that half of the documents are.
    repeated = np.flatnonzero((rows[:-1, :64] == session["rows"][0]).all(axis=1))
    assert session["memorized"].to_list() == repeated.tolist()
    assert len(repeated) > 100
    assert "small" in printed["memtrace emergence runs"]
    assert "small: 1 text memorized" in printed["memtrace texts runs"]


def test_the_auditor_finds_the_page_with_the_sentence(memtrace_cli):
    sentence = write_auditor()
    session, printed = run_page("journey-auditor.md", memtrace_cli)
    found = session["found"]
    assert set(found["document"]) == {7}
    assert set(found["line"]) == {8}
    assert set(found["file"]) == {"pages.jsonl"}
    words = json.loads(Path("pages.jsonl").read_text().splitlines()[7])["text"].split()
    first = found["document_token"].to_list()
    assert min(first) == 32  # where the sentence begins
    for begin in first:
        assert " ".join(words[begin : begin + 64]) in sentence
    texts = pl.read_parquet("texts/texts.parquet")
    assert set(texts["line"]) == {8}
    assert all(f"{row['prompt']}{row['continuation']}" in sentence for row in texts.to_dicts())
    assert texts["copies_exposed"].null_count() == len(texts)  # nobody knows what it has seen
    assert "pages.jsonl:8" in printed["memtrace texts runs"]
    assert "Training order unknown" in printed["memtrace scan --model ./model --corpus pages"]


def test_the_statistician_gets_what_statsmodels_gives(memtrace_cli):
    write_statistician()
    session, _ = run_page("journey-statistician.md", memtrace_cli)
    document = json.loads(Path("fit/fit.json").read_text())
    assert document["events"] == session["fit"].events.n_events
    assert document["trend"]["rate_ratio"] == pytest.approx(session["fit"].trend.rate_ratio)
    assert session["fit"].verdict
