"""The engine on a CUDA device: the scores of `generate` on the CPU, whatever the precision."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
)

from memtrace.engine import Distribution, Engine, Rules
from memtrace.errors import ApproximationWarning

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
VOCABULARY, PROMPT, LENGTH = 997, 32, 32


def random_model(family: str) -> PreTrainedModel:
    torch.manual_seed(7)
    layers = {"num_hidden_layers": 3, "num_attention_heads": 4, "initializer_range": 0.2}
    shape = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, **layers}
    grouped = {**shape, "num_key_value_heads": 2}
    made: dict[str, PreTrainedModel] = {
        "neox": GPTNeoXForCausalLM(GPTNeoXConfig(**shape)),
        "llama": LlamaForCausalLM(LlamaConfig(**grouped)),
        "gpt2": GPT2LMHeadModel(
            GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=3, n_head=4, initializer_range=0.2)
        ),
        "mixtral": MixtralForCausalLM(MixtralConfig(**grouped, num_local_experts=4)),
        "mamba": MambaForCausalLM(
            MambaConfig(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=3)
        ),
    }
    model = made[family].eval()
    with torch.no_grad():  # near ties: pairs of tokens whose rows differ by little
        rows = model.get_output_embeddings().weight
        rows[20:400] = rows[420:800] * (1 + 1e-6)
    return model


@torch.inference_mode()
def generated(model: PreTrainedModel, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Greedy continuations, changed at known positions, and the matched tokens that leaves."""
    random = np.random.default_rng(8)
    tokens = torch.from_numpy(random.integers(0, VOCABULARY, (n, PROMPT)))
    for _ in range(LENGTH):
        following = model(tokens, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, following], 1)
    sequences = tokens.numpy()
    matched = random.integers(0, 48, n).clip(max=LENGTH)
    for row, right in zip(sequences, matched, strict=True):
        if right < LENGTH:
            row[PROMPT + right] = (row[PROMPT + right] + 500) % VOCABULARY
    return sequences, matched


@pytest.mark.parametrize("family", ["neox", "llama", "gpt2", "mixtral", "mamba"])
def test_scores_on_the_device_are_those_of_the_cpu(family: str) -> None:
    model = random_model(family)
    sequences, _ = generated(model, 192)
    on_cpu = Engine(model, Rules(), calibration=sequences, dtype="float32")
    expected = on_cpu.matched_tokens(sequences)
    assert expected.max() == LENGTH
    assert expected.min() < LENGTH
    on_device = model.cuda()
    for dtype in ("float32", "bfloat16", "float16", "auto"):
        refused = family == "mixtral" and dtype in ("bfloat16", "float16")
        for batch_size in (None, 7):
            asked = (
                pytest.warns(ApproximationWarning, match="experts") if refused else nullcontext()
            )
            with asked:
                engine = Engine(
                    on_device, Rules(), calibration=sequences, dtype=dtype, batch_size=batch_size
                )
            np.testing.assert_array_equal(engine.matched_tokens(sequences), expected, dtype)


@pytest.mark.parametrize("family", ["neox", "llama", "gpt2", "mixtral", "mamba"])
def test_likelihoods_on_the_device_are_those_of_the_cpu(family: str) -> None:
    model = random_model(family)
    sequences, _ = generated(model, 48)
    least = Distribution(min_probability=1e-9, temperature=0.7)
    wanted = [Distribution(), Distribution(top_k=40), least]
    expected = [
        Engine(model, Rules(distribution=each), calibration=sequences).score(sequences)
        for each in wanted
    ]
    on_device = model.cuda()
    for distribution, true in zip(wanted, expected, strict=True):
        rules = Rules(distribution=distribution)
        found = Engine(on_device, rules, calibration=sequences, dtype="auto").score(sequences)
        np.testing.assert_array_equal(found.matched_tokens, true.matched_tokens)
        np.testing.assert_allclose(found.log_likelihood, true.log_likelihood, rtol=0, atol=1e-4)


def test_tf32_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("neox")
    sequences, matched = generated(model, 192)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    engine = Engine(model.cuda(), Rules(), calibration=sequences, dtype="float32")
    plain = engine.matched_tokens(sequences)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    engine = Engine(model, Rules(), calibration=sequences, dtype="float32")
    np.testing.assert_array_equal(plain, engine.matched_tokens(sequences))
    np.testing.assert_array_equal(plain, matched)
