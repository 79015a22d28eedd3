"""Loading models: local folders, the Hub's cache, revisions, digests, and one-line errors."""

import shutil
import subprocess
import sys

import pytest
import torch

from memtrace.errors import ModelError
from memtrace.models.loading import choose_device, load_model
from memtrace.models.weights import fetch_weights

COMMITS = {"step1000": "a" * 40, "main": "b" * 40}


@pytest.fixture
def hub_cache(tmp_path, neox_folder, llama_folder, monkeypatch):
    """A Hub cache that holds `someone/tiny` at two revisions, as a download leaves it."""
    repository = tmp_path / "hub" / "models--someone--tiny"
    for (revision, commit), folder in zip(
        COMMITS.items(), (neox_folder, llama_folder), strict=True
    ):
        shutil.copytree(folder, repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository


def test_local_folder(neox_folder):
    weights = fetch_weights(str(neox_folder))
    assert weights.commit is None
    assert list(weights.files) == ["model.safetensors"]
    model = load_model(weights, torch.device("cpu"))
    assert not model.training
    assert model.dtype == torch.float32


def test_half_precision_weights_are_widened_exactly(neox_folder, tmp_path):
    model = load_model(fetch_weights(str(neox_folder)), torch.device("cpu")).half()
    model.save_pretrained(tmp_path / "half")
    wide = load_model(fetch_weights(str(tmp_path / "half")), torch.device("cpu"))
    for ours, theirs in zip(wide.parameters(), model.parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs.float())


@pytest.mark.parametrize("revision", COMMITS)
def test_hub_repository_at_a_revision(hub_cache, revision):
    weights = fetch_weights("someone/tiny", revision)
    assert weights.commit == COMMITS[revision]
    kind = load_model(weights, torch.device("cpu")).config.model_type
    assert kind == {"step1000": "gpt_neox", "main": "llama"}[revision]


def test_digest_tells_revisions_apart_and_not_places(hub_cache, neox_folder):
    at_step = fetch_weights("someone/tiny", "step1000")
    assert at_step.digest == fetch_weights(str(neox_folder)).digest
    assert at_step.digest != fetch_weights("someone/tiny", "main").digest


@pytest.mark.parametrize(
    ("source", "revision", "words"),
    [
        ("someone/else", None, "HF_HUB_OFFLINE"),
        ("someone/tiny", "step7", "HF_HUB_OFFLINE"),
        ("not a name!", None, "no such folder, and no name of a repository"),
        ("a/b/c", None, "no such folder, and no name of a repository"),
    ],
)
def test_what_the_hub_does_not_have_gives_one_line(hub_cache, source, revision, words):
    with pytest.raises(ModelError, match=words) as caught:
        fetch_weights(source, revision)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_snapshot_whose_blobs_were_deleted(hub_cache, tmp_path, name):
    """Whoever cleans a cache by size deletes blobs, and leaves the links to them."""
    link = hub_cache / "snapshots" / COMMITS["main"] / name
    blob = link.rename(tmp_path / "blob")
    link.symlink_to(blob)
    fetch_weights("someone/tiny")
    blob.unlink()
    with pytest.raises(ModelError, match=f"{name} is a link to a file that is gone"):
        fetch_weights("someone/tiny")


def test_folder_without_weights(tmp_path):
    with pytest.raises(ModelError, match="holds no model"):
        fetch_weights(str(tmp_path))


def test_damaged_weights(neox_folder, tmp_path):
    folder = shutil.copytree(neox_folder, tmp_path / "cut")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot load the model") as caught:
        load_model(fetch_weights(str(folder)), torch.device("cpu"))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_that_is_not_there():
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ModelError, match="--device cpu"):
        choose_device("cuda")


def test_pickled_code_is_not_run(neox_folder, tmp_path):
    """Weights in pickle format are read with `weights_only`: a planted call must not happen."""
    folder = tmp_path / "pickled"
    shutil.copytree(neox_folder, folder)
    (folder / "model.safetensors").unlink()
    marker = tmp_path / "executed"
    program = (
        "import torch, pathlib, sys\n"
        "class Planted:\n"
        "    def __reduce__(self): return (pathlib.Path(sys.argv[2]).touch, ())\n"
        "torch.save({'x': Planted()}, sys.argv[1])\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(folder / "pytorch_model.bin"), str(marker)], check=True
    )
    marker.unlink(missing_ok=True)
    with pytest.raises(ModelError):
        load_model(fetch_weights(str(folder)), torch.device("cpu"))
    assert not marker.exists()
