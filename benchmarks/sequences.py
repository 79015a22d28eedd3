"""Sequences whose matched tokens are known, for models that have learned nothing.

Random weights remember nothing. So a sequence's continuation is the model's own up to a position
drawn from a realistic survival curve, and random from there on: the truth is known, and the work is
what a real corpus would make.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from memtrace.engine.forward.neox import neox_forward

SHAPES = {
    "70m": (512, 6, 8),
    "160m": (768, 12, 12),
    "410m": (1024, 24, 16),
    "1.4b": (2048, 24, 16),
    "6.9b": (4096, 32, 32),
}
VOCABULARY, PROMPT, LENGTH = 50304, 32, 32

SURVIVAL = np.array(
    [0.32, 0.11, 0.05, 0.035, 0.028, *[0.02] * 5, *[0.015] * 10, *[0.0125] * 11, 0.01]
)
"""Shares of sequences with at least 1, 2, ..., 32 tokens right.

A 135M model on real text begins like this; of Pythia's sequences 0.3% to 1.6% are memorized."""


def random_model(shape: str) -> GPTNeoXForCausalLM:
    """A model of a shape of the Pythia suite with random weights."""
    width, layers, heads = SHAPES[shape]
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=2048,
    )
    return GPTNeoXForCausalLM(config).eval()


def cached_sequences(
    model: GPTNeoXForCausalLM, n: int, path: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences and truth, from the file if it has as many, else made and kept there."""
    if path is not None and path.exists():
        kept = np.load(path)
        if len(kept["matched"]) >= n:
            return kept["sequences"][:n], kept["matched"][:n]
    sequences, matched = make_sequences(model, n)
    if path is not None:
        np.savez(path, sequences=sequences, matched=matched)
    return sequences, matched


@torch.inference_mode()
def make_sequences(
    model: GPTNeoXForCausalLM, n: int, batch: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy continuations in float32, each up to a drawn position; random tokens elsewhere.

    A sequence that is to miss at once is not read: one in 50,304 does not.
    """
    random = np.random.default_rng(0)
    sequences = random.integers(0, VOCABULARY, (n, PROMPT + LENGTH))
    matched = (random.random(n)[:, None] < SURVIVAL).sum(axis=1)
    forward = neox_forward(model, torch.float32, PROMPT + LENGTH)
    looked_at = np.flatnonzero(matched)
    for start in range(0, len(looked_at), batch):
        rows_of_batch = looked_at[start : start + batch]
        tokens = torch.from_numpy(sequences[rows_of_batch]).to(model.device)
        alive = torch.arange(len(tokens), device=model.device)
        wanted = torch.from_numpy(matched[rows_of_batch]).to(model.device)
        features, cache = forward.prompt(tokens[:, :PROMPT], keep=1)
        for position in range(PROMPT, PROMPT + LENGTH):
            chosen = torch.cat([forward.logits(x).argmax(1) for x in features[:, 0].split(256)])
            right = wanted[alive] > position - PROMPT
            tokens[alive[right], position] = chosen[right]
            by_chance = ~right & (tokens[alive, position] == chosen)
            tokens[alive[by_chance], position] = (chosen[by_chance] + 1) % VOCABULARY
            rows = right.nonzero()[:, 0]
            if not len(rows) or position == PROMPT + LENGTH - 1:
                break
            alive = alive[rows]
            features, cache = forward.extend(tokens[alive, position : position + 1], cache, rows)
        sequences[rows_of_batch] = tokens.cpu()
    return sequences, matched
