import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builders import write_run
from click.testing import CliRunner, Result
from memtrace.cli.fit_poisson import fit_poisson

from memtrace.corpus.copies import Copies, write_copies, write_near_copies
from memtrace.errors import ManifestError, RunError
from memtrace.point_process.order import UNDERPOWERED
from memtrace.report.numbers import ratio
from memtrace.runs.run import Run

Command = Callable[..., Result]


def scanned(
    runs: Path, model: str, step: int, *, shards: int = 4, text: np.ndarray | None = None
) -> Run:
    """Write the first `shards` of the four shards of a run with some memorized sequences.

    Sequences of one text, where texts are given, have the same result.
    """
    text = np.arange(4096) if text is None else text
    memorized = np.random.default_rng(step).random(4096) < 0.05
    return write_run(
        runs,
        lambda rows: np.where(memorized[text[rows]], 32, 3),
        shards=range(shards),
        record={"command": ["memtrace", "scan", "--model", model]},
        model=model,
        step=step,
        stop=4096,
        exposed_rows=min(64 * step, 4096),
        corpus_rows=4096,
        shard_size=1024,
        weight_digest=f"{model}{step}",
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    scanned(folder, "small", 16)
    scanned(folder, "small", 32)
    scanned(folder, "small", 48, shards=2)
    scanned(folder, "large", 64)
    return folder


@pytest.fixture
def command() -> Command:
    def invoke(*args: object) -> Result:
        return CliRunner().invoke(fit_poisson, [str(arg) for arg in args])

    return invoke


def documents(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    return found if isinstance(found, list) else [found]


def test_the_last_finished_checkpoint_of_each_model_is_fitted(runs, command) -> None:
    found = documents(command(runs, "--json"))

    assert [(one["model"], one["step"]) for one in found] == [("large", 64), ("small", 32)]
    assert found[1]["exposure"] == 2048
    assert found[1]["control"]["not_exposed"]["exposure"] == 2048


def test_one_run_gives_one_document(runs, command) -> None:
    result = command(runs, "--model", "small", "--step", 16, "--window", 64, "--json")

    document = json.loads(result.stdout)
    assert (document["step"], document["window"], document["window_count"]) == (16, 64, 16)


@pytest.mark.parametrize(
    ("step", "expected"),
    [("all", [16, 32, 48]), ("32,16", [16, 32]), ("16:48:32", [16, 48]), ("16:17:5", [16])],
)
def test_steps_are_lists_and_ranges_with_their_end(runs, command, step, expected) -> None:
    found = documents(command(runs, "--model", "small", "--step", step, "--json"))

    assert [one["step"] for one in found] == expected


def test_an_unfinished_run_is_fitted_by_name_with_its_gaps(runs, command) -> None:
    (found,) = documents(command(runs, "--model", "small", "--step", 48, "--json"))

    assert found["coverage"]["expected"] == 3072
    assert found["coverage"]["missing_ranges"] == [[2048, 3072]]


def test_a_step_without_a_run_names_those_that_exist(runs, command) -> None:
    result = command(runs, "--model", "small", "--step", "16,17")

    assert isinstance(result.exception, ManifestError)
    assert "step 17; the nearest: 16 and 32" in str(result.exception)


def test_without_a_finished_run_the_command_that_finishes_one_is_named(tmp_path, command) -> None:
    scanned(tmp_path, "small", 16, shards=1)
    result = command(tmp_path)

    assert isinstance(result.exception, RunError)
    assert f"`memtrace scan --model small --runs {tmp_path}`" in str(result.exception)


@pytest.mark.parametrize("step", ["x", "1:2:3:4", "1:9:0"])
def test_a_step_that_is_no_step_is_a_usage_error(runs, command, step) -> None:
    result = command(runs, "--step", step)

    assert result.exit_code == 2
    assert repr(step) in result.stderr


@pytest.mark.parametrize("window", ["99999999999999999999", "0", "1_0", "x"])
def test_a_window_that_is_no_length_is_a_usage_error(runs, command, window) -> None:
    result = command(runs, "--window", window)

    assert result.exit_code == 2
    assert window in result.stderr


def test_text_names_each_run_and_opens_with_its_verdict(runs, command) -> None:
    result = command(runs, "--full")

    assert result.exit_code == 0
    assert "demo/large step 64" in result.stdout
    assert "demo/small step 32" in result.stdout
    for one in documents(command(runs, "--json")):
        assert one["verdict"].split(":")[0].split("(")[0] in result.stdout.replace("\n", " ")


def test_output_holds_the_document_and_the_figures(runs, command, tmp_path) -> None:
    output = tmp_path / "new" / "figures"
    result = command(runs, "--model", "small", "--json", "--output", output)

    assert json.loads((output / "fit.json").read_text()) == json.loads(result.stdout)
    names = {path.name for path in output.iterdir()}
    figures = ("rate", "cumulative", "fano", "residuals", "rootogram", "qq")
    files = {f"{name}.{suffix}" for name in figures for suffix in ("png", "svg")}
    assert names == files | {"fit.json", "report.html"}


def test_figures_of_several_runs_are_named_by_model_and_step(runs, command, tmp_path) -> None:
    command(runs, "--model", "small", "--step", "16,32", "--output", tmp_path / "out")

    drawn = {path.stem.rpartition("-")[0] for path in (tmp_path / "out").glob("*.svg")}
    assert drawn == {"demo-small-step16", "demo-small-step32", "small"}
    assert len(json.loads((tmp_path / "out" / "fit.json").read_text())) == 2


def test_an_output_that_cannot_be_written_is_one_clear_error(runs, command, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = command(runs, "--model", "small", "--output", tmp_path / "file" / "below")

    assert isinstance(result.exception, RunError)
    assert "cannot write to" in str(result.exception)


def test_help_keeps_each_example_on_its_line(command) -> None:
    assert "\n  memtrace fit-poisson runs\n" in command("--help").stdout


def test_several_fits_give_a_table_and_adjusted_p_values(runs, command) -> None:
    found = documents(command(runs, "--model", "small", "--step", "16,32", "--json"))
    adjusted = [one["trend"]["p_value_holm"] for one in found]
    for one in found:
        trend = one["trend"]
        if trend["detectable_rate_ratio"] > UNDERPOWERED:  # such a fit is no member of the family
            assert trend["p_value_holm"] is trend["p_value_by"] is None
            assert trend["reason"]
            continue
        assert trend["p_value"] <= trend["p_value_holm"] <= 1
        assert trend["p_value_by"] <= 1
    assert any(p is not None for p in adjusted)


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_table_of_several_fits_cuts_nothing_at_any_width(
    runs, command, width, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    found = documents(command(runs, "--step", "16,32,48", "--model", "small", "--json"))
    lines = command(runs, "--step", "16,32,48", "--model", "small").stdout.splitlines()

    assert lines[0] == "demo/small"
    assert max(map(len, lines)) <= width
    assert len(lines) < 30
    assert not any("…" in line for line in lines)
    # Columns that the width does not do for follow below: the first block is read.
    rows = {line.split()[0]: line.split() for line in reversed(lines) if line.strip()}
    for one in found:
        row = rows[str(one["step"])]
        assert int(row[1]) == one["events"]
        assert row[4] == ratio(one["trend"]["rate_ratio"])


def test_all_numbers_of_several_fits_are_printed_on_request(runs, command) -> None:
    asked = (runs, "--model", "small", "--step", "16,32")
    text = command(*asked, "--full").stdout

    assert text.index("Holm") < text.index("demo/small step 16 ─")
    assert "demo/small step 16 ─" not in command(*asked).stdout


def test_cuts_are_steps_chosen_beforehand(runs, command) -> None:
    (found,) = documents(command(runs, "--step", "32", "--cuts", "8,16", "--json"))
    (model,) = [one for one in found["models"] if one["name"] == "known cuts"]
    assert list(model["parameters"]) == ["rate_from_0", "rate_from_512", "rate_from_1024"]

    result = command(runs, "--step", "32", "--cuts", "x")
    assert result.exit_code == 2
    assert "--cuts" in result.stderr


def test_strata_come_from_a_table_beside_the_run(command, tmp_path) -> None:
    # Rows 2, 6, ... in pairs, rows 3, 7, ... in groups of 16, all others once.
    rows = np.arange(4096)
    first = np.where(rows % 4 == 2, rows % 2048, np.where(rows % 4 == 3, rows % 256, rows))
    counts = np.bincount(first, minlength=4096)[first]
    table = {"sequence_index": rows, "duplicate_count": counts}
    runs, folder = tmp_path / "runs", tmp_path / "table"
    scanned(runs, "small", 32, text=first)
    repeated = rows[counts > 1][np.lexsort((rows[counts > 1], first[counts > 1]))]
    copies = Copies("c", 4096, 64, 32, first[repeated], repeated)
    write_copies(folder, 0, 1, copies)
    write_near_copies(folder, copies)
    pl.DataFrame(table).write_parquet(folder / "duplicates-00000-of-00001.parquet")
    (found,) = documents(command(runs, "--step", "32", "--duplicates", folder, "--json"))

    strata = found["texts"]["strata"]
    assert [one["texts"] for one in strata] == [1024, 512, 64]
    assert sum(one["events"] for one in strata) == found["texts"]["events"] > 0
    assert found["rate_ci95"] is None
    assert found["control"]["copy_exposed"]["exposure"] == 512 + 512
    assert found["control"]["unexposed"]["exposure"] == 1024
    assert found["texts"]["exposure"] == 1024 + 512 + 64
    out = tmp_path / "figures"
    text = command(runs, "--step", "32", "--duplicates", folder, "--output", out).stdout
    for shown in (text, (out / "report.html").read_text(encoding="utf-8")):
        assert "texts that occur 2 to 9" in shown
