"""Our own GPT-NeoX forward pass against that of Transformers, and Transformers against itself."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

import memtrace.engine.forward.decoder as decoder
import memtrace.engine.forward.linear as linear_module
import memtrace.engine.forward.parallel as tiles
from memtrace.engine.cascade import Forward
from memtrace.engine.forward.linear import Precision, in_parts, linear
from memtrace.engine.forward.neox import neox_forward
from memtrace.engine.forward.split import Split
from memtrace.engine.forward.token_cache import TokenCache
from memtrace.engine.forward.transformers import GenericForward, Read

PROMPT, LENGTH = 9, 17

VARIANTS = {
    "pythia": {},
    "sequential residual": {"use_parallel_residual": False},
    "full rotary": {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}},
    "other rotary": {
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 50.0,
            "partial_rotary_factor": 0.5,
        }
    },
    "tanh activation": {"hidden_act": "gelu_new"},
    "no attention bias": {"attention_bias": False},
    "tied head": {"tie_word_embeddings": True},
    "one layer": {"num_hidden_layers": 1},
}


def random_neox(**changes: object) -> GPTNeoXForCausalLM:
    """A GPT-NeoX of an odd shape whose every parameter matters."""
    torch.manual_seed(3)
    shape = {"vocab_size": 83, "hidden_size": 60, "num_hidden_layers": 3, "num_attention_heads": 3}
    config = GPTNeoXConfig(
        **{**shape, "intermediate_size": 52, "initializer_range": 0.2, **changes}
    )
    model = GPTNeoXForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too, which start at 0 and 1
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(4).integers(0, 83, (5, LENGTH)))


def cached_logits(forward: Forward, tokens: torch.Tensor) -> torch.Tensor:
    """Logits from position PROMPT - 1 on, in steps; in each, the order of the sequences changes."""
    with forward.precision():
        kept, cache = forward.prompt(tokens[:, :PROMPT], keep=1)
        parts, order, start = [kept], torch.arange(len(tokens)), PROMPT
        for stop in (PROMPT + 1, PROMPT + 4, LENGTH):
            rows = torch.arange(len(tokens)).flip(0)
            order = order[rows]
            kept, cache = forward.extend(tokens[order, start:stop], cache, rows)
            parts.append(kept[order.argsort()])
            start = stop
        return torch.stack([forward.logits(row) for row in torch.cat(parts, 1)])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_against_transformers(name: str, tokens: torch.Tensor) -> None:
    model = random_neox(**VARIANTS[name])
    expected = model(tokens).logits[:, PROMPT - 1 :]
    ours = cached_logits(neox_forward(model, torch.float32, LENGTH), tokens)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_float64_rounds_nothing_to_float32(name: str, tokens: torch.Tensor) -> None:
    model = random_neox(**VARIANTS[name])
    whole, _ = neox_forward(model, torch.float64, LENGTH).prompt(tokens, keep=LENGTH)
    # The same in steps differs in the last bits only if each of them is float64.
    stepwise = cached_logits(neox_forward(model, torch.float64, LENGTH), tokens)
    logits = neox_forward(model, torch.float64, LENGTH).logits(whole.flatten(0, 1))
    logits = logits.view(5, LENGTH, -1)[:, PROMPT - 1 :]
    torch.testing.assert_close(stepwise, logits, rtol=1e-13, atol=1e-13)
    # And it is the function that Transformers computes.
    expected = cached_logits(GenericForward(model, torch.float64), tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["pythia", "sequential residual", "tanh activation"])
def test_half_precision_is_near(name: str, tokens: torch.Tensor) -> None:
    model = random_neox(**VARIANTS[name])
    exact = model(tokens).logits[:, PROMPT - 1 :]
    ours = cached_logits(neox_forward(model, torch.bfloat16, LENGTH), tokens).float()
    assert (ours - exact).std() < 0.02 * exact.std()


def test_precise_logits_are_closer_than_the_logits(tokens: torch.Tensor) -> None:
    model = random_neox()
    forward = neox_forward(model, torch.bfloat16, LENGTH)
    features = forward.prompt(tokens, keep=1)[0][:, 0]
    ids = torch.arange(83).expand(5, 83)
    precise = model.lm_head(model.gpt_neox.final_layer_norm(features))
    torch.testing.assert_close(forward.precise_logits(features, ids), precise, rtol=1e-4, atol=1e-4)
    assert not torch.equal(forward.logits(features).float(), precise)


def test_tiles_change_nothing(tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = neox_forward(random_neox(), torch.float32, LENGTH)
    whole, _ = forward.prompt(tokens, keep=2)
    monkeypatch.setitem(tiles.TILE_TOKENS, "cpu", 2 * LENGTH)
    tiled, _ = forward.prompt(tokens, keep=2)
    torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_parallel_map_computes_what_one_does(
    tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setitem(tiles.TILE_TOKENS, "cpu", LENGTH)
    alone, cache = neox_forward(random_neox(), dtype, LENGTH).prompt(tokens, keep=2)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        forward = neox_forward(random_neox(), dtype, LENGTH)
        for _ in range(20):
            together, shared = forward.prompt(tokens, keep=2)
            torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(shared.keys, cache.keys, rtol=1e-5, atol=1e-5)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 31, 64, 341, 1024])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tiles_are_every_sequence_once(n: int, device: str) -> None:
    cut = tiles.cut(n, 32, torch.device(device))
    assert [i for tile in cut for i in range(tile.start, tile.stop)] == list(range(n))
    sizes = [tile.stop - tile.start for tile in cut]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("name", ["pythia", "sequential residual", "one layer"])
def test_the_token_cache_brings_half_precision_nearer(
    name: str, tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_neox(**VARIANTS[name])
    exact, _ = neox_forward(model, torch.float32, LENGTH).prompt(tokens, keep=LENGTH)
    forward = neox_forward(model, torch.bfloat16, LENGTH)
    forward.prompt(tokens[:2], keep=1)  # now some of the rows are there, others not
    with_table, _ = forward.prompt(tokens, keep=LENGTH)
    monkeypatch.setattr(decoder, "TOKEN_CACHE_BUDGET", {})
    without, _ = neox_forward(model, torch.bfloat16, LENGTH).prompt(tokens, keep=LENGTH)
    assert (with_table - exact).std() < (without - exact).std() < 0.02 * exact.std()


@pytest.mark.parametrize(
    "precision", [torch.float32, torch.float64, Split(torch.bfloat16)], ids=str
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_in_parts_gives_the_same(
    precision: Precision, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(4)
    layer = torch.nn.Linear(24, 50, bias=bias).half().requires_grad_(False)
    x = torch.randn(3, 7, 24)
    expected = linear(layer, precision)(x)
    converted: list[int] = []
    monkeypatch.setattr(linear_module, "PART_BYTES", {"cpu": 9 * 24 * expected.itemsize})
    monkeypatch.setattr(
        linear_module,
        "linear",
        lambda part, dtype: converted.append(len(part.weight)) or linear(part, dtype),
    )
    found = in_parts(layer, precision, x)
    assert converted == [9, 9, 9, 9, 9, 5]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_token_cache_computes_each_token_once() -> None:
    asked: list[int] = []

    def compute(tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        asked.extend(tokens.tolist())
        return (tokens[:, None] * torch.tensor([1.0, 10.0]), -tokens[:, None].float())

    table = TokenCache(compute, 9, [torch.empty(9, 2), torch.empty(9, 1)])
    for tokens in ([[3, 3], [5, 3]], [[5, 8], [1, 3]]):
        wide, narrow = table(torch.tensor(tokens))
        assert wide[..., 1].tolist() == (10 * np.array(tokens)).tolist()
        assert narrow[..., 0].tolist() == (-np.array(tokens)).tolist()
    assert sorted(asked) == [1, 3, 5, 8]


class Uncached(GenericForward):
    """Transformers without a cache whose sequences can be selected."""

    def prompt(self, tokens: torch.Tensor, keep: int) -> tuple[torch.Tensor, Read]:
        logits, read = super().prompt(tokens, keep)
        return logits, replace(read, cache=None)


@pytest.mark.parametrize("kind", [GenericForward, Uncached])
def test_transformers_in_steps_against_itself(kind: type[GenericForward]) -> None:
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=83,
        hidden_size=36,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        intermediate_size=44,
        initializer_range=0.2,
    )
    model: PreTrainedModel = LlamaForCausalLM(config).eval()
    tokens = torch.from_numpy(np.random.default_rng(6).integers(0, 83, (5, LENGTH)))
    expected = model(tokens).logits[:, PROMPT - 1 :]
    for dtype, error in ((torch.float32, 1e-4), (torch.bfloat16, 0.1), (torch.float64, 1e-4)):
        logits = cached_logits(kind(model, dtype), tokens)
        torch.testing.assert_close(logits.float(), expected, rtol=error, atol=error)
        assert model.dtype == torch.float32


def test_precision_is_restored_after_a_failure() -> None:
    model = random_neox()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fail() -> None:
        with torch.inference_mode(), GenericForward(model, torch.float64).precision():
            assert model.dtype == torch.float64
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
    assert not any(parameter.is_inference() for parameter in model.parameters())
