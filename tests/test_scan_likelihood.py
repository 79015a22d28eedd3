"""Scans with likelihoods end to end: one table of equal bytes, whoever makes it and how."""

import math

import numpy as np
import polars as pl
import pytest
from transformers import AutoModelForCausalLM

import memtrace
from memtrace.engine import Distribution, Engine, Rules
from memtrace.errors import MemtraceError, RunError
from memtrace.runs.compact import compact
from memtrace.runs.events import read_events
from memtrace.runs.run import open_run
from memtrace.runs.scores import LIKELIHOOD_ERRORS, read_metadata

ROWS = 90


@pytest.fixture(scope="module")
def toy(tmp_path_factory, neox_folder, remembered):
    """A token file, and the sequences in it; some rows are copies."""
    model = AutoModelForCausalLM.from_pretrained(neox_folder)
    sequences, _ = remembered(model, ROWS)
    sequences[60:70] = sequences[:10]
    corpus = tmp_path_factory.mktemp("corpus") / "tokens.npy"
    np.save(corpus, sequences.astype(np.uint16))
    return neox_folder, corpus, sequences


def scan_toy(toy, runs, **options):
    options = {"likelihood": True, "shard_size": 40, **options}
    return memtrace.scan(str(toy[0]), 9, corpus=str(toy[1]), runs=runs, **options)


def files_of(run):
    scores = {path.name: path.read_bytes() for path in (run.folder / "scores").iterdir()}
    return {**scores, "events": (run.folder / "events.parquet").read_bytes()}


@pytest.fixture(scope="module")
def undisturbed(toy, tmp_path_factory):
    return scan_toy(toy, tmp_path_factory.mktemp("undisturbed"))


def test_the_table_has_both_columns_and_says_what_they_are(toy, undisturbed, tmp_path):
    table = memtrace.load_scores(undisturbed.folder.parents[2], model="tiny-neox", step=9).collect()
    assert dict(table.schema) == {
        "sequence_index": pl.UInt64,
        "matched_tokens": pl.UInt8,
        "log_likelihood": pl.Float32,
    }
    model = AutoModelForCausalLM.from_pretrained(toy[0])
    rules = Rules(distribution=Distribution())
    expected = Engine(model, rules, calibration=toy[2]).score(toy[2])
    np.testing.assert_array_equal(table["matched_tokens"].to_numpy(), expected.matched_tokens)
    np.testing.assert_allclose(
        table["log_likelihood"].to_numpy(), expected.log_likelihood, rtol=0, atol=1e-4
    )
    copies = table["log_likelihood"][60:70].to_list()
    np.testing.assert_allclose(copies, table["log_likelihood"][:10].to_list(), rtol=0, atol=1e-4)
    for path in (undisturbed.folder / "scores").iterdir():
        found = pl.read_parquet_metadata(path)
        said = [found[key] for key in ("likelihood", "temperature", "top_k", "min_probability")]
        assert said == ["True", "1.0", "None", "None"]
        assert found["log_likelihood_dtype"] == "float32"
        assert 0 < float(found["log_likelihood_error_rms"]) < 1e-4
    configuration = undisturbed.record["configuration"]
    assert configuration["likelihood"] is True
    (worker,) = undisturbed.record["workers"]
    assert worker["engine"]["likelihood"]["error"]["n"] > 0
    # The other column is what it is without the option.
    plain = scan_toy(toy, tmp_path, likelihood=False)
    assert plain.scores().collect().equals(table.drop("log_likelihood"))
    events = read_events(undisturbed).sequence_index
    assert read_events(plain).sequence_index.tolist() == events.tolist()


def test_bytes_do_not_depend_on_batches_workers_or_interruptions(toy, undisturbed, tmp_path):
    expected = files_of(undisturbed)
    assert files_of(scan_toy(toy, tmp_path / "batches", batch_size=3)) == expected
    for rank in (1, 0):  # the first finds nothing to help with, and does all
        run = scan_toy(toy, tmp_path / "workers", worker=(rank, 2))
    assert files_of(run) == expected
    for path in list((run.folder / "scores").iterdir())[1:]:
        path.unlink()
    (run.folder / "events.parquet").unlink()
    assert files_of(scan_toy(toy, tmp_path / "workers")) == expected


def test_a_range_has_the_values_of_the_whole(toy, undisturbed, tmp_path):
    run = scan_toy(toy, tmp_path, sequences=(35, 75))
    whole = undisturbed.scores().collect().slice(35, 40)
    found = run.scores().collect()
    assert found["sequence_index"].equals(whole["sequence_index"])
    np.testing.assert_array_equal(
        found["log_likelihood"].to_numpy(), whole["log_likelihood"].to_numpy()
    )


def test_a_sample_and_its_merged_file_keep_the_column(toy, undisturbed, tmp_path):
    run = scan_toy(toy, tmp_path, sample=30, seed=4)
    before = run.scores().collect()
    assert before.height == 30
    whole = undisturbed.scores().collect()
    assert before.equals(whole[before["sequence_index"].cast(pl.Int64)])
    assert compact(run).parts == 3
    assert open_run(run.folder).scores().collect().equals(before)
    merged = read_metadata(run.merged_path)
    assert merged["likelihood"] == "True"
    assert set(LIKELIHOOD_ERRORS) <= merged.keys()
    # The events are found in the merged file too.
    events = read_events(run).sequence_index.tolist()
    (run.folder / "events.parquet").unlink()
    assert read_events(open_run(run.folder)).sequence_index.tolist() == events


def test_below_the_smallest_probability_there_is_null_and_a_bound(toy, undisturbed, tmp_path):
    whole = undisturbed.scores().collect()
    least = float(np.exp(whole["log_likelihood"].median()))
    run = scan_toy(toy, tmp_path, min_probability=least)
    found = run.scores().collect()
    expected = whole.with_columns(
        pl.when(pl.col("log_likelihood") >= math.log(least)).then("log_likelihood")
    )
    assert 0 < found["log_likelihood"].null_count() < ROWS
    assert found.equals(expected)
    (path, *_) = (run.folder / "scores").iterdir()
    bound = float(read_metadata(path)["null_log_likelihood_below"])
    assert bound == pytest.approx(math.log(least))


def test_what_cannot_be_drawn_has_probability_0(toy, tmp_path):
    table = scan_toy(toy, tmp_path, top_k=1).scores().collect()
    memorized = table["matched_tokens"] == 32
    assert table.filter(memorized)["log_likelihood"].unique().to_list() == [0.0]
    assert table.filter(~memorized)["log_likelihood"].unique().to_list() == [-math.inf]


def test_other_likelihoods_are_another_run(toy, undisturbed):
    runs = undisturbed.folder.parents[2]
    with pytest.raises(RunError, match=r"temperature: 1\.0 -> 0\.5"):
        scan_toy(toy, runs, temperature=0.5)
    with pytest.raises(RunError, match="likelihood: True -> False"):
        scan_toy(toy, runs, likelihood=False)
    with pytest.raises(RunError, match=r"min_probability: None -> 0\.1; top_k: None -> 3"):
        scan_toy(toy, runs, min_probability=0.1, top_k=3)
    with pytest.raises(RunError, match="add --likelihood"):
        scan_toy(toy, runs, likelihood=False, top_k=3)
    with pytest.raises(MemtraceError, match="temperature -1"):
        scan_toy(toy, runs, temperature=-1.0)
    assert "--likelihood" in undisturbed.command
