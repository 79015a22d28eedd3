"""The statistician's data: indices alone, in a table or an array, without a run."""

import gzip
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from builders import write_run
from published_files import make_toy, memorized_rows, truth

import memtrace
from memtrace.errors import FitError, RunError
from memtrace.point_process import EventSequence
from memtrace.storage.columns import read_integers

N = 20_000


@pytest.fixture(scope="module")
def indices():
    return np.random.default_rng(1).choice(N, 300, replace=False)


def write_npy(path, indices):
    np.save(path, indices)


def write_gzip(path, indices):
    with gzip.open(path, "wt") as file:
        file.write("sequence\n" + "\n".join(map(str, indices)) + "\n")


WRITERS = {
    "x.parquet": lambda path, i: pl.DataFrame({"row": i}).write_parquet(path),
    "two.parquet": lambda path, i: pl.DataFrame({"row": i, "s": ["a"] * len(i)}).write_parquet(
        path
    ),
    "named.parquet": lambda path, i: pl.DataFrame({"n": i, "index": i}).write_parquet(path),
    "u.parquet": lambda path, i: pl.DataFrame({"row": i.astype(np.uint64)}).write_parquet(path),
    "f.parquet": lambda path, i: pl.DataFrame({"row": i.astype(float)}).write_parquet(path),
    "x.csv": lambda path, i: pl.DataFrame({"row": i}).write_csv(path),
    "bare.csv": lambda path, i: pl.DataFrame({"row": i}).write_csv(path, include_header=False),
    "x.csv.gz": write_gzip,
    "x.npy": write_npy,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_is_read_as_it_was_written(tmp_path, indices, name):
    WRITERS[name](tmp_path / name, indices)
    assert read_integers(tmp_path / name).tolist() == indices.tolist()


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        ({"a": [1], "b": [2]}, None, "2 columns of whole numbers among a, b: name one with --col"),
        ({"a": ["x"]}, None, "a is String, expected whole numbers"),
        ({"a": [1.5]}, None, "a 1.5 is no whole number"),
        ({"a": [1, None]}, None, "a is missing in 1 of 2 rows"),
        ({"a": [1]}, "b", "no column 'b' among a"),
    ],
)
def test_a_table_that_does_not_say_which_sequences(tmp_path, columns, asked, message):
    pl.DataFrame(columns).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(RunError, match=message):
        read_integers(tmp_path / "x.parquet", asked)


def test_the_fit_of_a_table_is_that_of_the_events(tmp_path, indices, memtrace_cli):
    WRITERS["x.parquet"](tmp_path / "x.parquet", indices)
    done = memtrace_cli(
        "fit-poisson",
        tmp_path / "x.parquet",
        "--sequences",
        N,
        "--sequences-per-step",
        10,
        "--json",
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    events = EventSequence.from_positions(indices, n=N, sequences_per_step=10, label="x.parquet")
    assert document == memtrace.fit_poisson(events).to_dict()


def test_the_rate_is_that_of_statsmodels(indices):
    """A Poisson regression on a constant with the windows' exposure."""
    fit = memtrace.fit_poisson(indices, n=N, window=512)
    counts = np.histogram(indices, np.append(np.arange(0, N, 512), N))[0]
    exposure = np.diff(np.append(np.arange(0, N, 512), N))
    model = sm.GLM(counts, np.ones(len(counts)), sm.families.Poisson(), exposure=exposure).fit()
    assert fit.rate_per_window == pytest.approx(512 * np.exp(model.params[0]), rel=1e-9)


@pytest.mark.parametrize(
    "kind",
    [
        list,
        pl.Series,
        pd.Series,
        lambda i: pd.Series(i, dtype="Int64"),
        lambda i: pd.Series(i, dtype="uint32"),
        lambda i: pd.Series([*map(int, i)], dtype=object),
    ],
)
def test_arrays_and_series_are_events(indices, kind):
    found = memtrace.fit_poisson(kind(indices), n=N)
    assert found.events.positions.tolist() == sorted(indices.tolist())


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([1, 2], {}, "give n, how many sequences were examined"),
        ("runs", {"n": 3}, "events are str: give an EventSequence, or the index of each"),
        (pd.DataFrame({"a": [1], "b": [2]}), {"n": 3}, "events are DataFrame"),
        (None, {"n": 3}, "events are NoneType"),
        ({1, 2}, {"n": 3}, "events are set"),
        ([[1], [2, 3]], {"n": 4}, "events are list"),
        ([0.5], {"n": 3}, "positions are float64"),
        (pl.Series([1, None]), {"n": 3}, "positions are float64"),
        (pd.Series([1, None], dtype="Int64"), {"n": 3}, "positions are"),
        (np.array([True, False]), {"n": 3}, "positions are bool"),
        (["a"], {"n": 3}, "positions are <U1"),
        ([3], {"n": 3}, r"position 3 lies outside \[0, 3\)"),
        (EventSequence.from_positions([1], n=9), {"n": 3}, "has its own n"),
    ],
)
def test_what_is_no_index_of_sequences_gets_one_sentence(given, options, message):
    with pytest.raises(FitError, match=message) as caught:
        memtrace.fit_poisson(given, **options)
    assert "\n" not in str(caught.value)


def test_a_run_is_fitted_with_its_texts(tmp_path):
    with pytest.raises(FitError, match=r"call memtrace\.fit_run"):
        memtrace.fit_poisson(write_run(tmp_path / "runs"))
    assert [run.step for run in memtrace.find_runs(str(tmp_path / "runs"))] == [512]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.npy"], "of how many: add --sequences N"),
        (["x.npy", "--sequences", "9", "--step", "all"], "--step is an option of runs"),
        (
            ["x.npy", "--sequences", "9", "--cuts", "3"],
            "--cuts are steps: add --sequences-per-step",
        ),
        ([".", "--sequences", "9"], "is a folder of runs, and --sequences is an option of a table"),
        (["x.txt", "--sequences", "9"], "neither a folder of runs nor a table of indices"),
    ],
)
def test_options_that_do_not_fit_what_was_given(
    tmp_path, monkeypatch, memtrace_cli, arguments, message
):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.arange(3))
    (tmp_path / "x.txt").write_text("1")
    done = memtrace_cli("fit-poisson", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_an_index_outside_the_examined_sequences(tmp_path, memtrace_cli):
    np.save(tmp_path / "x.npy", np.array([1, 9]))
    done = memtrace_cli("fit-poisson", tmp_path / "x.npy", "--sequences", 9)
    assert done.exit_code == 1
    assert "position 9 lies outside [0, 9); check --sequences" in done.output


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "bare.csv", "x.csv.gz", "x.npy"])
def test_import_takes_indices_alone(tmp_path, name):
    """The same run as of a table with tokens: what is not listed counts as not memorized."""
    memorized = truth()
    WRITERS[name](tmp_path / name, np.array(memorized))
    run, findings = make_toy(tmp_path)(tmp_path / name, model="12b")
    assert memorized_rows(run) == memorized
    assert findings.missing == 0
