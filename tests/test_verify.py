"""Checkpoints that are not what their step says: found before they are fetched, and not scanned."""

import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

import memtrace
from memtrace.errors import ModelError
from memtrace.manifests import load_suite
from memtrace.models.verify import verify_checkpoints
from memtrace.scanning.checkpoints import find_checkpoints
from memtrace.scanning.downloads import check_checkpoints
from memtrace.scanning.jobs import Job
from memtrace.scanning.launch import run_job
from memtrace.scanning.plan import plan_scan

STEPS = (0, 1, 2, 4, 8)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, neox_folder):
    """Weights of five steps; the first update changes nothing, as in Pythia."""
    root, config = tmp_path_factory.mktemp("checkpoints"), None
    config = AutoModelForCausalLM.from_pretrained(neox_folder).config
    for step in STEPS:
        torch.manual_seed(max(step, 1))
        AutoModelForCausalLM.from_config(config).save_pretrained(root / str(step))
    return {
        step: {path.name: path.read_bytes() for path in (root / str(step)).iterdir()}
        for step in STEPS
    }


@pytest.fixture
def toy(hub, checkpoints, tmp_path, monkeypatch):
    """A suite on the fake Hub, and its manifest; the cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for step in STEPS:
        hub.add_repository("model", "someone/tiny", f"step{step}", dict(checkpoints[step]))
    hub.add_repository("model", "someone/tiny", "main", dict(checkpoints[8]))
    rows = np.random.default_rng(0).integers(1, 96, (80, 65)).astype(np.uint16)
    np.save(tmp_path / "rows.npy", rows)
    manifest = {
        "schema": 1,
        "suite": "toy",
        "title": "toy",
        "sequences_per_step": 10,
        "steps": list(STEPS),
        "corpora": {},
        "models": [
            {
                "name": "tiny",
                "hub": "someone/tiny",
                "corpus": None,
                "corpus_note": "pass --corpus",
                "architecture": "gpt-neox",
                "layers": 2,
                "width": 32,
                "heads": 4,
                "vocab_size": 96,
                "parameters": 31_616,
                "dtype": "float32",
                "known_bad": [{"steps": [4], "reason": "wrong branch", "url": "https://x.org/1"}],
            }
        ],
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(manifest))
    return hub


def replace(hub, step, files):
    hub.add_repository("model", "someone/tiny", f"step{step}", dict(files))


def verdicts(tmp_path, **options):
    suite = load_suite(tmp_path / "toy.yaml")
    found = verify_checkpoints(suite, suite.models[0], STEPS, **options)
    return {verdict.step: verdict for verdict in found}


def states(tmp_path, **options):
    return {step: verdict.state for step, verdict in verdicts(tmp_path, **options).items()}


def plans(tmp_path, step="all", **options):
    found = find_checkpoints("tiny", step, manifest=tmp_path / "toy.yaml")
    corpus = str(tmp_path / "rows.npy")
    return [plan_scan(c, corpus=corpus, runs=tmp_path / "runs", **options) for c in found]


def scan(tmp_path, step, **options):
    return memtrace.scan(
        "tiny",
        step,
        corpus=str(tmp_path / "rows.npy"),
        runs=tmp_path / "runs",
        manifest=tmp_path / "toy.yaml",
        dtype="float32",
        **options,
    )


def test_steps_0_and_1_may_be_equal_and_main_is_the_last(toy, tmp_path):
    """https://github.com/EleutherAI/pythia/issues/83: the first update has learning rate 0."""
    assert states(tmp_path) == {0: "ok", 1: "ok", 2: "ok", 4: "known-bad", 8: "ok"}
    assert not toy.requests  # not one byte of weights was downloaded


def test_a_branch_that_serves_the_last_weights(toy, tmp_path, checkpoints):
    """https://github.com/EleutherAI/pythia/issues/205: 86 branches of 2.8b do."""
    replace(toy, 2, checkpoints[8])
    found = verdicts(tmp_path)
    assert found[2].same_as == ("8", "main")
    assert found[8].same_as == ("2",)
    assert found[0].state == "ok"


def test_one_wrong_shard_among_right_ones(toy, tmp_path, checkpoints):
    """https://github.com/EleutherAI/pythia/issues/206: the first shard of 12b@50000."""
    for step in STEPS:
        shards = {
            "model-00001-of-00002.safetensors": bytes([8 if step == 2 else step]) * 100,
            "model-00002-of-00002.safetensors": bytes([step]) * 101,
        }
        replace(toy, step, shards)
    assert verdicts(tmp_path)[2].same_as == ("8",)


def test_a_missing_branch_and_one_without_weights(toy, tmp_path):
    """https://github.com/EleutherAI/pythia/issues/202"""
    del toy.repositories["model", "someone/tiny", "step2"]
    replace(toy, 8, {"config.json": b"{}"})
    found = verdicts(tmp_path)
    assert found[2].state == found[8].state == "missing"
    assert "step2" in found[2].missing


def test_local_folders_are_hashed(tmp_path, checkpoints):
    for step in STEPS:
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        for name, content in checkpoints[1 if step == 4 else step].items():
            (folder / name).write_bytes(content)
    shutil.rmtree(tmp_path / "step2")
    manifest = yaml.safe_load((Path(__file__).parent / "local_suite.yaml").read_text())
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(manifest))
    assert states(tmp_path) == {
        0: "identical",
        1: "identical",
        2: "missing",
        4: "identical",
        8: "ok",
    }


def local_suite(tmp_path, checkpoints):
    """The checkpoints in folders, and their manifest."""
    for step in STEPS:
        (tmp_path / f"step{step}").mkdir()
        for name, content in checkpoints[step].items():
            (tmp_path / f"step{step}" / name).write_bytes(content)
    manifest = (Path(__file__).parent / "local_suite.yaml").read_text()
    (tmp_path / "toy.yaml").write_text(manifest)


def test_a_link_whose_file_is_gone_is_missing(tmp_path, checkpoints):
    local_suite(tmp_path, checkpoints)
    path = tmp_path / "step2" / "model.safetensors"
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    found = verdicts(tmp_path)
    assert [step for step in STEPS if found[step].state == "missing"] == [2]
    assert "model.safetensors is gone" in found[2].missing


def test_a_file_that_cannot_be_read_is_not_called_missing(tmp_path, checkpoints, monkeypatch):
    local_suite(tmp_path, checkpoints)

    def fail(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("memtrace.models.verify.file_sha256", fail)
    with pytest.raises(ModelError, match=r"cannot read .*model\.safetensors: Permission denied"):
        verdicts(tmp_path)


@pytest.mark.parametrize("text", ["", "\n", "connection\nreset"])
def test_a_hub_that_does_not_answer(toy, tmp_path, monkeypatch, text):
    def fail(*_, **__):
        raise RuntimeError(text)

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_tree", fail)
    with pytest.raises(ModelError, match=r"cannot ask the Hub about .* \(\w+\)") as caught:
        verdicts(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_local_cache_is_hashed(toy, tmp_path, checkpoints):
    replace(toy, 2, checkpoints[8])
    scan(tmp_path, 2, allow_known_bad=True)
    scan(tmp_path, 0)
    toy.fault = lambda number, path: "busy"
    assert states(tmp_path, cached=True) == {0: "ok", 2: "ok"}
    toy.fault = lambda number, path: None
    scan(tmp_path, 8, allow_known_bad=True)
    assert states(tmp_path, cached=True) == {0: "ok", 2: "identical", 8: "identical"}


def test_command_shows_all_and_fails(toy, tmp_path, checkpoints, memtrace_cli):
    replace(toy, 2, checkpoints[8])
    command = ["models", "verify", "tiny", "--manifest", tmp_path / "toy.yaml"]
    result = memtrace_cli(*command)
    assert result.exit_code == 1
    assert "byte-identical to 8, main" in result.stdout
    assert "wrong branch" in result.stdout
    assert "3 of 5 checkpoints of tiny are not to be trusted (steps 2, 4, 8)" in result.stderr
    documents = json.loads(memtrace_cli(*command, "--json").stdout)
    assert [document["flagged"] for document in documents] == [False, False, True, True, True]
    good = memtrace_cli(*command, "--step", "0,1")
    assert good.exit_code == 0, good.output


def test_scan_refuses_a_flagged_step_before_its_download(toy, tmp_path, checkpoints):
    replace(toy, 2, checkpoints[8])
    with pytest.raises(ModelError, match=r"byte-identical to those of 8, main.*allow-known-bad"):
        scan(tmp_path, 2)
    assert not toy.requests
    assert scan(tmp_path, 2, allow_known_bad=True).step == 2


def test_what_was_not_found_on_the_hub_is_found_beside_the_other_runs(toy, tmp_path, checkpoints):
    """`run_job` asks no Hub, as a scan without a network does not."""
    replace(toy, 2, checkpoints[8])
    scan(tmp_path, 2, allow_known_bad=True)
    with pytest.raises(ModelError, match="step 8 are byte-identical to those of step 2"):
        run_job(Job(tuple(plans(tmp_path, "8", dtype="float32"))), ["cpu"])


def weights_asked_for(hub):
    return [path for path, _ in hub.requests if path.endswith(".safetensors")]


def test_each_checkpoint_is_downloaded_once(toy, tmp_path, memtrace_cli):
    command = ["-q", "scan", "--model", "tiny", "--manifest", tmp_path / "toy.yaml"]
    command += ["--corpus", tmp_path / "rows.npy", "--runs", tmp_path / "runs", "--step", "0,2,8"]
    for _ in range(2):
        result = memtrace_cli(*command, "--dtype", "float32")
        assert result.exit_code == 0, result.output
    assert len(weights_asked_for(toy)) == 3


def test_dropped_weights_leave_the_cache_and_are_not_fetched_for_a_finished_run(
    toy, tmp_path, memtrace_cli
):
    command = ["-q", "scan", "--model", "tiny", "--manifest", tmp_path / "toy.yaml"]
    command += ["--corpus", tmp_path / "rows.npy", "--runs", tmp_path / "runs", "--step", "0,2,8"]
    command += ["--dtype", "float32", "--drop-weights"]
    result = memtrace_cli(*command)
    assert result.exit_code == 0, result.output
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    assert all(path.stat().st_size < 10_000 for path in (tmp_path / "cache").rglob("blobs/*"))
    assert memtrace_cli(*command).exit_code == 0
    assert len(weights_asked_for(toy)) == 3


def test_the_next_checkpoint_comes_while_the_current_one_is_scanned(toy, tmp_path):
    """The scan of step 2 waits for the request of step 8: in vain, if it were not fetched ahead."""
    requested = threading.Event()

    def fault(number, path):
        if "step2" not in path and len(weights_asked_for(toy)) >= 1:
            requested.set()

    toy.fault = fault
    job = Job(tuple(plans(tmp_path, "2,8")))
    run_job(job, ["cpu"], on_progress=lambda _: requested.wait(20) or pytest.fail("not fetched"))


def test_disk_estimate_before_the_download(toy, tmp_path, checkpoints, monkeypatch):
    size = len(checkpoints[0]["model.safetensors"])
    need = check_checkpoints(plans(tmp_path, "0,1,2"))
    assert (need.checkpoints, need.total_bytes, need.peak_bytes) == (3, 3 * size, 2 * size)
    scan(tmp_path, 2)
    assert check_checkpoints(plans(tmp_path, "0,1,2")).total_bytes == 2 * size
    free = SimpleNamespace(free=int(1.5 * size))
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(ModelError, match="make room"):
        check_checkpoints(plans(tmp_path, "0,1"))
    free.free = int(2.5 * size)
    with pytest.raises(ModelError, match="--drop-weights"):
        check_checkpoints(plans(tmp_path, "0,1,8"))
    assert check_checkpoints(plans(tmp_path, "0,1,8"), keep_weights=False)


def test_dry_run_shows_the_estimate(toy, tmp_path, memtrace_cli):
    command = ["scan", "--model", "tiny", "--manifest", tmp_path / "toy.yaml", "--step", "0,2"]
    result = memtrace_cli(*command, "--corpus", tmp_path / "rows.npy", "--dry-run")
    assert "2 checkpoints to download" in result.stdout
    assert not toy.requests
