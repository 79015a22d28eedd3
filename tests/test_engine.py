"""The engine against `generate`, against itself under every choice of speed, and under faults."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

import memtrace.engine.build as build
import memtrace.engine.engine as engine_module
from memtrace.engine import Engine, Rules
from memtrace.engine.cascade import schedule
from memtrace.engine.definition import matched_tokens
from memtrace.engine.forward.decoder import DecoderForward
from memtrace.errors import ApproximationWarning, CapacityWarning, CorpusError, ModelError

Case = tuple[PreTrainedModel, np.ndarray, np.ndarray]
VOCABULARY = 89


def random_model(kind: str) -> PreTrainedModel:
    """A random model of an odd shape; pairs of token ids share a row of the output layer."""
    torch.manual_seed(7)
    shape = {"vocab_size": VOCABULARY, "hidden_size": 48, "initializer_range": 0.25}
    if kind == "neox":
        model: PreTrainedModel = GPTNeoXForCausalLM(
            GPTNeoXConfig(**shape, num_hidden_layers=3, num_attention_heads=3, intermediate_size=52)
        )
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                **shape,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                intermediate_size=44,
            )
        )
    with torch.no_grad():
        model.lm_head.weight[20:40] = model.lm_head.weight[50:70]
        model.lm_head.weight[0] *= 3  # so that the EOS rule matters
    return model.eval()


def generated(model: PreTrainedModel, eos_rule: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """What `generate` returns, changed at known positions; how many tokens that leaves right."""
    prompts = torch.from_numpy(np.random.default_rng(8).integers(1, VOCABULARY, (n, 32)))
    # The published evaluation's arguments mask token 0; without an EOS token nothing is masked.
    options = {"eos_token_id": 0} if eos_rule == "mask-eos" else {"eos_token_id": None}
    sequences = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        min_length=64 if eos_rule == "mask-eos" else None,
        max_length=64,
        pad_token_id=1,
        **options,
    ).numpy()
    matched = np.random.default_rng(9).integers(0, 48, n).clip(max=32)
    for row, right in zip(sequences, matched, strict=True):
        if right < 32:
            row[32 + right] = (row[32 + right] + 1 + right) % VOCABULARY
    return sequences, matched


@pytest.fixture(scope="module")
def case() -> Callable[..., Case]:
    """Models and sequences, each made once."""
    made: dict[tuple[str, str], Case] = {}

    def make(kind: str, eos_rule: str = "none") -> Case:
        if (kind, eos_rule) not in made:
            model = random_model(kind)
            made[kind, eos_rule] = (model, *generated(model, eos_rule, 48))
        return made[kind, eos_rule]

    return make


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "auto"])
@pytest.mark.parametrize("eos_rule", ["none", "mask-eos"])
@pytest.mark.parametrize("kind", ["neox", "llama"])
def test_the_answer_is_that_of_generate(
    case: Callable[..., Case], kind: str, eos_rule: str, dtype: str
) -> None:
    model, sequences, matched = case(kind, eos_rule)
    engine = Engine(model, Rules(eos_rule=eos_rule), calibration=sequences, dtype=dtype)
    answer = engine.matched_tokens(sequences.astype(np.uint16))
    assert answer.dtype == np.uint8
    np.testing.assert_array_equal(answer, matched)


@pytest.mark.parametrize("kind", ["neox", "llama"])
def test_the_answer_does_not_depend_on_batch_dtype_order_or_company(
    case: Callable[..., Case], kind: str
) -> None:
    model, sequences, matched = case(kind)
    order = np.random.default_rng(10).permutation(len(sequences))
    choices = [
        (1, "float32"),
        (None, "float32"),
        (1, "bfloat16"),
        (7, "bfloat16"),
        (64, "bfloat16"),
    ]
    for batch_size, dtype in choices:
        engine = Engine(
            model, Rules(), calibration=sequences[:40], dtype=dtype, batch_size=batch_size
        )
        parts = np.split(sequences[order], [1, 13, 13, 30])
        answers = [engine.matched_tokens(part) for part in parts]
        np.testing.assert_array_equal(np.concatenate(answers), matched[order])


@pytest.mark.parametrize(("prompt", "continuation"), [(1, 5), (7, 1), (20, 44)])
def test_other_lengths_against_the_definition(prompt: int, continuation: int) -> None:
    model = random_model("neox")
    rules = Rules(prompt, continuation)
    tokens = torch.from_numpy(np.random.default_rng(11).integers(0, 89, (30, prompt)))
    with torch.inference_mode():
        for _ in range(continuation):
            following = model(tokens).logits[:, -1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, following], 1)
        tokens[::3, prompt + continuation // 2] = 5
        logits = model(tokens).logits[:, prompt - 1 : -1]
    expected = matched_tokens(logits, tokens[:, prompt:])
    engine = Engine(model, rules, calibration=tokens.numpy(), dtype="bfloat16")
    np.testing.assert_array_equal(engine.matched_tokens(tokens.numpy()), expected)


def test_what_float32_cannot_tell_is_told_in_float64(case: Callable[..., Case]) -> None:
    _, sequences, matched = case("neox")
    model = random_model("neox")
    with torch.no_grad():  # one unit in the last place of one weight decides
        weight = model.lm_head.weight
        weight[50:70, 0] = torch.nextafter(weight[20:40, 0], torch.tensor(torch.inf))
    # Where the tie was decided for the lower id, the rows now differ, by some 1e-8.
    logits = model.double()(torch.from_numpy(sequences[:, :-1])).logits[:, 31:].detach()
    expected = matched_tokens(logits, sequences[:, 32:])
    model.float()
    assert (expected != matched).any()
    for batch_size, dtype in ((1, "float32"), (None, "bfloat16")):
        engine = Engine(model, Rules(), calibration=sequences, dtype=dtype, batch_size=batch_size)
        np.testing.assert_array_equal(engine.matched_tokens(sequences), expected)


@pytest.mark.parametrize(("eos_rule", "chosen"), [("none", 0), ("mask-eos", 1)])
@pytest.mark.parametrize("kind", ["neox", "llama"])
def test_with_all_logits_equal_the_lowest_id_is_chosen(
    kind: str, eos_rule: str, chosen: int
) -> None:
    model = random_model(kind)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    sequences = np.full((3, 64), chosen)
    sequences[1, 40], sequences[2, 32] = 1 - chosen, 2
    for dtype in ("float32", "bfloat16"):
        engine = Engine(model, Rules(eos_rule=eos_rule), calibration=sequences, dtype=dtype)
        assert engine.matched_tokens(sequences).tolist() == [32, 8, 0]


def test_identical_sequences_are_decided_once(case: Callable[..., Case]) -> None:
    model, sequences, matched = case("neox")
    engine = Engine(model, Rules(), calibration=sequences)
    copies = np.repeat(np.arange(5), 40)
    np.testing.assert_array_equal(engine.matched_tokens(sequences[copies]), matched[copies])
    assert engine.record()["sequences"] == 200
    assert engine.record()["distinct"] == 5


def test_the_logits_of_a_step_stay_within_their_budget(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sequences, matched = case("neox")
    monkeypatch.setattr(build, "LOGITS_BUDGET", 11 * 4 * VOCABULARY)
    engine = Engine(model, Rules(), calibration=sequences, dtype="float32", batch_size=64)
    forward, seen = engine.stages[0].forward, []
    logits = forward.logits
    monkeypatch.setattr(forward, "logits", lambda x: seen.append(len(x)) or logits(x))
    np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)
    assert max(seen) <= 11
    assert sum(seen) < 1.5 * (matched + 1).sum()  # the cascade asks for little more than needed


def out_of_memory_above(limit: int, prompt: Callable[..., object]) -> Callable[..., object]:
    """A forward pass on a device that holds `limit` sequences."""

    def scarce(tokens: torch.Tensor, keep: int) -> object:
        if len(tokens) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return prompt(tokens, keep)

    return scarce


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    model, sequences, matched = case("neox")
    engine = Engine(model, Rules(), calibration=sequences[:20], dtype=dtype, batch_size=20)
    for stage in engine.stages:
        prompt = stage.forward.prompt
        monkeypatch.setattr(stage.forward, "prompt", out_of_memory_above(6, prompt))
    with pytest.warns(CapacityWarning, match="sequences at once: going on with") as told:
        np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)
    sizes = [re.findall(r"\d+", str(warning.message))[:2] for warning in told]
    assert sizes == [["20", "10"], ["10", "5"]]
    assert engine.record()["batch_size"] == 5
    assert engine.record()["sequences"] == len(sequences)


def test_a_sequence_that_does_not_fit_ends_it(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sequences, _ = case("neox")
    engine = Engine(model, Rules(), calibration=sequences, dtype="float32", batch_size=1)
    prompt = out_of_memory_above(0, engine.stages[0].forward.prompt)
    monkeypatch.setattr(engine.stages[0].forward, "prompt", prompt)
    with pytest.raises(ModelError, match=r"one sequence at a time \(CUDA out of memory\.\)"):
        engine.matched_tokens(sequences)


def test_a_device_that_does_not_say_what_it_lacks(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sequences, _ = case("neox")
    engine = Engine(model, Rules(), calibration=sequences, dtype="float32", batch_size=1)

    def fail(tokens: torch.Tensor, keep: int) -> object:
        raise torch.OutOfMemoryError(" \n")

    monkeypatch.setattr(engine.stages[0].forward, "prompt", fail)
    with pytest.raises(ModelError, match=r"one sequence at a time \(OutOfMemoryError\)"):
        engine.matched_tokens(sequences)


def test_the_audit_finds_what_a_narrow_tolerance_got_wrong(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sequences, matched = case("neox")
    monkeypatch.setattr(engine_module, "AUDIT_SHARE", 1.0)
    engine = Engine(model, Rules(), calibration=sequences, dtype="bfloat16")
    believed = engine.stages[0]
    engine.stages[0] = replace(
        believed, tolerance=believed.tolerance / 99, fine_tolerance=believed.fine_tolerance / 99
    )
    with pytest.warns(ApproximationWarning, match="doubled"):
        answer = engine.matched_tokens(sequences)
    np.testing.assert_array_equal(answer, matched)
    audit = engine.record()["audit"]
    assert audit["widened"] > 0
    assert audit["wrong"] > 0
    assert audit["upper95"] > audit["wrong"] / audit["n"]
    # And at the tolerance that was measured, it finds nothing.
    engine = Engine(model, Rules(), calibration=sequences, dtype="bfloat16")
    engine.matched_tokens(sequences)
    audit = engine.record()["audit"]
    assert audit["wrong"] == audit["widened"] == 0
    assert audit["n"] > 48
    assert audit["upper95"] == pytest.approx(1 - 0.05 ** (1 / audit["n"]))


@pytest.mark.parametrize("kind", ["neox", "llama"])
def test_what_overflows_in_float16_is_left_to_float32(case: Callable[..., Case], kind: str) -> None:
    _, sequences, matched = case(kind)
    model = random_model(kind)
    with torch.no_grad():
        model.lm_head.weight *= 2.0**14  # exact, and the same order; but some are over 65504
    engine = Engine(model, Rules(), calibration=sequences, dtype="float16")
    np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)
    assert engine.record()["dtype"] == "float16"
    assert engine.record()["tolerance"]["logits"] > 0


@pytest.mark.parametrize("kind", ["neox", "llama"])
def test_half_precision_without_a_finite_margin_is_refused(
    case: Callable[..., Case], kind: str
) -> None:
    _, sequences, matched = case(kind)
    model = random_model(kind)
    with torch.no_grad():
        model.lm_head.weight *= 2.0**24  # all over 65504
    with pytest.warns(ApproximationWarning, match=r"float16 .*float32 .*no margin"):
        engine = Engine(model, Rules(), calibration=sequences, dtype="float16")
    np.testing.assert_array_equal(engine.matched_tokens(sequences), matched)
    assert engine.record()["dtype"] == "float32"


def test_calibration_is_spread_over_the_whole_sample(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sequences, _ = case("llama")
    sample = np.tile(sequences, (6, 1))
    sample[:, 0] = np.arange(len(sample)) * VOCABULARY // len(sample)  # the sequence's place
    measured: dict[torch.dtype, set[int]] = {}
    prompt = DecoderForward.prompt

    def noted(forward: DecoderForward, tokens: torch.Tensor, keep: int) -> object:
        if keep == 32:
            measured.setdefault(forward.dtype, set()).update(tokens[:, 0].tolist())
        return prompt(forward, tokens, keep)

    monkeypatch.setattr(DecoderForward, "prompt", noted)
    Engine(model, Rules(), calibration=sample, dtype="bfloat16")
    assert set(measured) == {torch.float64, torch.float32, torch.bfloat16}
    for places in measured.values():
        assert {0, VOCABULARY - 1} <= places
        assert np.diff(sorted(places)).max() <= VOCABULARY / 3 + 1


def test_broken_weights_stop_it_and_say_where(case: Callable[..., Case]) -> None:
    _, sequences, _ = case("neox")
    model = random_model("neox")
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[88] = torch.nan
    healthy = sequences[(sequences != 88).all(axis=1)]
    broken = healthy[:1].copy()
    broken[0, 5] = 88
    for dtype in ("float32", "bfloat16"):
        engine = Engine(model, Rules(), calibration=healthy, dtype=dtype)
        assert len(engine.matched_tokens(healthy)) == len(healthy)
        with pytest.raises(ModelError, match=r"not finite in float32.*position 4 .*weights"):
            engine.matched_tokens(np.concatenate([healthy[:4], broken, healthy[4:6]]))


def test_no_sequences_and_bad_sequences(case: Callable[..., Case]) -> None:
    model, sequences, _ = case("neox")
    engine = Engine(model, Rules(), calibration=sequences[:1])
    assert engine.matched_tokens(sequences[:0]).shape == (0,)
    foreign = sequences.copy()
    foreign[3, 63] = VOCABULARY
    with pytest.raises(CorpusError, match=r"token id 89 .* 89"):
        engine.matched_tokens(foreign)
    with pytest.raises(CorpusError, match="-1"):
        engine.matched_tokens(np.full((1, 64), -1))
    with pytest.raises(CorpusError, match=r"\(48, 63\).*64"):
        engine.matched_tokens(sequences[:, 1:])
    with pytest.raises(CorpusError, match="calibrate"):
        Engine(model, Rules(), calibration=sequences[:0])


def test_the_record_is_json_and_counts(case: Callable[..., Case]) -> None:
    model, sequences, _ = case("llama")
    engine = Engine(model, Rules(), calibration=sequences, dtype="bfloat16", batch_size=7)
    engine.matched_tokens(sequences)
    record = json.loads(json.dumps(engine.record(), allow_nan=False))
    assert (record["dtype"], record["batch_size"], record["sequences"]) == ("bfloat16", 7, 48)
    assert record["schedule"][0] == 1
    assert record["schedule"][-1] == 32
    assert 0 < record["rechecked"] <= 48


@given(
    survival=st.lists(st.floats(0, 1), min_size=1, max_size=7).map(
        lambda values: np.array(sorted(values, reverse=True))
    ),
    step=st.floats(0.01, 2),
    token=st.floats(0.01, 2),
    most=st.sampled_from([None, 2, 3]),
)
def test_the_schedule_costs_least_of_all(
    survival: np.ndarray, step: float, token: float, most: int | None
) -> None:
    length = len(survival)

    def cost(stops: tuple[int, ...]) -> float:
        pairs = itertools.pairwise(stops)
        return sum(step + token * survival[i - 1] * (j - i) for i, j in pairs)

    inner = range(2, length)
    chosen = [
        (1, *some, length) if length > 1 else (1,)
        for size in range(len(inner) + 1)
        for some in itertools.combinations(inner, size)
        if most is None or size + 2 <= most
    ]
    stops = schedule(survival, step, token, most)
    assert stops in chosen
    assert cost(stops) <= min(map(cost, chosen)) + 1e-9
