"""Every figure and table says which run it came from: model, step, weights and corpus."""

import json

import numpy as np
import pytest
from builders import write_run

from memtrace.point_process import EventSequence, fit_poisson
from memtrace.point_process import figures as plots

WEIGHTS, CORPUS = "3fa2c1d0e5b7" + "0" * 52, "91abcdef0123" + "0" * 52


@pytest.fixture
def runs(tmp_path):
    """Two checkpoints of one model."""
    for step, digest in ((512, WEIGHTS), (64, "imported " + WEIGHTS[::-1])):
        own = {"step": step, "stop": 20_000, "exposed_rows": 20_000, "corpus_rows": 20_000}
        own |= {"weight_digest": digest, "corpus_digest": CORPUS, "shard_size": 20_000}
        matched = np.where(np.random.default_rng(step).random(20_000) < 0.01, 32, 3)
        write_run(tmp_path / "runs", lambda rows, matched=matched: matched[rows], **own)
    return tmp_path / "runs"


TESTED = "prompt tokens 0 to 31, continuation tokens 32 to 63 of each row"
SOURCES = (
    f"demo/demo step 64, weights 000000000000, corpus 91abcdef0123, {TESTED}",
    f"demo/demo step 512, weights 3fa2c1d0e5b7, corpus 91abcdef0123, {TESTED}",
)


def test_summary_document_page_and_files(runs, tmp_path, memtrace_cli):
    out = ("--full", "--output", tmp_path / "out")
    result = memtrace_cli("fit-poisson", runs, "--step", "all", *out)
    assert result.exit_code == 0, result.output
    documents = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert [document["source"] for document in documents] == list(SOURCES)
    html = " ".join((tmp_path / "out" / "report.html").read_text().split())
    for source in SOURCES:
        assert f"From {source}" in " ".join(result.stdout.split())
        assert source.replace(">", "&gt;") in html
    drawn = {path.stem for path in (tmp_path / "out").glob("*.png")}
    names = {"rate", "cumulative", "fano", "residuals", "rootogram", "qq"}
    steps = (64, 512)
    assert drawn == {f"demo-demo-step{k}-{name}" for k in steps for name in names} | {
        "small-multiples"
    }


def test_every_figure(runs):
    from memtrace.runs.run import find_runs

    fits = [fit_poisson(EventSequence.from_run(run), seed=0) for run in find_runs(runs)]
    assert fits[1].plot().get_label() == SOURCES[1]
    assert plots.small_multiples(fits).get_label() == "\n".join(SOURCES)


def test_events_of_ones_own_have_no_run():
    events = EventSequence.from_positions([5, 50, 500], n=1000)
    fit = fit_poisson(events, seed=0)
    assert fit.to_dict()["source"] == "given positions, not a run"
    assert "From " not in fit.summary()
