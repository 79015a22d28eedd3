"""`memtrace simulate`: draws that repeat, and the power to see a drift."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builders import write_run
from click.testing import CliRunner, Result
from memtrace.cli.simulate import simulate

from memtrace.errors import FitError, RunError
from memtrace.likelihood.difference import rows_needed
from memtrace.point_process.simulate import random_order


def command(*args: object) -> Result:
    return CliRunner().invoke(simulate, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    sizes = {"stop": 4096, "exposed_rows": 4096, "corpus_rows": 4096, "shard_size": 4096}
    matched = np.where(np.random.default_rng(0).random(4096) < 0.05, 32, 3)
    write_run(folder, lambda rows: matched[rows], model="small", step=64, **sizes)
    return folder


def test_draws_of_a_drift_are_written_and_tested(tmp_path) -> None:
    output = tmp_path / "draws.parquet"
    asked = ("--sequences", 20_000, "--events", 500, "--rate-ratio", 3, "--draws", 5)
    result = command(*asked, "--seed", 1, "--output", output, "--json")

    document = json.loads(result.stdout)
    assert document["rejected"]["trend"] == 1
    assert document["draws"] == 5
    drawn = pl.read_parquet(output)
    assert drawn["draw"].n_unique() == 5
    assert len(drawn) == pytest.approx(5 * document["mean_events"])
    again = tmp_path / "again.parquet"
    command(*asked, "--seed", 1, "--output", again)
    assert again.read_bytes() == output.read_bytes()


def test_draws_are_like_a_run(runs) -> None:
    result = command(runs, "--model", "small", "--process", "tenths", "--draws", 3, "--json")

    assert json.loads(result.stdout)["mean_events"] == pytest.approx(205, abs=60)


def test_text_names_every_test_with_its_share() -> None:
    result = command("--sequences", 5000, "--events", 100, "--draws", 2)

    assert result.exit_code == 0
    assert "2 draws of 100.0 events on average" in result.stdout
    assert "Anderson-Darling" in result.stdout


def test_a_process_that_no_model_is_called_names_those_that_are(runs) -> None:
    result = command(runs, "--process", "hawkes")

    assert result.exit_code == 2
    assert "log-linear" in result.stderr


def test_neither_a_run_nor_numbers_is_a_usage_error() -> None:
    result = command("--events", 5)

    assert result.exit_code == 2
    assert "give RUNS, or both --sequences and --events" in result.stderr


def test_an_output_that_cannot_be_written_is_one_clear_error(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    output = tmp_path / "file" / "draws.parquet"
    result = command("--sequences", 900, "--events", 9, "--draws", 1, "--output", output)

    assert isinstance(result.exception, RunError)
    assert "cannot write" in str(result.exception)


def test_more_events_than_sequences_are_refused() -> None:
    result = command("--events", 10, "--sequences", 5)

    assert result.exit_code == 2
    assert "10 is more than the 5 sequences" in result.stderr
    with pytest.raises(FitError, match="10 events are more than the 5 sequences"):
        random_order(5, 10, np.random.default_rng(0))


@pytest.mark.parametrize(("events", "sequences"), [(1, 1), (1, 5), (5, 5)])
def test_draws_in_which_no_test_is_defined_reject_nothing(events, sequences) -> None:
    result = command("--events", events, "--sequences", sequences, "--draws", 2, "--json")
    document = json.loads(result.stdout)

    assert document["mean_events"] == events
    assert document["rejected"]["trend"] == 0
    assert document["equivalent"] == 0


def test_likelihoods_have_the_power_of_the_closed_form() -> None:
    """n = (1.96 + 0.84)^2 s^2 / (d^2 f (1 - f)) rows are found in 80% of draws."""
    d, s, f = 3.0, 6.0, 0.4
    n = round(rows_needed(d, s, f))
    asked = ("--likelihood", "--sequences", n, "--nats", d, "--residual-sd", s)
    result = command(*asked, "--exposed-share", f, "--draws", 150, "--json")

    document = json.loads(result.stdout)
    assert document["rejected"]["given the baseline"] == pytest.approx(0.8, abs=0.12)
    assert document["mean_nats"] == pytest.approx(d, abs=0.3)
    assert document["rejected"]["exposed minus unexposed"] < 0.6
    assert document["equivalent"] == 0
    assert command("--likelihood", "--sequences", 50, "--events", 3).exit_code == 2
