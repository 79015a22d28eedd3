"""`memtrace models`: what is printed, at any width, and that it agrees with the manifests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from memtrace.cli.models import models

from memtrace.errors import ManifestError
from memtrace.manifests import load_suites

OWN = """
schema: 1
suite: own
title: One local model, one checkpoint
sequences_per_step: 4
steps: [7]
corpora: {}
models:
  - {name: lone, path: here, corpus: null, corpus_note: "None was kept.", architecture: gpt2,
     layers: 1, width: 8, heads: 2, vocab_size: 9, parameters: 99, dtype: float32}
"""


def run(*arguments: str) -> str:
    result = CliRunner().invoke(models, arguments)
    if result.exception:
        raise result.exception
    return result.stdout


def test_list_has_every_model_and_its_faults(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # narrower terminals get fewer columns
    lines = run("list").splitlines()
    for suite in load_suites():
        for model in suite.models:
            (row,) = (line.split() for line in lines if line.split()[:1] == [model.name])
            assert row[1:3] == [f"{model.parameters:,}", f"{model.layers}x{model.width}"]
            assert row[3:5] == [str(model.vocab_size), model.dtype]
            assert row[5] == (model.corpus or "-")
            faults = len([step for step in suite.steps if model.known_bad_reason(step)])
            assert row[6] == (str(faults) if faults else "-")


def test_list_as_json_counts_what_the_manifests_have():
    rows = json.loads(run("list", "--json"))
    suites = load_suites()
    assert [(row["suite"], row["model"]) for row in rows] == [
        (suite.suite, model.name) for suite in suites for model in suite.models
    ]
    (row,) = (row for row in rows if row["model"] == "2.8b")
    assert (row["checkpoints"], row["known_bad_checkpoints"]) == (154, 86)
    assert {row["suite"] for row in json.loads(run("list", "--suite", "pythia", "--json"))} == {
        "pythia"
    }


def test_show_has_source_corpus_counts_and_faults():
    text = " ".join(run("show", "12b").split())
    assert "EleutherAI/pythia-12b@step{step}" in text
    assert "EleutherAI/pile-standard-pythia-preshuffled" in text
    assert "2,382,326 memorized of 146,432,000 seen (1.6269%) at step 143000" in text
    assert "198,175 memorized of 23,552,000 seen (0.8414%) at step 23000" in text
    assert "https://huggingface.co/datasets/EleutherAI/pythia-memorized-evals" in text
    assert "50000, 58000: the first of the three weight files" in text
    assert "https://github.com/EleutherAI/pythia/issues/206" in text


def test_show_takes_the_name_of_a_repository():
    assert run("show", "EleutherAI/pythia-1.4b") == run("show", "1.4b")


def test_show_step_says_what_is_wrong_with_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # a narrower card folds the line
    sound = run("show", "12b", "--step", "49000")
    faulty = run("show", "12b", "--step", "50000")
    assert "EleutherAI/pythia-12b@step49000, which has seen 50,176,000 sequences" in sound
    assert faulty.count("known bad") == sound.count("known bad") + 1


def test_show_as_json():
    card = json.loads(run("show", "2.8b", "--step", "64000", "--json"))
    bad = {step for fault in card["known_bad"] for step in fault["steps"]}
    assert len(bad) == card["known_bad_checkpoints"] == 86
    assert card["checkpoint"]["step"] in bad
    assert card["checkpoint"]["revision"] == "step64000"
    assert card["checkpoint"]["known_bad"]["url"].endswith("/205")
    (count,) = card["memorized"]
    assert count["rate"] == count["memorized"] / card["corpus_details"]["rows"]


@pytest.mark.parametrize("columns", ["10", "80", "300"])
def test_show_breaks_no_link(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    words = run("show", "410m-seed9").split()
    assert "(https://github.com/EleutherAI/pythia/issues/202)" in words
    assert "https://huggingface.co/datasets/EleutherAI/pile-preshuffled-seeds:" in words


def test_a_manifest_of_ones_own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert "lone" in run("list", "--manifest", str(path))
    assert "None was kept." in run("show", "lone", "--manifest", str(path))
    card = json.loads(run("show", "lone", "--manifest", str(path), "--step", "7", "--json"))
    assert card["source"] == card["checkpoint"]["source"] == str(tmp_path / "here")
    assert card["revision"] is card["checkpoint"]["exposed"] is None


def test_what_there_is_not():
    with pytest.raises(ManifestError, match=r"1\.4b"):
        run("show", "pythia-1.4b")
    with pytest.raises(ManifestError, match="2 and 4"):
        run("show", "1.4b", "--step", "3")
    with pytest.raises(ManifestError, match="pythia"):
        run("list", "--suite", "pythai")
    assert CliRunner().invoke(models, ["show", "1.4b", "--step", "last"]).exit_code == 2


@pytest.mark.parametrize("command", ["list", "show"])
def test_help_has_an_example_on_a_line_of_its_own(command):
    text = CliRunner().invoke(models, [command, "--help"]).stdout
    assert any(line.startswith(f"  memtrace models {command} ") for line in text.splitlines())
    assert "\\b" not in text


def test_help_needs_neither_yaml_nor_pydantic():
    script = (
        "import sys, memtrace.cli.models\n"
        "print([name for name in ('yaml', 'pydantic', 'rich.table') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    ).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200, 400])
def test_list_fits_the_terminal_and_cuts_nothing(memtrace_cli, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    shown = memtrace_cli("models", "list").stdout
    assert max(map(len, shown.splitlines())) <= min(max(width, 60), 200)
    words = shown.split()
    for row in json.loads(memtrace_cli("models", "list", "--json").stdout):
        assert row["model"] in words
        assert f"{row['parameters']:,}" in words
        assert (row["corpus"] or "-") in words
    assert ("50304" in words) == (width >= 100)
