"""What surrounds an engine: memory that ends, switches of torch, casts, audits of float32."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_engine import case, random_model  # noqa: F401
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

import memtrace.engine.build as build
import memtrace.engine.engine as engine_module
from memtrace.engine import Engine, Rules
from memtrace.engine.forward.decoder import DecoderForward
from memtrace.engine.forward.failures import ran_out_of_memory
from memtrace.engine.forward.neox import neox_forward
from memtrace.engine.forward.transformers import GenericForward
from memtrace.engine.switches import full_precision
from memtrace.errors import ApproximationWarning, CapacityWarning, ModelError


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_what_says_that_memory_has_ended(case, monkeypatch, error):  # noqa: F811
    """In the constructor too: it takes fewer sequences at once, and goes on."""
    assert ran_out_of_memory(error)
    model, sequences, matched = case("neox")
    prompt = DecoderForward.prompt

    def scarce(forward, tokens, keep):
        if len(tokens) > 6:
            raise error
        return prompt(forward, tokens, keep)

    monkeypatch.setattr(DecoderForward, "prompt", scarce)
    with pytest.warns(CapacityWarning, match="out of memory with .* going on with") as told:
        engine = Engine(model, Rules(), calibration=sequences[:24], dtype="float32")
    assert ["with 24 " in str(told[0].message), "with 6;" in str(told[1].message)] == [True, True]
    assert engine.record()["batch_size"] == 6
    np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)


def test_other_errors_are_no_lack_of_memory():
    for error in (RuntimeError("shape '[2]' is invalid"), ValueError("out of memory"), KeyError(1)):
        assert not ran_out_of_memory(error)


def test_no_memory_at_all_ends_the_constructor_in_one_line(case, monkeypatch):  # noqa: F811
    model, sequences, _ = case("neox")

    def fail(*_, keep):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(DecoderForward, "prompt", fail)
    with (
        pytest.warns(CapacityWarning),
        pytest.raises(ModelError, match="one sequence at a time") as e,
    ):
        Engine(model, Rules(), calibration=sequences[:4], dtype="float32")
    assert "\n" not in str(e.value)


def test_a_smaller_prompt_cache_is_made_when_the_larger_one_is_gone(case, monkeypatch):  # noqa: F811
    model, sequences, _ = case("neox")
    forward, tokens = neox_forward(model, torch.float32, 64), torch.from_numpy(sequences)
    with torch.inference_mode():
        forward.prompt(tokens[:20, :32], keep=1)
        before, empty = weakref.ref(forward._prompt_cache.keys), torch.empty
        alive = []
        monkeypatch.setattr(
            torch, "empty", lambda *a, **k: alive.append(before()) or empty(*a, **k)
        )
        forward.prompt(tokens[:10, :32], keep=1)
    assert alive
    assert alive[0] is None


@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_half_types_are_tried_one_at_a_time(case, monkeypatch, device_type):  # noqa: F811
    """The best first; where its errors cannot be measured it is gone before the next one."""
    _, sequences, _ = case("neox")
    alive = []

    class Stage:
        def __init__(self, dtype):
            self.dtype = dtype

    def stage(_, dtype):
        made = Stage(dtype)
        alive.append([each().dtype for each in stages if each() is not None] + [dtype])
        stages.append(weakref.ref(made))
        return made

    stages = []
    monkeypatch.setattr(build._Parts, "stage", stage)
    finite = torch.bfloat16
    monkeypatch.setattr(build, "half_stage", lambda s, *_: (s, None) if s.dtype == finite else None)
    monkeypatch.setattr(build, "timed", lambda stage, *_: stage)
    there = SimpleNamespace(device=torch.device(device_type))
    parts = build._Parts(there, Rules(), batch_size=None, routers=None)
    types = build._half_types("auto", parts)
    best = build._first(parts, types, SimpleNamespace(seen=None), sequences)
    assert best.dtype == torch.bfloat16
    expected = {"cpu": [[torch.bfloat16]], "cuda": [[torch.float16], [torch.bfloat16]]}
    assert alive == expected[device_type]


def switches():
    matmul = torch.backends.cuda.matmul
    return (
        torch.get_float32_matmul_precision(),
        matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        matmul.allow_fp16_reduced_precision_reduction,
        matmul.allow_bf16_reduced_precision_reduction,
    )


@pytest.mark.parametrize("user", ["highest", "high", "medium"])
def test_switches_are_off_inside_and_as_they_were_outside(user):
    torch.set_float32_matmul_precision(user)
    try:
        before = switches()
        inside = []

        @full_precision()
        def fail():
            inside.append(switches())
            raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert inside == [("highest", False, False, False, False)]
        assert switches() == before
        assert before[0] == user
    finally:
        torch.set_float32_matmul_precision("highest")


def test_switches_do_not_reach_the_engine(case):  # noqa: F811
    model, sequences, matched = case("neox")
    seen = []
    for user in ("highest", "medium"):
        torch.set_float32_matmul_precision(user)
        try:
            engine = Engine(model, Rules(), calibration=sequences, dtype="float32")
            np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)
        finally:
            torch.set_float32_matmul_precision("highest")
        seen.append(engine.record()["tolerance"])
    assert seen[0] == seen[1]


def small_llama():
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=31,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        intermediate_size=10,
        initializer_range=0.4,
        rms_norm_eps=1e-5,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight += 0.2 * torch.randn_like(weight)
    return model


def llama_in_long_double(model, tokens):
    """The logits of one sequence, written out in NumPy's longest type; independent of torch."""
    wide = {name: w.numpy().astype(np.longdouble) for name, w in model.named_parameters()}
    config, n = model.config, len(tokens)
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = config.hidden_size // heads
    frequencies = model.model.rotary_emb.inv_freq.numpy().astype(np.longdouble)
    angles = np.arange(n).astype(np.longdouble)[:, None] * frequencies
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def norm(x, weight):
        eps = np.longdouble(config.rms_norm_eps)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * wide[weight]

    def rotate(x):
        a, b = x[..., : size // 2], x[..., size // 2 :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    x = wide["model.embed_tokens.weight"][tokens]
    for i in range(config.num_hidden_layers):
        at = f"model.layers.{i}."
        y = norm(x, at + "input_layernorm.weight")
        q, k, v = (
            (y @ wide[f"{at}self_attn.{name}_proj.weight"].T).reshape(n, -1, size) for name in "qkv"
        )
        q, k = rotate(q), rotate(k)
        attended = np.zeros((n, heads, size), np.longdouble)
        for h in range(heads):
            g = h * groups // heads
            for t in range(n):
                scores = k[: t + 1, g] @ q[t, h] / np.sqrt(np.longdouble(size))
                weights = np.exp(scores - scores.max())
                attended[t, h] = weights @ v[: t + 1, g] / weights.sum()
        x = x + attended.reshape(n, -1) @ wide[at + "self_attn.o_proj.weight"].T
        y = norm(x, at + "post_attention_layernorm.weight")
        gate, up = (y @ wide[f"{at}mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ wide[at + "mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight") @ wide["lm_head.weight"].T


@pytest.mark.parametrize("inference", [True, False])
def test_float64_is_float64_all_the_way(inference):
    """Norms and rotary embeddings of Transformers cast to float32: an error of 1e-7."""
    model = small_llama()
    tokens = np.random.default_rng(3).integers(0, 31, 9)
    expected = llama_in_long_double(model, tokens)
    forward = GenericForward(model, torch.float64)
    with torch.inference_mode(inference), torch.no_grad(), forward.precision():
        logits, _ = forward.prompt(torch.from_numpy(tokens)[None], keep=9)
    error = np.abs(logits[0].numpy() - expected).max() / np.abs(expected).max()
    assert error < 1e-14


class Casts(TorchDispatchMode):
    """Counts casts of matrices of these shapes."""

    def __init__(self, shapes):
        super().__init__()
        self.shapes, self.count = shapes, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._opname in ("to", "_to_copy") and args[0].shape in self.shapes:
            self.count += 1
        return func(*args, **(kwargs or {}))


def test_autocast_casts_each_weight_once():
    model = small_llama()
    layers = [each for each in model.modules() if isinstance(each, torch.nn.Linear)]
    forward = GenericForward(model, torch.bfloat16)
    tokens = torch.arange(30).view(3, 10)
    with (
        torch.inference_mode(),
        forward.precision(),
        Casts({w.weight.shape for w in layers}) as casts,
    ):
        _, cache = forward.prompt(tokens[:, :8], keep=1)
        forward.extend(tokens[:, 8:9], cache, torch.arange(3))
        forward.prompt(tokens, keep=1)
    assert casts.count == len(layers)
    assert not any(each.requires_grad for each in model.parameters())


def test_float32_is_audited_by_float64(case, monkeypatch):  # noqa: F811
    model, sequences, matched = case("neox")
    sequences, matched = sequences[:12], matched[:12]
    monkeypatch.setattr(engine_module, "FLOAT64_AUDIT", (4, 1.0))
    engine = Engine(model, Rules(), calibration=sequences[:12], dtype="float32")
    np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)
    audit = engine.record()["audit"]
    assert audit["n"] > 12
    assert audit["wrong"] == 0
    forward = engine.stages[0].forward
    logits = forward.logits

    def wrong(features):
        right = logits(features)
        return right + 0.1 * right.std() * torch.randn(right.shape)

    torch.manual_seed(0)
    monkeypatch.setattr(forward, "logits", wrong)
    with pytest.warns(ApproximationWarning, match=r"wrong decision in float32 .* doubled"):
        np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)
    assert engine.record()["audit"]["widened"] > 3
