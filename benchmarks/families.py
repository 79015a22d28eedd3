"""Half precision against float32 on tiny random models of many families, with near ties.

    python -m benchmarks.families --rows 2000

In every model ten rows of the output layer are copies of others, five of them but for one unit in
the last place of one weight, so that many decisions are ties or nearly so. The rows are what the
model itself generates, two thirds of them changed at one place. For each family: which precision
decides first when half precision is asked for, how many rows it leaves to the next one, what the
audit found, and how many scores differ from a scan in float32. Families with routers must be
decided in float32: they are compared with float64, a row at a time and without the engine.
"""

import argparse
import warnings

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from memtrace.engine import Engine, Rules
from memtrace.engine.definition import matched_tokens
from memtrace.engine.forward.float64 import Float64Mode
from memtrace.errors import ApproximationWarning

VOCABULARY = 499
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 128,
}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 128}
BART = {
    "vocab_size": VOCABULARY,
    "d_model": 48,
    "encoder_layers": 1,  # fewer than the decoder has
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 128,
    "is_decoder": True,
}
XGLM = {
    "vocab_size": VOCABULARY,
    "d_model": 48,
    "num_layers": 2,
    "attention_heads": 4,
    "ffn_dim": 40,
    "max_position_embeddings": 128,
}
MIXTURE = {**LLAMA, "num_local_experts": 8, "num_experts_per_tok": 2}
QWEN_MIXTURE = {
    **LLAMA,
    "head_dim": 12,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}

DENSE = {
    "gpt_neox": {**LLAMA, "num_key_value_heads": None},
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen3": {**LLAMA, "head_dim": 12},
    "gemma2": {**LLAMA, "head_dim": 12},
    "olmo2": LLAMA,
    "phi": LLAMA,
    "gpt2": GPT2,
    "codegen": {**GPT2, "rotary_dim": 4},
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 48, "n_layer": 2, "n_head": 4},
    "opt": {**LLAMA, "ffn_dim": 40, "word_embed_proj_dim": 48},
    "mamba": {"vocab_size": VOCABULARY, "hidden_size": 48, "num_hidden_layers": 2, "state_size": 8},
    "xglm": XGLM,
    "bart": BART,
}
ROUTED = {
    "mixtral": MIXTURE,
    "qwen3_moe": QWEN_MIXTURE,
    "olmoe": {**LLAMA, "num_experts": 8, "num_experts_per_tok": 2},
    "deepseek_v3": {
        **LLAMA,
        "num_key_value_heads": 4,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_group": 4,
        "topk_group": 2,
        "moe_intermediate_size": 24,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 12,
        "first_k_dense_replace": 1,
    },
    "gpt_oss": {**MIXTURE, "head_dim": 12},
    "llama4_text": {**MIXTURE, "num_experts_per_tok": 1, "intermediate_size_mlp": 40},
    "jamba": {
        **LLAMA,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 8,
        "use_mamba_kernels": False,
    },
    "qwen3_next": {
        **QWEN_MIXTURE,
        "layer_types": ["linear_attention", "full_attention"],
        "shared_expert_intermediate_size": 24,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
    "phimoe": MIXTURE,
}
FAMILIES = DENSE | ROUTED


def random_model(family: str) -> PreTrainedModel:
    """A tiny model with weights large enough to matter, and near ties in its output layer."""
    torch.manual_seed(7)
    config = CONFIG_MAPPING[family](**FAMILIES[family], tie_word_embeddings=False)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.normal_(std=1.5 * weight.shape[-1] ** -0.5)
    head = model.get_output_embeddings().weight
    head[10:20] = head[50:60]
    head[10:15, 0] = torch.nextafter(head[10:15, 0], torch.tensor(torch.inf))
    return model


def generated(model: PreTrainedModel, rules: Rules, n: int, seed: int = 8) -> np.ndarray:
    """`(n, k + l)` token ids: greedy continuations in float32, two thirds changed at one place."""
    random, length = np.random.default_rng(seed), rules.sequence_tokens
    tokens = torch.from_numpy(random.integers(1, VOCABULARY, (n, rules.prompt_tokens)))
    with torch.inference_mode():
        while tokens.shape[1] < length:
            logits = model(tokens, use_cache=False, logits_to_keep=1).logits[:, -1]
            tokens = torch.cat([tokens, logits.argmax(-1, keepdim=True)], dim=1)
    sequences: np.ndarray = tokens.numpy()
    changed = random.random(n) < 2 / 3
    places = random.integers(rules.prompt_tokens, length, n)
    sequences[changed, places[changed]] = random.integers(0, VOCABULARY, int(changed.sum()))
    return sequences


def in_float64(model: PreTrainedModel, rules: Rules, sequences: np.ndarray) -> np.ndarray:
    """The scores by Transformers alone, a row at a time; logits that only noise tells apart tie."""
    tokens, default = torch.from_numpy(sequences), torch.get_default_dtype()
    length, experts = rules.continuation_tokens, model.get_experts_implementation()
    torch.set_default_dtype(torch.float64)
    model.double().set_experts_implementation("eager")
    with torch.inference_mode(), Float64Mode():
        rows = [model(row[None, :-1], use_cache=False).logits[0, -length:] for row in tokens]
    torch.set_default_dtype(default)
    model.float().set_experts_implementation(experts)
    logits = torch.stack(rows)
    best = logits.amax(-1, keepdim=True)
    logits = torch.where(logits >= best - 2.0**-40 * best.abs(), best, logits)
    return matched_tokens(logits, sequences[:, -length:], rules.eos_rule)


def decided(
    model: PreTrainedModel, rules: Rules, sequences: np.ndarray, dtype: str
) -> tuple[np.ndarray, dict]:
    """The scores of a scan, and the engine's record of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)  # float32 in place of half precision
        engine = Engine(model, rules, calibration=sequences[:256], dtype=dtype)
    return engine.matched_tokens(sequences), engine.record()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("families", nargs="*", help="some of them; by default all")
    parser.add_argument("--rows", type=int, default=2000, help="sequences for each family")
    parser.add_argument("--dtype", choices=("bfloat16", "float16"), default="bfloat16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| family | decided first in | rechecked | audited | audited wrong | wrong |")
    print("|---|---|---:|---:|---:|---:|")
    for family in options.families or FAMILIES:
        model, rules = random_model(family), Rules()
        sequences = generated(model, rules, options.rows)
        if family in ROUTED:
            truth = in_float64(model, rules, sequences)
        else:
            truth, _ = decided(model, rules, sequences, "float32")
        scores, record = decided(model, rules, sequences, options.dtype)
        audit, wrong = record["audit"], int((scores != truth).sum())
        print(
            f"| {family} | {record['dtype']} | {record['rechecked']} | {audit['n']} "
            f"| {audit['wrong']} | {wrong} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
