"""Weights once, in the type of the file: what they take, and what does not fit is refused."""

import gc
import weakref
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from simulated_cuda.simulation import simulated
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from memtrace.engine import Distribution, Engine, Rules, bytes_copied, reads_as_stored
from memtrace.engine.forward import decoder
from memtrace.errors import ModelError
from memtrace.models import memory, stored
from memtrace.models.loading import load_model
from memtrace.models.weights import fetch_weights

RULES = Rules(prompt_tokens=4, continuation_tokens=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A GPT-NeoX whose weights lie in float16, many more than those of one layer."""
    torch.manual_seed(5)
    config = GPTNeoXConfig(
        vocab_size=211,
        hidden_size=64,
        num_hidden_layers=24,
        num_attention_heads=4,
        intermediate_size=256,
        initializer_range=0.1,
    )
    folder = tmp_path_factory.mktemp("narrow")
    GPTNeoXForCausalLM(config).half().save_pretrained(folder)
    return fetch_weights(str(folder))


@pytest.fixture(scope="module")
def sequences(narrow):
    """Sequences of which the model itself continues some."""
    model = load_model(narrow, CPU, 8)
    tokens = torch.from_numpy(np.random.default_rng(6).integers(0, 211, (12, 4)))
    with torch.no_grad():
        for _ in range(4):
            following = model(tokens, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, following], 1)
    tokens[::2, 6] += 1
    tokens %= 211
    return tokens.numpy(), np.where(np.arange(12) % 2, 4, 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "auto"])
def test_a_device_holds_two_bytes_a_parameter_and_little_more(
    narrow, sequences, compiled, monkeypatch, dtype
):
    """At most 2.6 bytes a parameter, beside what tokens and batches take."""
    tokens, truth = sequences
    monkeypatch.setattr(decoder, "LAUNCH_BOUND", 0)  # a simulated graph keeps every tensor
    with simulated(compiled) as account:
        before = account.allocated
        # As large to this device as 12b is to one of 80 GB.
        parameters = sum(p.numel() for p in load_model(narrow, CPU, 8).parameters())
        account.memory = before + 7 * parameters
        model = load_model(narrow, torch.device("cuda"), 8, reads_as_stored)
        assert model.dtype == torch.float16
        assert account.allocated - before < 2.1 * parameters
        account.peak = account.allocated
        engine = Engine(model, RULES, calibration=tokens[:4], dtype=dtype, batch_size=4)
        np.testing.assert_array_equal(engine.matched_tokens(tokens), truth)
        cache = 2 * 4 * 8 * engine.stages[0].forward.cache_width * 4  # twice: prompt and survivors
        table = 211 * (3 * 64 * 2 + 64 * 4)
        assert account.peak - before < 2.6 * parameters + cache + 2 * table


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_a_cpu_the_scores_are_those_of_widened_weights(narrow, sequences, dtype):
    tokens, truth = sequences
    model = load_model(narrow, CPU, 8, reads_as_stored)
    assert model.dtype == torch.float16
    engine = Engine(model, RULES, calibration=tokens[:4], dtype=dtype)
    np.testing.assert_array_equal(engine.matched_tokens(tokens), truth)
    assert {p.dtype for p in model.parameters()} == {torch.float16}


def test_weights_that_do_not_fit_are_refused_before_they_are_read(narrow, monkeypatch, tmp_path):
    size = sum((narrow.folder / name).stat().st_size for name in narrow.files)
    told = tmp_path / "meminfo"
    told.write_text(f"MemTotal: 9 kB\nMemAvailable: {3 * size // 1024} kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", told)
    monkeypatch.setattr(memory, "group_folders", lambda *_: [])
    # Transformers' own reading has all of them in float64 at once.
    with pytest.raises(ModelError, match=rf"{4 * size:,} bytes\) in float64, .* this machine has"):
        load_model(narrow, CPU, 8)
    load_model(narrow, CPU, 8, reads_as_stored)
    # What a CPU multiplies by is a copy in half precision, where float32 does not decide first.
    told.write_text(f"MemAvailable: {3 * size // 2048} kB\n")
    with pytest.raises(
        ModelError, match=rf"{2 * size:,} bytes\) in float16 with a copy .* --dtype"
    ):
        load_model(narrow, CPU, 8, reads_as_stored, copied=bytes_copied(RULES, "auto", CPU))
    load_model(narrow, CPU, 8, reads_as_stored, copied=bytes_copied(RULES, "float32", CPU))
    likely = replace(RULES, distribution=Distribution())
    assert [bytes_copied(likely, each, CPU) for each in ("auto", "float16")] == [0, 2]
    assert bytes_copied(RULES, "auto", torch.device("cuda")) == 0
    told.write_text("nothing of the kind\n")
    load_model(narrow, CPU, 8)


def test_the_type_of_the_files(narrow, tmp_path):
    assert stored.stored_type(narrow.folder, narrow.files) == torch.float16
    model = load_model(narrow, CPU, 8)
    buffers = {"layers.0.attention.masked_bias": torch.zeros(()), "rotary.inv_freq": torch.ones(2)}
    state = {name: p.bfloat16() for name, p in model.named_parameters()}
    torch.save(
        state | buffers | {"attention.bias": torch.ones(2, dtype=torch.bool)}, tmp_path / "a.bin"
    )
    assert stored.stored_type(tmp_path, ["a.bin"]) == torch.bfloat16
    state["gpt_neox.embed_in.weight"] = state["gpt_neox.embed_in.weight"].float()
    torch.save(state, tmp_path / "b.bin")
    assert stored.stored_type(tmp_path, ["b.bin"]) == torch.float32
    (tmp_path / "c.bin").write_bytes(b"no model")
    assert stored.stored_type(tmp_path, ["c.bin"]) == torch.float32


@pytest.mark.parametrize("simulate", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_engine_that_is_dropped_frees_its_weights_at_once(
    narrow, sequences, compiled, dtype, simulate
):
    """Those of the next checkpoint need the place, before any circle would be collected."""
    tokens, truth = sequences
    gc.collect()
    gc.disable()
    try:
        with simulated(compiled) if simulate else nullcontext():
            model = load_model(narrow, torch.device("cuda:0") if simulate else CPU, 8)
            weight = weakref.ref(next(model.parameters()))
            engine = Engine(model, RULES, calibration=tokens, dtype=dtype)
            assert np.array_equal(engine.matched_tokens(tokens), truth)
            del engine, model
            assert weight() is None
    finally:
        gc.enable()
