"""Which models have a forward pass of our own; all others go through Transformers."""

from typing import Any

import torch
from transformers import GPTNeoXForCausalLM, PreTrainedModel

from memtrace.engine.definition import Rules
from memtrace.engine.forward.decoder import Decoder, DecoderForward
from memtrace.engine.forward.linear import Precision
from memtrace.engine.forward.llama import LLAMAS, llama_decoder
from memtrace.engine.forward.memory import keep_freed_memory
from memtrace.engine.forward.neox import neox_decoder
from memtrace.engine.forward.transformers import GenericForward

_OURS = {"gpt_neox", "llama", "mistral", "olmo2", "qwen2", "qwen3"}
_FIXED_ROTATIONS = {"default", "linear", "llama3", "yarn"}
"""Rotary embeddings whose frequencies do not depend on the length of a sequence."""


def make_forward(
    model: PreTrainedModel, precision: Precision, positions: int, routers: float | None = None
) -> DecoderForward | GenericForward:
    """The forward pass of a model in one precision.

    Args:
        model: A causal language model.
        precision: A type; or split products, for a model of our own reading.
        positions: No sequence is longer than so many tokens.
        routers: See `GenericForward`.
    """
    if model.device.type == "cpu":
        keep_freed_memory()
    decoder = decoder_of(model, positions)
    if decoder is not None:
        return DecoderForward(model, decoder, precision, positions)
    assert isinstance(precision, torch.dtype), precision
    return GenericForward(model, precision, routers)


def decoder_of(model: PreTrainedModel, positions: int) -> Decoder | None:
    """How we read a model; None if Transformers has to."""
    if not is_plain(model.config, positions) or _is_spread(model):
        return None
    if isinstance(model, GPTNeoXForCausalLM):
        return neox_decoder(model)
    return llama_decoder(model) if type(model) in LLAMAS else None


def _is_spread(model: PreTrainedModel) -> bool:
    """Do several devices hold its layers?"""
    places: dict[str, Any] = getattr(model, "hf_device_map", None) or {}
    return len(set(map(str, places.values()))) > 1


def reads_as_stored(config: Any, positions: int) -> bool:
    """Is a model of this configuration read by us, so that its weights stay as they are stored?"""
    return config.model_type in _OURS and is_plain(config, positions)


def bytes_copied(rules: Rules, dtype: str, device: torch.device) -> int:
    """Of each weight that stays as it is stored: in the half-precision copy that a CPU reads.

    Args:
        rules: Whether likelihoods are wanted.
        dtype: As asked for, or `auto`.
        device: Where the model is to be.
    """
    return 2 if device.type == "cpu" and rules.first_dtype(dtype) != "float32" else 0


def is_plain(config: Any, positions: int) -> bool:
    """Does every position see all before it, by rotations that are always the same?"""
    rope = getattr(config, "rope_parameters", None) or {}
    window = getattr(config, "sliding_window", None)
    return rope.get("rope_type", "default") in _FIXED_ROTATIONS and (
        window is None or window >= positions
    )
