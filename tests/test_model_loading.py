"""A model gets exactly the weights that its files hold, or is refused with their names."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from memtrace.errors import ModelError
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "pad_token_id": 1,
    "max_position_embeddings": 80,
}
KINDS = ("gpt_neox", "llama", "gpt2")
HEADS = ("lm_head.weight", "embed_out.weight")
EXPERTS = {
    "num_key_value_heads": 2,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_local_experts": 4,
}
BUFFERS = {
    "gpt_neox": {
        "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
        "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
        "gpt_neox.layers.1.attention.rotary_emb.inv_freq": torch.ones(4),
    },
    "llama": {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        "model.layers.0.self_attn.rotary_emb.cos_cached": torch.ones(8, 4),
    },
    "gpt2": {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.uint8),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
    },
}


@pytest.fixture
def saved(tmp_path):
    """Return a maker of folders: a model of a kind, and its weights by name."""

    def make(kind, **settings):
        torch.manual_seed(3)
        config = AutoConfig.for_model(kind, **SMALL | settings)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
        return tmp_path, load_file(tmp_path / "model.safetensors")

    return make


def write(folder, weights):
    plain = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def load(folder):
    return load_model(fetch_weights(str(folder)), torch.device("cpu"))


def refusal(folder):
    with pytest.raises(ModelError, match=r"do not fit its config\.json") as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model._orig_mod."])
@pytest.mark.parametrize("kind", KINDS)
def test_names_with_a_prefix(saved, kind, prefix):
    folder, weights = saved(kind)
    write(folder, {prefix + name: tensor for name, tensor in weights.items()})
    message = refusal(folder)
    assert f"remove the prefix '{prefix}'" in message
    assert re.search(r"missing: .*, .*, .* and \d\d more", message)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_is_not_there(saved, kind):
    folder, weights = saved(kind, tie_word_embeddings=False)
    write(
        folder,
        {name: tensor for name, tensor in weights.items() if name not in HEADS},
    )
    assert "(missing: lm_head.weight)" in refusal(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_is_not_there(saved, kind):
    folder, weights = saved(kind)
    write(folder, {name: tensor for name, tensor in weights.items() if ".1." not in name})
    assert re.search(r"missing: \S+\.1\.\S+, \S+, \S+ and \d+ more\)", refusal(folder))


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_another_number_of_layers_in_the_config(saved, kind, layers):
    folder, _ = saved(kind)
    change_config(folder, **{"n_layer" if kind == "gpt2" else "num_hidden_layers": layers})
    message = refusal(folder)
    assert ("left over: " if layers == 1 else "missing: ") in message
    assert ".1." in message if layers == 1 else ".2." in message


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_shape(saved, kind):
    folder, _ = saved(kind)
    change_config(folder, vocab_size=51)
    assert "[50, 16] in place of [51, 16]" in refusal(folder)


@pytest.mark.parametrize("wrapper", ["module", "state_dict"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_inside_a_dictionary(saved, kind, wrapper):
    folder, weights = saved(kind)
    (folder / "model.safetensors").unlink()
    torch.save({wrapper: weights, "iteration": 5}, folder / "pytorch_model.bin")
    assert f"save the entry '{wrapper}' of the file" in refusal(folder)


@pytest.mark.parametrize("content", [[1, 2], {"weights": 3}, "text"])
def test_a_file_that_holds_no_weights(saved, content):
    folder, _ = saved("llama")
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["safetensors", "bin"])
@pytest.mark.parametrize("kind", KINDS)
def test_buffers_of_old_checkpoints_are_left_over(saved, kind, file):
    folder, weights = saved(kind)
    if file == "safetensors":
        write(folder, weights | BUFFERS[kind])
    else:
        (folder / "model.safetensors").unlink()
        torch.save(weights | BUFFERS[kind], folder / "pytorch_model.bin")
    embedding = load(folder).get_input_embeddings().weight
    assert any(torch.equal(embedding, tensor) for tensor in weights.values())


def test_models_are_loaded_in_many_threads(saved):
    folder, weights = saved("gpt2", tie_word_embeddings=True)
    write(folder, {name: tensor for name, tensor in weights.items() if name not in HEADS})
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(load, [folder] * 24))
    for model in models:
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("kind", KINDS)
def test_a_tied_head_may_be_missing(saved, kind):
    folder, weights = saved(kind, tie_word_embeddings=True)
    write(
        folder,
        {name: tensor for name, tensor in weights.items() if name not in HEADS},
    )
    model = load(folder)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    assert head.weight.data_ptr() == embedding.weight.data_ptr()


def test_names_without_the_prefix_of_the_trunk(saved):
    """As the trunk alone is saved; the head is the embedding."""
    folder, weights = saved("gpt2")
    write(folder, {name.removeprefix("transformer."): tensor for name, tensor in weights.items()})
    expected = weights["transformer.wte.weight"]
    assert torch.equal(load(folder).get_input_embeddings().weight, expected)


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "olmoe"])
def test_experts_that_are_stored_one_by_one(saved, kind):
    """Transformers joins them as it loads; an expert that is not there is missed."""
    folder, weights = saved(kind, **EXPERTS, moe_intermediate_size=20)
    assert any(".experts.3." in name for name in weights)
    load(folder)
    write(
        folder,
        {
            name: t
            for name, t in weights.items()
            if ".1.mlp.experts." not in name and ".1.block_sparse_moe.experts." not in name
        },
    )
    assert "missing: model.layers.1." in refusal(folder)


def test_weights_stay_when_the_file_is_overwritten_in_place(saved):
    folder, weights = saved("llama")
    model = load(folder)
    expected = weights["lm_head.weight"].clone()  # which `load_file` maps as well
    size = (folder / "model.safetensors").stat().st_size
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(bytes(size))
    assert torch.equal(model.get_output_embeddings().weight, expected)


def test_the_format_that_was_hashed_is_the_one_that_is_loaded(saved):
    """Other safetensors than Transformers looks for, beside a file of the other format."""
    folder, weights = saved("llama")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    assert list(fetch_weights(str(folder)).files) == ["other.safetensors"]
    with pytest.raises(ModelError, match="cannot load the model"):
        load(folder)
