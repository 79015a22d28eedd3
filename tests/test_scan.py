"""Scans end to end: right answers on disk, whatever the cuts, the batches and the interruptions."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

import memtrace
from memtrace.errors import CorpusError, DataWarning, ManifestError, ModelError, RunError
from memtrace.runs.run import open_run
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.plan import plan_scan

SEQUENCES_PER_STEP = 16
ROWS = 150
SHARDS = -(-ROWS * 130 // 1000)  # the token files are cut every 1,000 bytes
STEPS = (0, 1, 2, 5, 9)


@pytest.fixture(scope="module")
def suite(tmp_path_factory, neox_folder, remembered, write_megatron):
    """A suite of one model with a checkpoint that remembers, described by a manifest file."""
    folder = tmp_path_factory.mktemp("suite with späces")
    model = AutoModelForCausalLM.from_pretrained(neox_folder)
    sequences, changed = remembered(model, ROWS)
    rows = np.concatenate([sequences, np.zeros((ROWS, 1), int)], 1)
    write_megatron(folder / "document", rows, 1000)
    for step in STEPS:
        shutil.copytree(neox_folder, folder / f"step{step}")
        if step not in (0, 1, 9):
            torch.manual_seed(step)
            other = AutoModelForCausalLM.from_config(model.config)
            other.save_pretrained(folder / f"step{step}")
    manifest = {
        "schema": 1,
        "suite": "toy",
        "title": "toy",
        "sequences_per_step": SEQUENCES_PER_STEP,
        "steps": list(STEPS),
        "corpora": {
            "toy": {
                "path": ".",
                "files": f"document-{{shard:05d}}-of-{SHARDS - 1:05d}.bin",
                "shards": SHARDS,
                "row_tokens": 65,
                "dtype": "uint16",
                "rows": ROWS,
            }
        },
        "models": [
            {
                "name": "tiny",
                "path": "step{step}",
                "corpus": "toy",
                "architecture": "gpt-neox",
                "layers": 2,
                "width": 32,
                "heads": 4,
                "vocab_size": 96,
                "parameters": 31_616,
                "dtype": "float32",
                "known_bad": [{"steps": [5], "reason": "wrong branch", "url": "https://x.org/1"}],
            }
        ],
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(manifest))
    return folder, changed


def scan_toy(suite, runs, step=9, **options):
    options.setdefault("dtype", "float32")
    return memtrace.scan("tiny", step, runs=runs, manifest=suite[0] / "toy.yaml", **options)


def score_bytes(run):
    return {path.name: path.read_bytes() for path in (run.folder / "scores").iterdir()}


@pytest.fixture(scope="module")
def undisturbed(suite, tmp_path_factory):
    """A scan that nothing interrupted, of the rows that step 9 has seen."""
    return scan_toy(suite, tmp_path_factory.mktemp("undisturbed"), shard_size=40)


def test_scores_are_the_known_truth(suite, undisturbed):
    table = undisturbed.scores().collect()
    exposed = 9 * SEQUENCES_PER_STEP
    assert table["sequence_index"].to_list() == list(range(exposed))
    np.testing.assert_array_equal(table["matched_tokens"].to_numpy(), suite[1][:exposed])


def test_record_says_how_it_was_made(suite, undisturbed):
    record = json.loads((undisturbed.folder / "run.json").read_text())
    assert record["sequences_done"] == 144
    assert record["configuration"]["sequences_per_step"] == SEQUENCES_PER_STEP
    assert record["weights"].keys() == {"model.safetensors"}
    assert {"memtrace", "torch", "transformers"} <= record["versions"].keys()
    (worker,) = record["workers"]
    assert worker["sequences"] == 144
    assert {"tolerance", "batch_size"} <= worker["engine"].keys()


def test_every_file_explains_itself(undisturbed):
    for path in (undisturbed.folder / "scores").iterdir():
        found = pl.read_parquet_metadata(path)
        assert found["suite"] == "toy"
        assert found["model"] == "tiny"
        assert found["step"] == "9"
        assert found["eos_rule"] == "none"
        assert found["weight_digest"]
        assert found["corpus_digest"]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batch_size_does_not_change_a_byte(suite, undisturbed, tmp_path, batch_size):
    run = scan_toy(suite, tmp_path, shard_size=40, batch_size=batch_size)
    assert score_bytes(run) == score_bytes(undisturbed)


@pytest.mark.parametrize("shard_size", [1, 13, 131_072])
def test_shard_size_does_not_change_a_score(suite, undisturbed, tmp_path, shard_size):
    run = scan_toy(suite, tmp_path, sequences=(0, 30), shard_size=shard_size)
    assert run.scores().collect().equals(undisturbed.scores().head(30).collect())


def test_lost_and_damaged_shards_are_made_again(suite, undisturbed, tmp_path):
    run = scan_toy(suite, tmp_path, shard_size=40)
    whole = score_bytes(run)
    names = sorted(whole)
    (run.folder / "scores" / names[0]).unlink()
    (run.folder / "scores" / names[2]).write_bytes(whole[names[2]][:50])
    untouched = (run.folder / "scores" / names[1]).stat().st_mtime_ns
    with pytest.warns(DataWarning, match=rf"{names[2]} is damaged"):
        again = scan_toy(suite, tmp_path, shard_size=40)
    assert score_bytes(again) == whole == score_bytes(undisturbed)
    assert (run.folder / "scores" / names[1]).stat().st_mtime_ns == untouched


def test_a_finished_run_is_not_touched(suite, undisturbed):
    before = (undisturbed.folder / "run.json").read_bytes()
    again = scan_toy(suite, undisturbed.folder.parents[2], shard_size=40)
    assert again.record == json.loads(before)
    assert (undisturbed.folder / "run.json").read_bytes() == before


@pytest.mark.parametrize("moment", range(5))
def test_interrupted_between_any_two_batches(suite, undisturbed, tmp_path, monkeypatch, moment):
    """The engine is interrupted at its n-th call, and the command is repeated."""
    import memtrace.engine.engine as engine

    calls = iter(range(100))
    decide = engine.Engine.score

    def interrupted(self, sequences):
        if next(calls) == moment:
            raise KeyboardInterrupt
        return decide(self, sequences)

    monkeypatch.setattr(engine.Engine, "score", interrupted)
    if moment < 4:  # 144 sequences in shards of 40 are four calls
        with pytest.raises(KeyboardInterrupt):
            scan_toy(suite, tmp_path, shard_size=40)
    assert score_bytes(scan_toy(suite, tmp_path, shard_size=40)) == score_bytes(undisturbed)


def test_unexposed_sequences_only_when_asked(suite, tmp_path):
    run = scan_toy(suite, tmp_path / "a", step=2, include_unexposed=True)
    assert run.scores().collect().height == ROWS
    assert run.exposed_rows == 2 * SEQUENCES_PER_STEP
    run = scan_toy(suite, tmp_path / "b", step=2)
    assert run.scores().collect().height == 2 * SEQUENCES_PER_STEP
    assert scan_toy(suite, tmp_path / "c", step=0).scores().collect().height == 0


def test_known_bad_and_identical_weights_are_refused(suite, undisturbed, tmp_path):
    with pytest.raises(ModelError, match="known to be wrong: wrong branch"):
        scan_toy(suite, tmp_path, step=5)
    assert scan_toy(suite, tmp_path, step=5, allow_known_bad=True).step == 5
    # Steps 0 and 1 may be equal (the first update has learning rate 0), 1 and 9 may not.
    scan_toy(suite, tmp_path, step=0)
    scan_toy(suite, tmp_path, step=1)
    with pytest.raises(ModelError, match=r"step 9 are byte-identical to those of step [01]"):
        scan_toy(suite, tmp_path, step=9)


def test_changed_weights_are_refused(suite, tmp_path):
    folder = shutil.copytree(suite[0], tmp_path / "copy")
    scan_toy((folder, None), tmp_path, step=2)
    shutil.rmtree(folder / "step2")
    shutil.copytree(folder / "step5", folder / "step2")
    with pytest.raises(RunError, match=r"weight_digest: \w+ -> \w+"):
        scan_toy((folder, None), tmp_path, step=2)


def test_a_model_of_ones_own(suite, undisturbed, llama_folder, neox_folder, tmp_path):
    corpus = str(suite[0] / "document")
    run = memtrace.scan(str(neox_folder), 7, corpus=corpus, runs=tmp_path, dtype="float32")
    assert (run.suite, run.model, run.step) == ("local-document", neox_folder.name, 7)
    assert (run.exposed_rows, run.is_order_known) == (ROWS, False)
    scores = run.scores().head(144).collect()
    assert scores.equals(undisturbed.scores().collect())
    with pytest.raises(CorpusError, match="give --corpus"):
        memtrace.scan(str(llama_folder), runs=tmp_path)


def test_tokens_beyond_the_vocabulary(suite, tmp_path, neox_folder):
    rows = np.full((5, 64), 3, np.uint16)
    rows[3, 40] = 96
    np.save(tmp_path / "tokens.npy", rows)
    with pytest.raises(CorpusError, match=r"96.*vocabulary"):
        memtrace.scan(str(neox_folder), corpus=str(tmp_path / "tokens.npy"), runs=tmp_path)


def test_weights_that_are_not_finite(suite, tmp_path, neox_folder):
    model = AutoModelForCausalLM.from_pretrained(neox_folder)
    with torch.no_grad():
        model.lm_head.weight[5, 5] = torch.nan
    model.save_pretrained(tmp_path / "nan")
    with pytest.raises(ModelError, match="finite"):
        memtrace.scan(str(tmp_path / "nan"), corpus=str(suite[0] / "document"), runs=tmp_path)


def test_names_and_steps_that_do_not_exist(suite, tmp_path):
    with pytest.raises(ManifestError, match="near it: tiny"):
        memtrace.scan("tinny", 9, manifest=suite[0] / "toy.yaml")
    with pytest.raises(ManifestError, match="no checkpoint at step 3"):
        scan_toy(suite, tmp_path, step=3)
    with pytest.raises(ManifestError, match="step 'last' of a model that no manifest names"):
        find_checkpoints(str(tmp_path), "last")


def test_the_command_of_a_run_of_the_library_finishes_it(suite, tmp_path, memtrace_cli):
    run = scan_toy(suite, tmp_path / "my runs", sequences=(3, 90), shard_size=40, batch_size=8)
    before = score_bytes(run)
    run.path(run.shards()[1]).unlink()
    moved = (tmp_path / "my runs").rename(tmp_path / "moved") / Path(*run.folder.parts[-3:])
    words = shlex.split(open_run(moved).command)
    assert memtrace_cli(*words[1:]).exit_code == 0
    assert score_bytes(open_run(moved)) == before


def test_floor_of_the_work(suite):
    """2 P k + 2 d V operations a sequence (P: weights of the trunk)."""
    (checkpoint,) = find_checkpoints("tiny", 9, manifest=suite[0] / "toy.yaml")
    plan = plan_scan(checkpoint, corpus=None, runs=Path("unused"))
    trunk = 31_616 - 2 * 32 * 96
    assert plan.minimum_flops() == 144 * (2 * trunk * 32 + 2 * 32 * 96)


def test_a_folder_with_the_name_of_a_model_is_not_it(tmp_path, monkeypatch):
    """Whoever keeps results in a folder `demo` still means the suite; `./demo` is the folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "mine").mkdir()
    assert {each.suite for each in find_checkpoints("demo", "all")} == {"demo"}
    for name in ("./demo", "mine"):
        assert [each.suite for each in find_checkpoints(name)] == ["local"]


def test_consecutive_steps_reuse_a_calibration_and_score_the_same(suite, tmp_path, memtrace_cli):
    """Steps 0 and 1 have the same weights, so the first guess fits."""
    told, scores = [], []
    for folder, *steps in (("together", "0,1"), ("apart", "0", "1")):
        for step in steps:
            memtrace_cli(
                *("scan", "--model", "tiny", "--step", step, "--runs", tmp_path / folder),
                *(
                    "--manifest",
                    suite[0] / "toy.yaml",
                    "--dtype",
                    "bfloat16",
                    "--sequences",
                    "0:40",
                ),
                *("--include-unexposed", "--device", "cpu"),
            )
        for step in (0, 1):
            run = open_run(tmp_path / folder / f"suite=toy/model=tiny/step={step}")
            told.append(run.record["workers"][0]["engine"]["calibration"].split()[-1])
            scores.append(score_bytes(run))
    assert told == ["own", "verified", "own", "own"]
    assert scores[:2] == scores[2:]
