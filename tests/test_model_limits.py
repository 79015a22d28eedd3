"""What a configuration allows, against the forward pass of a model of that configuration."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from memtrace.errors import ModelError
from memtrace.models.limits import ModelLimits, read_limits

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "pad_token_id": 1,
    "max_position_embeddings": 20,
    "is_decoder": True,
}
TABLES = {
    "gpt2": {},
    "gpt_bigcode": {},
    "gptj": {"rotary_dim": 4},
    "codegen": {"rotary_dim": 4, "num_attention_heads": 4},
    "ctrl": {"dff": 24},
    "openai-gpt": {},
    "gpt_neo": {"attention_types": [[["global"], 1]], "num_layers": 1},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "bart": {"decoder_layers": 1, "d_model": 16, "decoder_attention_heads": 2},
    "biogpt": {},
    "bert": {},
    "roberta": {},
    "mpt": {"d_model": 16, "n_heads": 2, "n_layers": 1, "max_seq_len": 20},
}


def make(folder, kind, **changes):
    """A model of that kind in a folder, of as few sizes as its configuration knows."""
    config = AutoConfig.for_model(kind, **SMALL | TABLES.get(kind, {}) | changes)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize("kind", TABLES)
def test_the_last_position_is_read_and_the_next_one_is_not(tmp_path, kind):
    model = make(tmp_path, kind)
    limits = read_limits(tmp_path)
    assert limits.vocabulary == 50
    longest = torch.full((1, limits.positions), 5)
    model(longest)
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        model(torch.full((1, limits.positions + 1), 5))
    limits.check_length(limits.positions + 1)  # the last token is not read
    with pytest.raises(
        ModelError, match=f"{limits.positions + 2} tokens .* {limits.positions} positions:"
    ):
        limits.check_length(limits.positions + 2)


@pytest.mark.parametrize("kind", ["gpt_neox", "llama", "bloom", "mamba"])
def test_other_models_read_on(tmp_path, kind):
    model = make(tmp_path, kind)
    limits = read_limits(tmp_path)
    assert limits == ModelLimits(None, 50)
    limits.check_length(10**6)
    assert model(torch.full((1, 70), 5)).logits.shape[1] == 70


def test_a_folder_without_a_configuration_and_one_that_is_damaged(tmp_path):
    assert read_limits(tmp_path) == ModelLimits(None, None)
    for text in ("{", json.dumps({"model_type": "own"})):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ModelError, match=r"cannot read .*config\.json") as caught:
            read_limits(tmp_path)
        assert "\n" not in str(caught.value)
