"""Forward passes on a CUDA device: attention by its back ends, captured passes, a spread model."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend

from benchmarks.families import generated, in_float64, random_model
from memtrace.engine import Engine, Rules, reads_as_stored
from memtrace.engine.forward import attention
from memtrace.engine.forward.families import make_forward
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@pytest.mark.parametrize(("read", "share"), [(32, 1), (32, 3), (3, 1), (1, 1)])
def test_attention_is_what_float64_says(dtype, read, share):
    device = torch.device("cuda", 0)
    query = torch.randn(64, 4 * share, read, 64, device=device, dtype=dtype)
    keys, values = torch.randn(2, 64, 4, 32, 64, device=device, dtype=dtype)
    with attention.chosen(device):
        found = attention.causal_attention(query, keys, values)
    with attention.chosen(device):
        wide = [each.double() for each in (query, keys, values)]
        true = attention.causal_attention(*wide)
    error = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]
    assert float((found - true).abs().max()) < error


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF])
def test_torch_takes_the_first_back_end_that_is_named(dtype):
    device = torch.device("cuda", 0)
    query = torch.randn(2, 2, 32, 64, dtype=dtype, device=device)
    with attention.chosen(device):
        taken = SDPBackend(torch._fused_sdp_choice(query, query, query, is_causal=True))
    assert taken == attention.backends(device, dtype)[0]


@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
@pytest.mark.parametrize("family", ["gpt_neox", "llama"])
@torch.inference_mode()
def test_a_captured_pass_gives_the_same(family, dtype):
    model = random_model(family).cuda()
    forward = make_forward(model, dtype, 64)
    random = np.random.default_rng(0)
    prompts = torch.from_numpy(random.integers(0, 499, (4, 48, 32))).cuda()
    results = []
    with forward.precision():
        for sequences in (0, 48):
            forward.capture(sequences, 32)
            _parts(forward, prompts[0])  # prepares the kernels
            results.append([_parts(forward, each) for each in prompts])
    assert forward.graph == "captured"
    for eager, captured in zip(*results, strict=True):
        for one, other in zip(eager, captured, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def _parts(forward, tokens):
    features, cache = forward.prompt(tokens, keep=1)
    return features.clone(), cache.keys.clone(), cache.values.clone()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_model_spread_over_what_is_there_gives_the_truth(family, tmp_path):
    pytest.importorskip("accelerate")
    rules, model = Rules(prompt_tokens=4, continuation_tokens=4), random_model(family)
    sequences = generated(model, rules, 24)
    truth = in_float64(model, rules, sequences)
    model.save_pretrained(tmp_path)
    weights = fetch_weights(str(tmp_path))
    spread = load_model(weights, torch.device("cuda", 0), 8, reads_as_stored, spread=True)
    assert {each.device.type for each in spread.parameters()} == {"cuda"}
    engine = Engine(spread, rules, calibration=sequences[:6], dtype="auto", batch_size=7)
    np.testing.assert_array_equal(engine.matched_tokens(sequences), truth)
