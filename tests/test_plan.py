"""What a scan refuses before it begins, what its runs are called, and what locks no folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import CONFIGURATION
from safetensors.torch import load_file, save_file
from transformers import GPT2Config

import memtrace
from memtrace.errors import CorpusError, ManifestError, ModelError, RunError
from memtrace.runs.run import begin_run, find_runs
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.plan import plan_scan

ROWS = 100


@pytest.fixture
def corpus(tmp_path):
    """Write rows of random token ids; return the path."""

    def write(tokens=64, vocabulary=96, name="tokens.npy", **changed):
        rows = np.random.default_rng(0).integers(1, vocabulary, (ROWS, tokens)).astype(np.uint16)
        for row, token in changed.items():
            rows[int(row[1:]), 3] = token
        np.save(tmp_path / name, rows)
        return str(tmp_path / name)

    return write


def plan(model, corpus, tmp_path, **options):
    (checkpoint,) = find_checkpoints(str(model))
    return plan_scan(checkpoint, corpus=corpus, runs=tmp_path / "runs", **options)


def test_a_model_with_too_few_positions(corpus, tmp_path):
    GPT2Config(n_positions=48, vocab_size=96).save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match=r"64 tokens .* 48 positions"):
        plan(tmp_path / "model", corpus(), tmp_path)
    GPT2Config(n_positions=64, vocab_size=96).save_pretrained(tmp_path / "model")
    assert plan(tmp_path / "model", corpus(), tmp_path).sequences == ROWS


def test_rows_that_are_too_short(neox_folder, corpus, tmp_path):
    with pytest.raises(CorpusError, match="rows of 63 tokens, sequences take tokens 0-63:"):
        plan(neox_folder, corpus(63), tmp_path)


def test_a_corpus_of_another_tokenizer(neox_folder, corpus, tmp_path):
    with pytest.raises(CorpusError, match=r"token id \d+ is outside the model's vocabulary of 96"):
        plan(neox_folder, corpus(vocabulary=5000), tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("step", ["-5", -5, "1_0", "1.5", "all", "", "9" * 30])
def test_steps_that_label_no_run(neox_folder, memtrace_cli, step):
    with pytest.raises(ManifestError, match="give one whole number from 0 on"):
        find_checkpoints(str(neox_folder), step)
    result = memtrace_cli("scan", "--model", neox_folder, f"--step={step}")
    assert result.exit_code == (1 if step == "all" else 2)  # `all` is right for other models
    assert "Traceback" not in result.stderr


def test_a_folder_gives_its_name_however_its_path_is_written(neox_folder, tmp_path, monkeypatch):
    name = "a" * 98
    (tmp_path / name).symlink_to(neox_folder)
    (tmp_path / "models" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "models" / name)
    for path in (".", "./", f"../{name}", f"../{name}/", str(Path.cwd()), f"../../models/{name}/."):
        (found,) = find_checkpoints(path)
        assert (found.suite, found.model, found.revision) == ("local", name, None)
    (link,) = find_checkpoints(str(tmp_path / name))
    assert link.model == neox_folder.name


def test_checkpoints_of_one_trainer_are_steps_of_one_model(neox_folder, corpus, tmp_path):
    """`RUN/checkpoint-N`, as Transformers' Trainer writes it; a step that is given counts."""
    for step, path in ((500, "checkpoint-500"), (1000, "checkpoint-1000")):
        folder = shutil.copytree(neox_folder, tmp_path / "my-run" / path)
        weights = load_file(folder / "model.safetensors")
        save_file({n: t * (1 + step) for n, t in weights.items()}, folder / "model.safetensors")
        run = memtrace.scan(str(folder), corpus=corpus(), runs=tmp_path / "runs", dtype="float32")
        assert (run.suite, run.model, run.step) == ("local-tokens", "my-run", step)
        (found,) = find_checkpoints(str(folder) + "/", "7")
        assert (found.model, found.step) == ("my-run", 7)
    (tmp_path / "latest").symlink_to(folder)
    assert find_checkpoints(str(tmp_path / "latest"))[0].step == 1000
    assert sorted(run.step for run in find_runs(tmp_path / "runs")) == [500, 1000]


@pytest.mark.parametrize("name", ["checkpoint-", "checkpoint-1a", "my-checkpoint-5", "step500"])
def test_other_folders_have_their_own_name(tmp_path, name):
    (tmp_path / name).mkdir()
    (found,) = find_checkpoints(str(tmp_path / name))
    assert (found.model, found.step) == (name, 0)


@pytest.mark.parametrize("path", ["x" * 5000, "/" + "x" * 5000, "a/" * 2500 + "b"], ids=len)
def test_a_path_of_thousands_of_characters(path):
    with pytest.raises(ModelError, match="File name too long") as caught:
        memtrace.scan(path, corpus="none", runs="runs")
    assert len(str(caught.value)) < 300


def trainer_folder(folder, steps, own=False):
    for name in [*(f"checkpoint-{step}" for step in steps), "checkpoint-x", "runs"]:
        (folder / name).mkdir(parents=True)
    if own:
        (folder / "config.json").touch()
    return str(folder)


def test_the_checkpoints_of_a_trainer_are_a_series(tmp_path):
    model = trainer_folder(tmp_path / "my-run", (1000, 500, 1500))
    for step, expected in [
        ("all", [500, 1000, 1500]),
        ("500,1500", [500, 1500]),
        (1000, [1000]),
        (None, [1500]),
    ]:
        found = find_checkpoints(model, step)
        assert [each.step for each in found] == expected
        assert {each.model for each in found} == {"my-run"}
        assert [Path(each.source).name for each in found] == [f"checkpoint-{s}" for s in expected]
    with pytest.raises(ManifestError, match="no checkpoint at step 700"):
        find_checkpoints(model, 700)


def test_a_trainers_folder_that_holds_a_model_itself(tmp_path):
    model = trainer_folder(tmp_path / "my-run", (500, 1000), own=True)
    for step, expected in [(None, [0]), (2000, [2000])]:
        assert [(c.step, c.source) for c in find_checkpoints(model, step)] == [(expected[0], model)]
    assert [each.step for each in find_checkpoints(model, "all")] == [500, 1000]


def test_a_repository_gives_both_its_names():
    (found,) = find_checkpoints("owner/model@main", 7)
    assert (found.model, found.step, found.revision) == ("owner--model", 7, "main")
    assert found.source == "owner/model"


def test_a_name_that_is_no_folders(corpus, tmp_path):
    model = tmp_path / ("b" * 121)
    model.mkdir()
    with pytest.raises(RunError, match="1 to 120 bytes"):
        plan(model, corpus(), tmp_path)


def test_what_failed_before_its_first_shard_locks_no_folder(neox_folder, corpus, tmp_path):
    """One token outside the vocabulary, in a row that no check before the scan looks at."""
    options = {"model": str(neox_folder), "runs": tmp_path / "runs", "dtype": "float32"}
    options["run"] = "mine"  # else another corpus is another place
    with pytest.raises(CorpusError, match="token id 96 is outside"):
        memtrace.scan(corpus=corpus(r87=96), **options)
    (run,) = find_runs(tmp_path / "runs")
    assert run.shards_left()
    run = memtrace.scan(corpus=corpus(name="right.npy"), **options)
    assert run.scores().collect().height == ROWS
    assert "right.npy" in run.command
    with pytest.raises(RunError, match=r"another configuration \(corpus_digest"):
        memtrace.scan(corpus=corpus(r5=7, name="other.npy"), **options)


def test_a_run_gives_way_until_it_has_a_score_file(tmp_path):
    other = CONFIGURATION.__class__(**{**vars(CONFIGURATION), "eos_rule": "mask-eos"})
    begin_run(tmp_path, CONFIGURATION, {"command": ["memtrace", "scan", "one"]})
    run = begin_run(tmp_path, other, {"command": ["memtrace", "scan", "two"]})
    assert run.configuration == other
    assert "two" in run.command
    (run.folder / "scores").mkdir()
    (run.folder / "scores" / run.shards()[0].file_name).touch()
    with pytest.raises(RunError, match="eos_rule: mask-eos -> none"):
        begin_run(tmp_path, CONFIGURATION, {})
    assert Path(run.folder / "run.json").exists()
