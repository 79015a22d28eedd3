"""The probe at load: models that do not read from left to right are refused, all others pass."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import memtrace
from memtrace.errors import ModelError
from memtrace.models.loading import load_model
from memtrace.models.probe import check_causality
from memtrace.models.weights import fetch_weights

SMALL = {
    "vocab_size": 89,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 44,
    "max_position_embeddings": 128,
    "pad_token_id": 1,
    "initializer_range": 0.02,  # what training begins with: the weakest effect of a later token
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "num_local_experts": 4}
CAUSAL = {
    "gpt_neox": {},
    "llama": {"num_key_value_heads": 2},
    "gpt2": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2},
    "gptj": {"rotary_dim": 4},
    "opt": {"ffn_dim": 40, "word_embed_proj_dim": 48},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 48, "n_heads": 4, "n_layers": 2, "max_seq_len": 128},
    "falcon": {},
    "phi": {},
    "phi3": {},
    "mistral": {"sliding_window": 20},
    "gemma2": {"head_dim": 12, "sliding_window": 20},
    "gemma3_text": {"head_dim": 12, "sliding_window": 20},
    "mixtral": EXPERTS,
    "olmoe": EXPERTS,
    "qwen3_moe": {**EXPERTS, "moe_intermediate_size": 20, "head_dim": 12},
    "gpt_oss": {**EXPERTS, "head_dim": 12, "sliding_window": 20},
    "mamba": {},
    "jamba": {
        **EXPERTS,
        "mamba_d_state": 8,
        "use_mamba_kernels": False,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
    },
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "lru_width": 48,
        "head_dim": 12,
        "attention_window_size": 20,
    },
    "bert": {"is_decoder": True},
    "roberta": {"is_decoder": True},
    "xglm": {"d_model": 48, "attention_heads": 4, "num_layers": 2, "ffn_dim": 40},
    "bart": {"encoder_layers": 1, "decoder_layers": 3, "d_model": 48, "decoder_attention_heads": 4},
}
NOT_CAUSAL = {"bert": {}, "roberta": {}, "electra": {"embedding_size": 48}}
XLNET = {"vocab_size": 89, "d_model": 48, "n_layer": 2, "n_head": 4, "d_inner": 40}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 6,
    "long_factor": [4.0] * 6,
    "rope_theta": 10_000.0,
}


def make(kind, **settings):
    torch.manual_seed(7)
    config = AutoConfig.for_model(kind, **(settings or SMALL))
    return AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


def refusal(model, tokens=64):
    with pytest.raises(ModelError, match="does not decode from left to right") as caught:
        check_causality(model, tokens)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("deviation", [0.02, 0.3])
@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_models_pass(kind, deviation):
    model = make(kind, **SMALL | CAUSAL[kind] | {"initializer_range": deviation})
    for tokens in (2, 3, 64, 127):
        check_causality(model, tokens)


@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_models_that_were_saved_are_loaded_as_they_were(tmp_path, kind):
    model = make(kind, **SMALL | CAUSAL[kind])
    model.save_pretrained(tmp_path)
    loaded = load_model(fetch_weights(str(tmp_path)), torch.device("cpu"))
    tokens = torch.arange(20, 60)[None]
    assert torch.equal(
        loaded(tokens, use_cache=False).logits, model(tokens, use_cache=False).logits
    )


@pytest.mark.parametrize("kind", NOT_CAUSAL)
def test_encoders_are_refused(kind):
    model = make(kind, **SMALL | NOT_CAUSAL[kind])
    assert f"the {kind} model" in refusal(model)
    refusal(model, tokens=8)


def test_permuted_language_models_are_refused():
    refusal(make("xlnet", **XLNET))


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_positions_that_are_scaled_with_the_length(kind):
    settings = {"max_position_embeddings": 40, "rope_parameters": DYNAMIC}
    model = make(kind, **SMALL | settings | {"initializer_range": 0.3})
    check_causality(model, 41)  # the last token is not read: 40 positions
    assert "32 more follow" in refusal(model, 64)
    refusal(model, 42)


def test_positions_that_change_beyond_a_length():
    settings = {"original_max_position_embeddings": 40, "rope_parameters": LONG}
    model = make("phi3", **SMALL | settings | {"initializer_range": 0.3})
    check_causality(model, 41)
    refusal(model, 64)


def test_one_token_of_look_ahead(monkeypatch):
    """Each hidden state gets a share of the next one: only the last token's change tells."""
    model = make("llama", **SMALL | {"initializer_range": 0.3})

    def look_ahead(module, arguments, output):
        shifted = torch.cat([output[:, 1:], torch.zeros_like(output[:, :1])], 1)
        return output + 0.01 * shifted

    model.model.layers[1].register_forward_hook(look_ahead)
    assert "last token changes" in refusal(model)


def test_a_cache_that_forgets():
    model = make("llama", **SMALL | {"initializer_range": 0.3})

    def forget(module, arguments, options):
        cache = options.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            cache.layers[0].values.zero_()

    model.model.register_forward_pre_hook(forget, with_kwargs=True)
    assert "cache" in refusal(model)


def test_one_flipped_router_is_no_fault(monkeypatch):
    """Rounding may choose another expert in one sequence; a fault shows in all of them."""
    model = make("llama", **SMALL)

    def disturb(module, arguments, output):
        output = output.clone()
        if output.shape[1] < 40:
            output[0, 5] += 1
        return output

    model.model.layers[1].register_forward_hook(disturb)
    check_causality(model, 64)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_head_of_zeros_or_nan_is_not_called_acausal(value):
    """What is not finite the engine tells, with its place."""
    model = make("gpt_neox", **SMALL)
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(value)
    check_causality(model, 64)


def test_too_few_positions_end_in_one_line():
    model = make("gpt2", **SMALL | {"max_position_embeddings": 48})
    check_causality(model, 49)
    with pytest.raises(ModelError, match="gpt2 model cannot read sequences of 63 tokens: ") as told:
        check_causality(model, 64)
    assert "\n" not in str(told.value)


def test_a_scan_refuses_an_encoder(tmp_path):
    make("bert", **SMALL).save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="left to right"):
        load_model(fetch_weights(str(tmp_path / "model")), torch.device("cpu"), tokens=8)
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(2, 89, (4, 64)))
    with pytest.raises(ModelError, match="left to right"):
        memtrace.scan(
            str(tmp_path / "model"), corpus=str(tmp_path / "rows.npy"), runs=tmp_path / "runs"
        )
