"""Log-likelihoods against float64 passes of Transformers, and under every choice of speed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from memtrace.engine import Distribution, Engine, Rules
from memtrace.engine.definition import log_likelihoods
from memtrace.errors import MemtraceError, ModelError

VOCABULARY = 89
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
FAMILIES = {
    "gpt_neox": {**LLAMA, "num_key_value_heads": None},
    "llama": LLAMA,
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 64,
        "initializer_range": 0.3,
    },
    # So low a cap that it bends the logits.
    "gemma2": {**LLAMA, "head_dim": 8, "final_logit_softcapping": 2.0},
    "mamba": {**LLAMA, "state_size": 8, "tie_word_embeddings": True},
    "mixtral": {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
}
Case = tuple[PreTrainedModel, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def case() -> Callable[[str], Case]:
    """A model, sequences, and the float64 logits `(n, 32, V)` of their continuations."""
    made: dict[str, Case] = {}

    def make(family: str) -> Case:
        if family not in made:
            torch.manual_seed(11)
            config = CONFIG_MAPPING[family](**FAMILIES[family])
            model = AutoModelForCausalLM.from_config(config).eval()
            model.set_experts_implementation("eager")  # the other one has no float64
            prompts = torch.from_numpy(np.random.default_rng(5).integers(1, VOCABULARY, (16, 32)))
            sequences = model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=False,
                max_length=64,
                eos_token_id=None,
                pad_token_id=0,
            )
            # Two thirds are changed at one place.
            changed = np.random.default_rng(6).integers(0, 48, len(sequences))
            for row, place in zip(sequences, changed, strict=True):
                if place < 32:
                    row[32 + place] = (row[32 + place] + 1) % VOCABULARY
            with torch.inference_mode():
                logits = torch.cat(
                    [
                        model.double()(row[None, :-1], use_cache=False, logits_to_keep=32).logits
                        for row in sequences
                    ]
                )
            made[family] = model.float(), sequences.numpy(), logits.numpy()
        return made[family]

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_likelihoods_are_those_of_a_pass_of_transformers(
    case: Callable[[str], Case], family: str
) -> None:
    model, sequences, logits = case(family)
    # Soft caps and routers included, and computed otherwise than the definition does.
    expected = (
        torch.from_numpy(logits)
        .log_softmax(-1)
        .gather(2, torch.from_numpy(sequences[:, 32:, None]))[..., 0]
        .sum(1)
    )
    rules = Rules(distribution=Distribution())
    greedy = Engine(model, Rules(), calibration=sequences).matched_tokens(sequences)
    for batch_size in (None, 5) if family == "gpt_neox" else (5,):
        engine = Engine(model, rules, calibration=sequences, batch_size=batch_size)
        found = engine.score(sequences)
        np.testing.assert_array_equal(found.matched_tokens, greedy)
        assert found.log_likelihood.dtype == np.float32
        np.testing.assert_allclose(found.log_likelihood, expected, rtol=0, atol=1e-4)
        assert engine.record()["likelihood"]["dtype"] == "float32"
    # More than one half: each token is the most probable one.
    assert (found.matched_tokens[found.log_likelihood > np.log(0.5) + 1e-4] == 32).all()


@pytest.mark.parametrize(
    "distribution",
    [
        Distribution(temperature=0.5),
        Distribution(temperature=3.0, top_k=5),
        Distribution(top_k=1),
        Distribution(top_k=40),
        Distribution(top_k=1000),
    ],
)
@pytest.mark.parametrize(("family", "eos_rule"), [("gpt_neox", "mask-eos"), ("gemma2", "none")])
def test_temperature_and_top_k_are_those_of_the_definition(
    case: Callable[[str], Case], family: str, distribution: Distribution, eos_rule: str
) -> None:
    model, sequences, logits = case(family)
    expected = log_likelihoods(logits, sequences[:, 32:], distribution, eos_rule)
    rules = Rules(distribution=distribution, eos_rule=eos_rule)
    found = Engine(model, rules, calibration=sequences).score(sequences)
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=0, atol=1e-4)
    if distribution.top_k == 1:
        assert set(found.log_likelihood.tolist()) <= {0.0, -np.inf}
        np.testing.assert_array_equal(found.log_likelihood == 0, found.matched_tokens == 32)


def brute_force(logits: np.ndarray, target: int, temperature: float, top_k: int | None) -> float:
    """The probability of one token, from a sorted list of all."""
    ranked = sorted(range(len(logits)), key=lambda v: (-logits[v], v))[:top_k]
    weights = {v: np.exp(logits[v] / temperature) for v in ranked}
    return weights.get(target, 0.0) / sum(weights.values())


@settings(max_examples=60)
@given(
    logits=st.lists(st.sampled_from([-3.0, -1.0, 0.0, 0.5, 2.0]), min_size=2, max_size=7),
    target=st.integers(0, 6),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.none() | st.integers(1, 8),
)
def test_the_definition_is_a_sorted_list(
    logits: list[float], target: int, temperature: float, top_k: int | None
) -> None:
    target %= len(logits)
    found = log_likelihoods(np.array([[logits]]), [[target]], Distribution(temperature, top_k))
    np.testing.assert_allclose(
        np.exp(found), [brute_force(np.array(logits), target, temperature, top_k)], atol=1e-12
    )


def test_a_tie_at_the_edge_of_the_top_k_goes_to_the_lowest_id(case: Callable[[str], Case]) -> None:
    model, _, _ = case("gpt_neox")
    kept = model.lm_head.weight
    with torch.no_grad():
        before = kept.clone()
        kept.zero_()  # all logits are equal
    try:
        rows = np.full((3, 64), 3)
        rows[1, 40], rows[2, 33] = 4, 5
        rules = Rules(distribution=Distribution(top_k=5))
        found = Engine(model, rules, calibration=rows).score(rows).log_likelihood
        np.testing.assert_allclose(found, [-32 * np.log(5), -32 * np.log(5), -np.inf], rtol=1e-6)
    finally:
        with torch.no_grad():
            kept.copy_(before)


def test_a_value_does_not_depend_on_company_order_or_copies(case: Callable[[str], Case]) -> None:
    model, sequences, _ = case("gpt_neox")
    rules = Rules(distribution=Distribution())
    engine = Engine(model, rules, calibration=sequences)
    together = engine.score(sequences).log_likelihood
    order = np.random.default_rng(3).permutation(len(sequences))
    np.testing.assert_array_equal(engine.score(sequences[order]).log_likelihood, together[order])
    alone = [engine.score(row[None]).log_likelihood[0] for row in sequences]
    np.testing.assert_array_equal(alone, together)
    copies = np.repeat(np.arange(5), 40)
    np.testing.assert_array_equal(engine.score(sequences[copies]).log_likelihood, together[copies])
    smaller = Engine(model, rules, calibration=sequences, batch_size=3)
    np.testing.assert_array_equal(smaller.score(sequences).log_likelihood, together)
    assert engine.score(sequences[:0]).log_likelihood.shape == (0,)


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
@pytest.mark.parametrize(
    ("family", "distribution"),
    [("gpt_neox", Distribution()), ("llama", Distribution(temperature=0.7, top_k=60))],
)
def test_values_below_the_smallest_probability_are_left_out(
    case: Callable[[str], Case], family: str, distribution: Distribution, dtype: str
) -> None:
    model, sequences, logits = case(family)
    true = log_likelihoods(logits, sequences[:, 32:], distribution)
    greedy = Engine(model, Rules(), calibration=sequences).matched_tokens(sequences)
    # One sequence's own probability, which no precision but the last can tell from it.
    middle = np.sort(true)[len(true) * 3 // 4]
    for batch_size in (None, 3):
        rules = Rules(distribution=replace(distribution, min_probability=float(np.exp(middle))))
        engine = Engine(model, rules, calibration=sequences, dtype=dtype, batch_size=batch_size)
        found = engine.score(sequences)
        np.testing.assert_array_equal(found.matched_tokens, greedy)
        np.testing.assert_array_equal(np.isnan(found.log_likelihood), true < middle - 1e-9)
        kept = ~np.isnan(found.log_likelihood)
        away = 1e-4 if dtype != "bfloat16" else 2.0
        np.testing.assert_allclose(found.log_likelihood[kept], true[kept], rtol=0, atol=away)


def test_half_precision_says_how_far_it_is_off(case: Callable[[str], Case]) -> None:
    model, sequences, logits = case("gpt_neox")
    rules = Rules(distribution=Distribution())
    engine = Engine(model, rules, calibration=sequences, dtype="bfloat16")
    found = engine.score(sequences)
    error = engine.record()["likelihood"]["error"]
    assert (error["n"], error["against"]) == (len(sequences), "float32")
    away = found.log_likelihood - log_likelihoods(logits, sequences[:, 32:], Distribution())
    np.testing.assert_allclose(error["largest"], np.abs(away).max(), rtol=1e-3)
    np.testing.assert_allclose(error["rms"], np.sqrt(np.mean(away**2)), rtol=1e-3)
    assert float(engine.metadata()["log_likelihood_error_largest"]) >= error["largest"]
    greedy = Engine(model, Rules(), calibration=sequences).matched_tokens(sequences)
    np.testing.assert_array_equal(found.matched_tokens, greedy)


def test_logits_that_are_not_finite_are_named(case: Callable[[str], Case]) -> None:
    model, sequences, _ = case("llama")
    engine = Engine(model, Rules(distribution=Distribution()), calibration=sequences)
    with torch.no_grad():
        before = model.lm_head.weight[7].clone()
        model.lm_head.weight[7] = torch.nan
    try:
        with pytest.raises(ModelError, match="not finite in float32"):
            engine.score(sequences)
    finally:
        with torch.no_grad():
            model.lm_head.weight[7] = before


@pytest.mark.parametrize(
    "values",
    [{"temperature": 0.0}, {"temperature": float("nan")}, {"top_k": 0}, {"min_probability": 1.0}],
)
def test_a_distribution_without_meaning_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(MemtraceError, match="choose"):
        Distribution(**values)
