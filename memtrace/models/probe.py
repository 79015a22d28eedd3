"""Does a model read from left to right? Teacher forcing decides greedy decoding only where it does.

One short batch tells, for every architecture: no logit may depend on a later token, nor on how many
follow, and a pass over cached keys and values must give what a pass without them gives.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from memtrace.errors import ModelError, first_line

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_SEQUENCES = 2
"""A fault shows in each of them; that rounding turns an expert's router, hardly in two."""
_TOLERANCE = 1e-3
"""In standard deviations of the logits: rounding in float32 moves them by 1e-6 to 1e-4."""


def check_causality(model: "PreTrainedModel", tokens: int) -> None:
    """Refuse a model whose logits depend on what follows.

    Args:
        model: A model in float32, in eval mode.
        tokens: Length of the sequences that it is to decide; positional embeddings that are scaled
            with the length show only in sequences of that length.

    Raises:
        ModelError: A logit depends on later tokens, or a cached pass differs from one without a
            cache, or the model cannot read sequences of that length.
    """
    import torch

    length = tokens - 1  # the last token is decided, not read
    if length < 2:
        return
    try:
        with torch.no_grad():
            fault = _find_fault(model, _sequences(model, length))
    except Exception as error:  # a model's own code raises whatever it likes
        raise ModelError(
            f"the {model.config.model_type} model cannot read sequences of {length} tokens: "
            f"{first_line(error)}"
        ) from error
    if fault:
        raise ModelError(
            f"the {model.config.model_type} model does not decode from left to right: {fault}; "
            "only causal language models can be scanned, and within the length that their "
            "configuration sets for positions"
        )


def _find_fault(model: "PreTrainedModel", sequences: "torch.Tensor") -> str | None:
    half = sequences.shape[1] // 2
    logits = model(sequences, use_cache=False).logits
    changed = sequences.clone()
    changed[:, -1] = sequences[:, -2]
    if _differ(model(changed, use_cache=False).logits[:, :-1], logits[:, :-1]):
        return "another last token changes the logits before it"
    start, cache = _read_start(model, sequences[:, :half])
    if _differ(start, logits[:, :half]):
        return f"the logits of {half} tokens change when {sequences.shape[1] - half} more follow"
    if not can_select(cache):
        return None  # the engine does not use it either
    rest = model(sequences[:, half:], past_key_values=cache, use_cache=True).logits
    if _differ(rest, logits[:, half:]):
        return "a pass over its cache gives other logits than one without"
    return None


def _read_start(model: "PreTrainedModel", tokens: "torch.Tensor") -> tuple["torch.Tensor", Any]:
    """Return logits and cache; no cache of a model that fails with one, such as BART's decoder."""
    try:
        output = model(tokens, use_cache=True)
    except Exception:  # the engine does without it too
        return model(tokens, use_cache=False).logits, None
    return output.logits, output.get("past_key_values")


def _sequences(model: "PreTrainedModel", length: int) -> "torch.Tensor":
    """Return ordinary token ids in random order, of which no two neighbours are equal.

    Padding, images and ends of text are not ordinary: models may treat them in their own way.
    """
    import torch

    settings = model.config.get_text_config(decoder=True).to_dict() | model.config.to_dict()
    special = {v for k, v in settings.items() if "token" in k and isinstance(v, int)}
    vocabulary = next(model.get_input_embeddings().parameters()).shape[0]
    ordinary = np.setdiff1d(np.arange(vocabulary), list(special))
    random = np.random.default_rng(0)
    rows = [np.resize(random.permutation(ordinary), length) for _ in range(_SEQUENCES)]
    return torch.from_numpy(np.stack(rows)).to(model.device)


def _differ(logits: "torch.Tensor", expected: "torch.Tensor") -> bool:
    """Say whether `(n, positions, V)` logits differ beyond rounding in every sequence."""
    finite = expected[expected.isfinite()]  # what is not, the engine tells with its place
    moved = (logits - expected).abs().amax((1, 2))
    return len(finite) > 0 and bool((moved > _TOLERANCE * finite.std()).all())


def can_select(cache: Any) -> bool:
    """Say whether sequences can be selected from a model's cache: it holds all keys and values."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    return isinstance(cache, DynamicCache) and all(
        type(layer) is DynamicLayer for layer in cache.layers
    )
