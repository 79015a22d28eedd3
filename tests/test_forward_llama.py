"""Our own forward pass of Llama's relatives against Transformers, and float64 all the way."""

import numpy as np
import pytest
import torch
from test_engine_faults import llama_in_long_double, small_llama
from test_forward import LENGTH, PROMPT, cached_logits
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from memtrace.engine.forward.decoder import DecoderForward
from memtrace.engine.forward.families import make_forward
from memtrace.engine.forward.transformers import GenericForward

SHAPE = {
    "vocab_size": 83,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": None,
}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 300.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS = {
    "llama": ("llama", {}),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "tied": ("llama", {"tie_word_embeddings": True}),
    "wide heads": ("llama", {"head_dim": 10}),
    "one key head": ("llama", {"num_key_value_heads": 1}),
    "no groups": ("llama", {"num_key_value_heads": 6}),
    "linear rotary": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 300.0, "factor": 2.0}},
    ),
    "llama3 rotary": ("llama", {"rope_parameters": LLAMA3}),
    "yarn": (
        "llama",
        {"rope_parameters": {**YARN, "original_max_position_embeddings": 16}},
    ),
    "gelu": ("llama", {"hidden_act": "gelu"}),
    "mistral": ("mistral", {"sliding_window": 64}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "olmo2": ("olmo2", {}),
}


def model_of(kind, **changes):
    """A model of an odd shape whose every parameter matters."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**{**SHAPE, **changes}))
    for parameter in model.parameters():
        parameter.requires_grad_(False).add_(0.1 * torch.randn_like(parameter))
    return model.float().eval()


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def tokens():
    return torch.from_numpy(np.random.default_rng(4).integers(0, 83, (5, LENGTH)))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_in_every_precision(name, tokens):
    kind, changes = VARIANTS[name]
    model = model_of(kind, **changes)
    expected = model(tokens).logits[:, PROMPT - 1 :]
    forwards = {d: make_forward(model, d, LENGTH) for d in (torch.float32, torch.bfloat16)}
    assert all(type(each) is DecoderForward for each in forwards.values())
    ours = cached_logits(forwards[torch.float32], tokens)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    half = cached_logits(forwards[torch.bfloat16], tokens).float()
    assert (half - expected).std() < 0.03 * expected.std()
    generic = GenericForward(model, torch.float64)
    exact = cached_logits(make_forward(model, torch.float64, LENGTH), tokens)
    torch.testing.assert_close(exact, cached_logits(generic, tokens), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["gpt_neox", "llama", "olmo2", "qwen3"])
def test_weights_as_they_are_stored_give_what_widened_ones_give(kind, stored, tokens):
    """Widening is exact: float32 and float64 stages read the same numbers."""
    changes = {"head_dim": 8} if kind == "qwen3" else {}
    narrow = model_of(kind, **changes).to(stored)
    wide = model_of(kind, **changes).to(stored).float()
    for model in (narrow, wide):  # a buffer is no weight: loading leaves it in float32
        rotary = next(m for m in model.modules() if hasattr(m, "inv_freq"))
        rotary.inv_freq = rotary.original_inv_freq = 1 / 300 ** torch.linspace(
            0, 0.75, len(rotary.inv_freq)
        )
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        few = cached_logits(make_forward(narrow, dtype, LENGTH), tokens)
        all_ = cached_logits(make_forward(wide, dtype, LENGTH), tokens)
        error = {torch.float64: 1e-13, torch.float32: 1e-4, torch.bfloat16: 1e-6}[dtype]
        torch.testing.assert_close(few, all_, rtol=error, atol=error)


def test_our_own_float64_is_float64():
    model = small_llama()
    tokens = np.random.default_rng(3).integers(0, 31, 9)
    expected = llama_in_long_double(model, tokens)
    forward = make_forward(model, torch.float64, 9)
    features, _ = forward.prompt(torch.from_numpy(tokens)[None], keep=9)
    error = np.abs(forward.logits(features[0]).numpy() - expected).max()
    assert error / np.abs(expected).max() < 1e-14


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mistral", {"sliding_window": 9}),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}},
        ),
        ("gemma", {"head_dim": 8}),
        ("mixtral", {"num_local_experts": 4}),
    ],
)
def test_what_we_do_not_read_goes_through_transformers(kind, changes):
    assert type(make_forward(model_of(kind, **changes), torch.float32, LENGTH)) is GenericForward


def test_the_cache_is_counted_as_it_is(tokens):
    model = model_of("llama")
    for forward in (
        make_forward(model, torch.float32, LENGTH),
        GenericForward(model, torch.float32),
    ):
        _, cache = forward.prompt(tokens, keep=1)
        if isinstance(forward, DecoderForward):
            numbers = cache.keys.numel() + cache.values.numel()
        else:
            assert isinstance(cache.cache, DynamicCache)
            numbers = sum(x.keys.numel() + x.values.numel() for x in cache.cache.layers)
        assert forward.cache_width * tokens.numel() == numbers
