"""The engine: what `generate` returns, in every precision, whatever else was in the batch."""

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from memtrace.errors import CorpusError, ModelError
from memtrace.greedy import Engine, Rules

N = 120


def odd_neox():
    """Not Pythia's conventions: sequential residual, another rotary share, odd sizes."""
    torch.manual_seed(3)
    config = GPTNeoXConfig(
        vocab_size=77,
        hidden_size=36,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=50,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 5e3, "partial_rotary_factor": 0.5},
        use_parallel_residual=False,
        initializer_range=0.25,
    )
    return GPTNeoXForCausalLM(config).eval()


@pytest.fixture(scope="module", params=["neox", "odd neox", "llama"])
def pristine(request, neox_folder, llama_folder, remembered):
    """A random model, and sequences of which it returns a known number of tokens."""
    folders = {"neox": neox_folder, "llama": llama_folder}
    if request.param in folders:
        model = AutoModelForCausalLM.from_pretrained(folders[request.param], dtype=torch.float32)
    else:
        model = odd_neox()
    model.eval()
    return model, *remembered(model, N)


@pytest.fixture
def case(pristine):
    """The same with a copy of the model that a test may change."""
    model, sequences, changed = pristine
    return copy.deepcopy(model), sequences, changed


def generated(model, sequences, eos_rule):
    """Return the matched tokens by Transformers' own greedy decoding."""
    rule = {"eos_token_id": None} if eos_rule == "none" else {"eos_token_id": 0, "min_length": 64}
    prompts = torch.from_numpy(sequences[:, :32])
    out = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        max_length=64,
        pad_token_id=0,
        **rule,
    )
    right = out.numpy()[:, 32:] == sequences[:, 32:]
    return np.logical_and.accumulate(right, axis=1).sum(axis=1)


def engine_for(model, sequences, eos_rule="none", **options):
    options.setdefault("dtype", "float32")
    return Engine(model, Rules(eos_rule=eos_rule), calibration=sequences[:64], **options)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "auto"])
@pytest.mark.parametrize("eos_rule", ["none", "mask-eos"])
def test_equal_to_generate(case, eos_rule, dtype):
    model, sequences, changed = case
    found = engine_for(model, sequences, eos_rule, dtype=dtype).matched_tokens(sequences)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, generated(model, sequences, eos_rule))
    if eos_rule == "none":
        np.testing.assert_array_equal(found, changed)


@pytest.mark.parametrize("eos_rule", ["none", "mask-eos"])
def test_the_eos_rule_matters_where_token_0_wins(neox_folder, remembered, eos_rule):
    """A model that likes token 0: the two rules then differ, and each equals its `generate`."""
    model = AutoModelForCausalLM.from_pretrained(neox_folder, dtype=torch.float32).eval()
    with torch.no_grad():
        model.lm_head.weight[0] *= 3
    sequences, _ = remembered(model, N)
    assert (sequences[:, 32:] == 0).any()
    found = engine_for(model, sequences, eos_rule).matched_tokens(sequences)
    np.testing.assert_array_equal(found, generated(model, sequences, eos_rule))
    if eos_rule == "mask-eos":
        zero = (sequences[:, 32:] == 0).argmax(axis=1)
        has_zero = (sequences[:, 32:] == 0).any(axis=1)
        assert (found[has_zero] <= zero[has_zero]).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("eos_rule", ["none", "mask-eos"])
def test_exact_ties_go_to_the_lowest_id(case, eos_rule, dtype):
    """Every token has a twin with the same output weights: each decision is a tie."""
    model, _, _ = case
    vocabulary = model.config.vocab_size
    half = vocabulary // 2
    with torch.no_grad():
        model.lm_head.weight[half : 2 * half] = model.lm_head.weight[:half]
        model.lm_head.weight[2 * half :] = 0  # without a twin, and never chosen
    prompts = torch.from_numpy(np.random.default_rng(1).integers(1, vocabulary, (40, 32)))
    out = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        max_length=64,
        pad_token_id=0,
        eos_token_id=None,
    ).numpy()
    assert (out[:, 32:] < half).all()
    # The winner itself in some sequences; its twin, which never wins a tie, in others.
    out[::2, 40] += half
    found = engine_for(model, out, eos_rule, dtype=dtype).matched_tokens(out)
    np.testing.assert_array_equal(found, generated(model, out, eos_rule))
    assert (found[::2] <= 8).all()
    if eos_rule == "none":
        assert (found[1::2] == 32).all()


@pytest.mark.parametrize("eos_rule", ["none", "mask-eos"])
def test_a_model_of_zeros_always_returns_the_lowest_id(case, eos_rule):
    model, sequences, _ = case
    with torch.no_grad():
        model.lm_head.weight.zero_()
    sequences = sequences[:6].copy()
    sequences[:, 32:] = 0 if eos_rule == "none" else 1
    sequences[1::2, 37] = 2
    found = engine_for(model, sequences, eos_rule).matched_tokens(sequences)
    assert found.tolist() == [32, 5] * 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("batch_size", [1, 7, 64, None])
def test_batches_do_not_change_an_answer(case, batch_size, dtype):
    model, sequences, changed = case
    engine = engine_for(model, sequences, dtype=dtype, batch_size=batch_size)
    np.testing.assert_array_equal(engine.matched_tokens(sequences), changed)
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_array_equal(engine.matched_tokens(sequences[order]), changed[order])


def test_identical_sequences_are_decided_once(case):
    model, sequences, changed = case
    engine = engine_for(model, sequences)
    rows = np.random.default_rng(0).integers(0, 5, 200)
    np.testing.assert_array_equal(engine.matched_tokens(sequences[rows]), changed[rows])
    record = engine.record()
    assert record["sequences"] == 200
    assert record["distinct"] == 5


def test_token_types_and_no_sequences(case):
    model, sequences, changed = case
    engine = engine_for(model, sequences)
    found = engine.matched_tokens(sequences[:9].astype(np.uint16))
    np.testing.assert_array_equal(found, changed[:9])
    assert engine.matched_tokens(sequences[:0]).shape == (0,)


@pytest.mark.parametrize(("prompt", "continuation"), [(32, 32), (5, 3), (1, 1), (40, 24)])
def test_other_lengths(case, prompt, continuation):
    """k and l are parameters: the same greedy path, cut elsewhere."""
    model, sequences, _ = case
    rules = Rules(prompt_tokens=prompt, continuation_tokens=continuation)
    cut = sequences[:30, : rules.sequence_tokens]
    engine = Engine(model, rules, calibration=cut, dtype="float32")
    with torch.inference_mode():
        logits = model(torch.from_numpy(cut)).logits[:, prompt - 1 : -1]
    right = logits.argmax(-1).numpy() == cut[:, prompt:]
    expected = np.logical_and.accumulate(right, axis=1).sum(axis=1)
    np.testing.assert_array_equal(engine.matched_tokens(cut), expected)


def test_the_weights_are_left_as_they_were(case):
    """Float64 rechecks must not change the model, not even in the last bit."""
    model, sequences, _ = case
    before = {name: value.clone() for name, value in model.state_dict().items()}
    engine_for(model, sequences, dtype="bfloat16").matched_tokens(sequences)
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
    with torch.no_grad():
        model.lm_head.weight.zero_()  # its owner may still change it


@pytest.mark.parametrize("token", [-1, "vocabulary"])
def test_tokens_outside_the_vocabulary(case, token):
    model, sequences, _ = case
    token = model.config.vocab_size if token == "vocabulary" else token
    bad = sequences[:4].copy()
    bad[2, 5] = token
    with pytest.raises(CorpusError, match=rf"{token}.*vocabulary"):
        engine_for(model, sequences).matched_tokens(bad)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_stop_the_scan(case, value):
    model, sequences, _ = case
    with torch.no_grad():
        model.lm_head.weight[3, 3] = value
    with pytest.raises(ModelError, match="not finite in float32"):
        engine_for(model, sequences).matched_tokens(sequences)


def test_the_audit_is_recorded(case):
    model, sequences, _ = case
    engine = engine_for(model, sequences, dtype="bfloat16")
    engine.matched_tokens(sequences)
    audit = engine.record()["audit"]
    assert audit["n"] > 0
    assert audit["wrong"] == 0
    assert 0 < audit["upper95"] <= 1 - 0.05 ** (1 / audit["n"]) + 1e-12
