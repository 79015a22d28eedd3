"""The engine on tiny models of many families: half precision, routers, failures of model code."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from benchmarks.families import DENSE, FAMILIES, ROUTED, generated, in_float64, random_model
from memtrace.engine import Engine, Rules
from memtrace.engine.forward.routers import RouterWatch
from memtrace.engine.forward.transformers import GenericForward
from memtrace.errors import ApproximationWarning, ModelError
from memtrace.models.probe import check_causality

RULES = Rules(prompt_tokens=12, continuation_tokens=12)


@pytest.mark.parametrize("family", DENSE)
def test_half_precision_gives_the_scores_of_float64(family: str) -> None:
    model = random_model(family)
    sequences = generated(model, RULES, 100)
    engine = Engine(model, RULES, calibration=sequences, dtype="bfloat16")
    assert engine.record()["dtype"] == "bfloat16"
    scores = engine.matched_tokens(sequences)
    np.testing.assert_array_equal(scores, in_float64(model, RULES, sequences))
    assert engine.record()["audit"]["wrong"] == 0


@pytest.mark.parametrize("family", ROUTED)
def test_models_with_routers_are_decided_in_float32(family: str) -> None:
    model = random_model(family)
    sequences = generated(model, RULES, 100)
    with pytest.warns(ApproximationWarning, match=r"bfloat16 .*float32 .*experts"):
        engine = Engine(model, RULES, calibration=sequences, dtype="bfloat16")
    assert engine.record()["dtype"] == "float32"
    scores = engine.matched_tokens(sequences)
    np.testing.assert_array_equal(scores, in_float64(model, RULES, sequences))
    assert Engine(model, RULES, calibration=sequences).record()["dtype"] == "float32"


def test_the_families_have_rows_to_get_wrong() -> None:
    model = random_model("mixtral")
    sequences = generated(model, RULES, 100)
    matched = in_float64(model, RULES, sequences)
    assert len(set(matched.tolist())) > 6
    logits = {}
    for dtype in (torch.float32, torch.bfloat16):
        forward = GenericForward(model, dtype)
        with torch.inference_mode(), forward.precision():
            tokens = torch.from_numpy(sequences[:, :-1])
            logits[dtype] = forward.prompt(tokens, keep=12)[0].float()
    half, full = logits[torch.bfloat16], logits[torch.float32]
    # An expert that is swapped is no rounding error: the largest is far from the usual one.
    assert (half - full).abs().max() > 20 * (half - full).abs().median()


def with_close_experts(family: str) -> PreTrainedModel:
    """A model whose last router has two experts that float32 cannot tell apart."""
    model = random_model(family)
    (*_, router) = (w for name, w in model.named_parameters() if name.endswith("gate.weight"))
    router[1] = router[0] + 3e-8 * torch.randn_like(router[0])
    return model


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "olmoe"])
def test_close_experts_are_left_to_float64(family: str) -> None:
    model, rules = with_close_experts(family), Rules(6, 6)
    sequences = generated(model, rules, 200)
    truth = in_float64(model, rules, sequences)
    with torch.inference_mode():
        gaps = GenericForward(model, torch.float32).router_gaps(torch.from_numpy(sequences))
    # Calibrated where no experts are close, so that swaps do not widen the tolerance of the logits.
    calm = sequences[gaps.amin(1).numpy() > 1e-4]
    order = np.random.default_rng(1).permutation(len(sequences))
    for batch_size in (7, None):
        engine = Engine(model, rules, calibration=calm, batch_size=batch_size)
        assert engine.record()["tolerance"]["logits"] < 1e-3
        scores = engine.matched_tokens(sequences[order])
        np.testing.assert_array_equal(scores, truth[order])


def test_a_choice_is_watched_where_it_is_made_for_each_token() -> None:
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    scores = torch.tensor([[4.0, 1.0, 3.0], [1.0, 1.0, 0.0]]).repeat_interleave(3, 0)
    for choose in (
        lambda x: x.topk(1),
        lambda x: torch.topk(x, 1, dim=-1, sorted=False),
        lambda x: x.argmax(-1),
        lambda x: x.max(1),
        lambda x: x.view(2, 3, 3).topk(1),
    ):
        with RouterWatch(tokens) as watch:
            choose(scores)
        assert watch.routes
        assert watch.gaps.tolist() == [[0.25] * 3, [0.0] * 3]


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: x.topk(3),  # all of them
        lambda x: x.argmax(),
        lambda x: x.max(),
        lambda x: torch.maximum(x, x),
        lambda x: x.max(0),
        lambda x: x.long().topk(1),
        lambda x: x[:5].topk(1),  # of no token
    ],
)
def test_what_chooses_nothing_for_a_token_is_not_watched(choose: object) -> None:
    with RouterWatch(torch.zeros(2, 3, dtype=torch.int64)) as watch:
        choose(torch.eye(3).repeat(2, 1))
    assert not watch.routes


@pytest.mark.parametrize("family", FAMILIES)
def test_routers_are_known_by_what_they_do(family: str) -> None:
    tokens = torch.arange(20).view(2, 10)
    with torch.inference_mode():
        gaps = GenericForward(random_model(family), torch.float32).router_gaps(tokens)
    assert (gaps is not None) == (family in ROUTED)


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "olmoe", "deepseek_v3", "gpt_oss"])
def test_eager_experts_change_no_answer(family: str) -> None:
    model = random_model(family)
    sequences = generated(model, RULES, 50)
    scores = []
    for implementation in ("eager", "grouped_mm"):
        model.set_experts_implementation(implementation)
        scores.append(Engine(model, RULES, calibration=sequences).matched_tokens(sequences))
        assert model.get_experts_implementation()[""] == implementation  # float64 has restored it
    np.testing.assert_array_equal(*scores)


def test_a_decoder_that_is_deeper_than_its_cache_is_read_without_one() -> None:
    model = random_model("bart")
    with pytest.raises(IndexError):
        model(torch.zeros(1, 4, dtype=torch.int64), use_cache=True)
    check_causality(model, RULES.sequence_tokens)
    forward = GenericForward(model, torch.float32)
    tokens = torch.from_numpy(generated(model, RULES, 5))
    with torch.inference_mode():
        _, read = forward.prompt(tokens[:, :9], keep=1)
        logits, _ = forward.extend(tokens[[3, 1], 9:12], read, torch.tensor([3, 1]))
        expected = model(tokens[[3, 1], :12], use_cache=False).logits[:, 9:]
    assert read.cache is None
    torch.testing.assert_close(logits, expected)


def test_what_a_forward_pass_raises_names_model_precision_and_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model("gpt2")
    sequences = generated(model, RULES, 20)
    engine = Engine(model, RULES, calibration=sequences, dtype="float32")

    def fail(*_: object, **__: object) -> None:
        raise IndexError("index out of range in self")

    monkeypatch.setattr(type(model.transformer), "forward", fail)
    expected = r"GPT2LMHeadModel .*float32 .*20 sequences of 12 tokens: IndexError: index out of"
    with pytest.raises(ModelError, match=expected) as caught:
        engine.matched_tokens(sequences)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="sequences of 23 tokens"):
        Engine(model, RULES, calibration=sequences)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, torch.OutOfMemoryError])
def test_a_conversion_that_fails_in_the_middle_is_undone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    model = random_model("mixtral")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    apply, calls = torch.nn.Module._apply, []

    def scarce(module: torch.nn.Module, convert: object, **options: object) -> object:
        calls.append(module)
        if len(calls) == 9:
            raise error("not enough memory: you tried to allocate 8192 bytes")
        return apply(module, convert, **options)

    monkeypatch.setattr(torch.nn.Module, "_apply", scarce)
    forward = GenericForward(model, torch.float64)
    with pytest.raises(error, match="you tried to allocate"), forward.precision():
        pytest.fail("entered half converted")
    assert model.get_experts_implementation()[""] == "grouped_mm"
    assert torch.get_default_dtype() == torch.float32
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])
