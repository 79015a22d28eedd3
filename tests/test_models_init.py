"""A manifest that nobody wrote: what `models init` finds, writes and refuses."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import yaml
from transformers import AutoModelForCausalLM

from memtrace.errors import ManifestError
from memtrace.manifests import find_model, load_suite
from memtrace.models.checkpoints import checkpoint_template, find_steps
from memtrace.models.shape import read_shape
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.draft import draft_manifest
from memtrace.scanning.plan import plan_scan

ROWS = np.random.default_rng(0).integers(1, 96, (48, 65)).astype(np.uint16)


@pytest.fixture
def run(tmp_path, neox_folder, monkeypatch):
    """A folder with two checkpoints and rows, which is the working directory."""
    for step in (0, 12):
        shutil.copytree(neox_folder, tmp_path / "ckpt" / f"step{step}")
    np.save(tmp_path / "rows.npy", ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_finds_what_the_files_tell(run, memtrace_cli, neox_folder):
    done = memtrace_cli(
        *["models", "init", "ckpt/step{step}", "--corpus", "rows.npy"],
        *["--sequences-per-step", 4, "--json"],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    model = AutoModelForCausalLM.from_pretrained(neox_folder)
    assert found["parameters"] == sum(each.numel() for each in model.parameters())
    assert found["vocab_size"] == model.get_output_embeddings().weight.shape[0]
    assert (found["layers"], found["width"], found["heads"]) == (2, 32, 4)
    assert (found["steps"], found["rows"], found["exposed_rows"]) == ([0, 12], 48, 48)
    assert found["dtype"] == "float32"
    suite = load_suite("memtrace.yaml")
    assert (suite.suite, suite.steps, suite.sequences_per_step) == ("ckpt", (0, 12), 4)


def test_what_it_writes_is_found_by_itself_and_can_be_scanned(run, memtrace_cli):
    init = ["models", "init", "ckpt/step{step}", "--corpus", "rows.npy", "--name", "own"]
    assert memtrace_cli(*init, "--sequences-per-step", 3).exit_code == 0
    assert find_model("own")[0].suite == "own"
    plan = plan_scan(find_checkpoints("own", 12)[0], corpus=None, runs=run / "runs")
    assert (plan.exposed_rows, plan.sequences_per_step, len(plan.corpus)) == (36, 3, 48)
    assert (plan.corpus.read(0, 48, 65) == ROWS).all()


def written(path, rows):
    """Write the rows as corpora of every kind that a manifest takes."""
    np.save(path / "rows.npy", rows)
    pl.DataFrame({"input_ids": rows.tolist()}).write_parquet(path / "rows.parquet")
    (path / "own.yaml").write_text("{corpus: own, layout: npy, tokens: [rows.npy]}")


@pytest.mark.parametrize("corpus", ["rows.npy", "rows.parquet", "own.yaml", "pack", "m.bin", "m"])
def test_a_corpus_of_any_kind(run, memtrace_cli, corpus, write_megatron):
    written(run, ROWS)
    write_megatron(run / "m", ROWS)
    assert memtrace_cli("corpus", "pack", "rows.npy", "--output", "pack").exit_code == 0
    draft = draft_manifest("ckpt/step{step}", corpus=corpus, sequences_per_step=4)
    (run / "memtrace.yaml").write_text(draft.text)
    plan = plan_scan(find_checkpoints("ckpt", 12)[0], corpus=None, runs=run / "runs")
    assert (plan.corpus.read(0, 48, 64) == ROWS[:, :64]).all()


def test_a_ramp_comes_from_the_corpus_file(run):
    said = {"corpus": "own", "layout": "npy", "tokens": ["rows.npy"]}
    said["sequences_per_step"] = [[0, 2], [10, 5]]
    (run / "own.yaml").write_text(yaml.safe_dump(said))
    draft = draft_manifest("ckpt/step{step}", corpus="own.yaml")
    assert draft.exposed_rows == 10 * 2 + 2 * 5
    assert yaml.safe_load(draft.text)["sequences_per_step"] == [[0, 2], [10, 5]]
    with pytest.raises(ManifestError, match=r"--sequences-per-step says 7"):
        draft_manifest("ckpt/step{step}", corpus="own.yaml", sequences_per_step=7)


def test_all_that_is_missing_is_listed_at_once(run, memtrace_cli):
    done = memtrace_cli("models", "init", "ckpt/at{step}", "--output", "rows.npy")
    assert done.exit_code == 1
    for part in (
        "no folder ckpt/at{step}: ckpt has step0, step12",
        "the corpus is not given: add --corpus",
        "the rows of a step are not given: add --sequences-per-step",
        "rows.npy is there already",
    ):
        assert part in done.output
    assert not (run / "memtrace.yaml").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:, :63], "rows of 63 tokens"),
        (ROWS + 60, "outside the model's vocabulary of 96"),
    ],
)
def test_a_corpus_of_another_model_is_refused(run, rows, message):
    np.save("rows.npy", rows)
    with pytest.raises(ManifestError, match=message):
        draft_manifest("ckpt/step{step}", corpus="rows.npy", sequences_per_step=4)


def test_checkpoints_of_two_models_are_refused(run, llama_folder):
    shutil.copytree(llama_folder, run / "ckpt" / "step7")
    with pytest.raises(ManifestError, match="step7 has another shape than ckpt/step0"):
        draft_manifest("ckpt/step{step}", corpus="rows.npy", sequences_per_step=4)


@pytest.mark.parametrize("key", ["parameters", "vocab_size", "layers", "width", "heads"])
def test_a_manifest_that_contradicts_the_checkpoint_is_refused(run, key):
    draft = draft_manifest("ckpt/step{step}", corpus="rows.npy", sequences_per_step=4)
    said = yaml.safe_load(draft.text)
    true = said["models"][0][key]
    said["models"][0][key] = 2 * true
    (run / "memtrace.yaml").write_text(yaml.safe_dump(said))
    with pytest.raises(ManifestError, match=f"{key} {2 * true:,} .the checkpoint has {true:,}"):
        plan_scan(find_checkpoints("ckpt", 12)[0], corpus=None, runs=run / "runs")
    assert not (run / "runs").exists()


def test_a_manifest_lists_every_problem(run):
    (run / "memtrace.yaml").write_text("{schema: 1, suite: x, corpora: {}, steps: [1], color: red}")
    with pytest.raises(ManifestError) as caught:
        load_suite("memtrace.yaml")
    for part in ("title: Field required", "sequences_per_step: Field", "models: Field", "color"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("names", "template", "steps"),
    [
        (["step1", "step10", "step2x", "x"], "step{step}", [1, 10]),
        (["checkpoint-5", "checkpoint-50", "runs"], "", [5, 50]),
        (["1", "2", "step3"], "{step}", [1, 2]),
        (["a-1-b", "a-2-c"], "a-{step}-b", [1]),
        (["s1/hf", "s2"], "s{step}/hf", [1]),
    ],
)
def test_the_steps_of_a_folder(tmp_path, names, template, steps):
    for name in names:
        (tmp_path / name).mkdir(parents=True)
    path = checkpoint_template(str(tmp_path / template) if template else str(tmp_path))
    assert list(find_steps(path)) == steps


def test_the_shape_of_tied_weights_counts_them_once(llama_folder):
    model = AutoModelForCausalLM.from_pretrained(llama_folder)
    assert read_shape(llama_folder).parameters == model.num_parameters()
