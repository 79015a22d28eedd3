"""Attention: the definition, and the back end that is said to compute it."""

import json

import pytest
import torch
from torch.nn.attention import SDPBackend
from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

from memtrace.engine.forward import attention
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights

CPU = torch.device("cpu")


def by_definition(query, keys, values):
    """A loop over heads and positions."""
    found = torch.empty_like(query)
    share, before = query.shape[1] // keys.shape[1], keys.shape[2] - query.shape[2]
    for head in range(query.shape[1]):
        for i in range(query.shape[2]):
            k, v = (each[:, head // share, : before + i + 1] for each in (keys, values))
            weights = (k @ query[:, head, i, :, None])[..., 0] / query.shape[-1] ** 0.5
            found[:, head, i] = (weights.softmax(1)[..., None] * v).sum(1)
    return found


@pytest.mark.parametrize("share", [1, 3])
@pytest.mark.parametrize(("read", "cached"), [(5, 5), (1, 5), (3, 7), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_attention_is_what_its_definition_says(dtype, read, cached, share):
    random = torch.Generator().manual_seed(3)
    query = torch.randn(2, 2 * share, read, 8, generator=random, dtype=dtype)
    keys, values = torch.randn(2, 2, 2, cached, 8, generator=random, dtype=dtype)
    with attention.chosen(CPU):
        found = attention.causal_attention(query, keys, values)
    torch.testing.assert_close(found, by_definition(query, keys, values))


@pytest.mark.parametrize("share", [1, 3])
@pytest.mark.parametrize(("read", "cached"), [(32, 32), (1, 40), (3, 127), (5, 129)])
def test_bfloat16_attention_errs_by_the_rounding_of_weights_and_result_alone(read, cached, share):
    """On both sides of the number of keys at which the way to compute it changes."""
    random = torch.Generator().manual_seed(4)
    query = torch.randn(2, 2 * share, read, 64, generator=random, dtype=torch.float64)
    keys, values = torch.randn(2, 2, 2, cached, 64, generator=random, dtype=torch.float64)
    query, keys, values = (4 * query).bfloat16(), keys.bfloat16(), values.bfloat16()
    with attention.chosen(CPU):
        found = attention.causal_attention(query, keys, values)
    assert found.dtype == torch.bfloat16
    true = by_definition(query.double(), keys.double(), values.double())
    # A weight is off by 2**-9 of itself, so a sum of values is by no more than that of the largest;
    # the result is rounded once more.
    error = (found.double() - true).abs().max()
    assert float(error) <= 2**-8 * 1.1 * float(values.abs().max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_torch_takes_the_first_back_end_that_is_named(dtype):
    query = torch.randn(2, 2, 4, 16, dtype=dtype)
    with attention.chosen(CPU):
        taken = SDPBackend(torch._fused_sdp_choice(query, query, query, is_causal=True))
    assert taken == attention.backends(CPU, dtype)[0]
    assert attention.described(CPU, dtype).startswith(attention.NAMES[taken])


def test_a_configuration_does_not_choose_how_attention_is_computed(llama_folder, tmp_path):
    for path in llama_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    document = json.loads((tmp_path / "config.json").read_text())
    document["attn_implementation"] = "flash_attention_2"  # not installed here
    (tmp_path / "config.json").write_text(json.dumps(document))
    model = load_model(fetch_weights(str(tmp_path)), CPU)
    assert model.config._attn_implementation == "sdpa"


def test_a_model_without_that_implementation_takes_its_own(tmp_path):
    torch.manual_seed(0)
    config = OpenAIGPTConfig(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    OpenAIGPTLMHeadModel(config).save_pretrained(tmp_path)
    model = load_model(fetch_weights(str(tmp_path)), CPU)
    assert model.config._attn_implementation == "eager"
