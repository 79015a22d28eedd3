"""Weight files: loaded as they were hashed; what cannot be read gives one clear line."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from memtrace.errors import ModelError
from memtrace.models import loading
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights
from memtrace.storage.digests import file_sha256

CPU = torch.device("cpu")


class TransportError(Exception):
    """What the Hub's client lets through: no OSError, and none of its own errors."""


ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "someone/base", "r": 4}


@pytest.fixture
def folder(neox_folder, tmp_path):
    return Path(shutil.copytree(neox_folder, tmp_path / "model"))


@pytest.fixture
def other(neox_folder, tmp_path):
    """Weights of the same shape and size."""
    torch.manual_seed(5)
    config = AutoModelForCausalLM.from_pretrained(neox_folder).config
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    return tmp_path / "other" / "model.safetensors"


def refusal(source, match):
    with pytest.raises(ModelError, match=match) as caught:
        fetch_weights(str(source))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def exchange(path, other):
    """Put a file in place of another one, as a download does."""
    shutil.copy(other, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def overwrite(path, other):
    """Write other bytes into the same file."""
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("replace", [exchange, overwrite])
def test_weights_that_are_replaced_after_they_were_hashed(folder, other, replace):
    weights = fetch_weights(str(folder))
    replace(folder / "model.safetensors", other)
    with pytest.raises(ModelError, match=r"model\.safetensors has changed since it was hashed"):
        load_model(weights, CPU)
    # What is there now has another digest, and loads.
    assert fetch_weights(str(folder)).digest != weights.digest
    load_model(fetch_weights(str(folder)), CPU)


def test_a_configuration_that_changes_after_the_weights_were_hashed(folder):
    weights = fetch_weights(str(folder))
    assert list(weights.files) == ["model.safetensors"]  # it is no part of the digest
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(ModelError, match=r"config\.json has changed since it was hashed"):
        load_model(weights, CPU)


@pytest.mark.parametrize("replace", [exchange, overwrite])
def test_weights_that_are_replaced_while_they_are_loaded(folder, other, monkeypatch, replace):
    weights, load = fetch_weights(str(folder)), loading._from_pretrained

    def slow(*given):
        loaded = load(*given)
        replace(folder / "model.safetensors", other)
        return loaded

    monkeypatch.setattr(loading, "_from_pretrained", slow)
    with pytest.raises(ModelError, match="has changed since it was hashed"):
        load_model(weights, CPU)


def test_weights_that_are_deleted_after_they_were_hashed(folder):
    weights = fetch_weights(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has changed since it was hashed"):
        load_model(weights, CPU)


def test_weights_that_are_written_while_they_are_hashed(folder, other, monkeypatch):
    def slow(path):
        digest = file_sha256(path)
        overwrite(path, other)
        return digest

    monkeypatch.setattr("memtrace.models.weights.file_sha256", slow)
    refusal(folder, "has changed while it was hashed")


def test_every_shard_is_hashed_and_compared(neox_folder, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(neox_folder)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    weights = fetch_weights(str(tmp_path))
    assert len(weights.files) > 3
    whole = load_model(fetch_weights(str(neox_folder)), CPU).state_dict()
    for name, tensor in load_model(weights, CPU).state_dict().items():
        assert torch.equal(tensor, whole[name])
    for name in weights.files:
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(before)  # the same bytes, but written again
        with pytest.raises(ModelError, match=f"{name} has changed"):
            weights.check_unchanged()
        weights = fetch_weights(str(tmp_path))


def test_an_index_whose_shards_are_not_beside_it(neox_folder, tmp_path):
    """Not there, or elsewhere: then they would be loaded without being hashed."""
    model = AutoModelForCausalLM.from_pretrained(neox_folder)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "pytorch_model.bin.index.json").write_text("{}")  # of the other format
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    shard = sorted(fetch_weights(str(tmp_path)).files)[1]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / shard).rename(tmp_path / "elsewhere" / shard)
    refusal(tmp_path, rf"names weight files that are not beside it \({shard}\)")
    weights = {k: f"elsewhere/{v}" if v == shard else v for k, v in index["weight_map"].items()}
    path.write_text(json.dumps(index | {"weight_map": weights}))
    refusal(tmp_path, f"elsewhere/{shard}")
    for text in ("", "[]", "{}", '{"weight_map": [1]}', '{"weight_map": {"a": [1]}}'):
        path.write_text(text)
        refusal(tmp_path, "is no index of weight files")


def test_a_stale_index_beside_a_whole_file(folder):
    (folder / "model.safetensors.index.json").write_text("{}")
    load_model(fetch_weights(str(folder)), CPU)


def test_a_file_in_place_of_its_folder(folder):
    refusal(folder / "model.safetensors", "is a file: give the folder")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_beside_full_weights(folder, name):
    """Whether peft is installed or not: the scores would be those of the bare model."""
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (folder / name).write_bytes(b"x")
    assert "merge_and_unload" in refusal(folder, r"holds an adapter \(adapter_config\.json\)")
    (folder / "adapter_config.json").unlink()
    refusal(folder, "holds an adapter")


def test_a_folder_with_an_adapter_alone(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    refusal(tmp_path, "holds an adapter")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["model.safetensors", ""])
def test_without_permission(folder, name):
    (folder / name).chmod(0)
    try:
        refusal(folder, "cannot read .*: Permission denied")
    finally:
        (folder / name).chmod(0o755)


@pytest.mark.parametrize("number", [5, 13])
def test_a_disk_that_fails(folder, monkeypatch, number):
    def fail(path):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("memtrace.models.weights.file_sha256", fail)
    refusal(folder, rf"cannot read .*model\.safetensors: {os.strerror(number)}")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_link_whose_file_is_gone(folder, tmp_path, name):
    """As in a Hub cache whose blobs were deleted."""
    (folder / name).rename(tmp_path / "blob")
    (folder / name).symlink_to(tmp_path / "blob")
    fetch_weights(str(folder))
    (tmp_path / "blob").unlink()
    refusal(folder, f"{name} is a link to a file that is gone")


@pytest.mark.parametrize(
    "source", ["x" * 5000, "/" + "x" * 5000, "a/" * 2500 + "b"], ids=["name", "root", "folders"]
)
def test_a_path_of_thousands_of_characters(source):
    refusal(source, "File name too long")


@pytest.mark.parametrize(
    "error",
    [
        TransportError("[Errno -2] Name or service not known"),
        TransportError(""),
        TransportError("peer closed connection\nwithout a word"),
        ConnectionResetError(),
        ValueError(""),
        OSError(" \n "),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_transport_raises(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    refusal("someone/tiny", r"no model 'someone/tiny'.*\(.+\); check the name, the network")


def test_a_full_disk_is_not_blamed_on_the_network(monkeypatch):
    def fail(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    refusal("someone/tiny", "cannot store someone/tiny in the Hub's cache: No space left")


@pytest.mark.parametrize("text", ["", "  \n", "two\nlines"])
def test_a_loader_that_says_nothing(folder, monkeypatch, text):
    def fail(*_, **__):
        raise RuntimeError(text)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(ModelError, match=r"cannot load the model in .*: \w+$"):
        load_model(fetch_weights(str(folder)), CPU)
