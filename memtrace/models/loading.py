"""Load a causal language model from its weight files, onto a device."""

import platform
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from memtrace.errors import ModelError, first_line
from memtrace.models.completeness import check_completeness
from memtrace.models.limits import read_config
from memtrace.models.probe import check_causality
from memtrace.models.quiet import quiet_transformers
from memtrace.models.spread import divide
from memtrace.models.stored import check_memory, stored_type
from memtrace.models.weights import Weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# While it loads, Transformers replaces methods of its own classes: two threads at it leave the
# wrong ones behind, and tied weights are never tied again.
_ONE_AT_A_TIME = Lock()
_ATTENTION = ("sdpa", "eager")
"""Implementations of Transformers, the first that a model has: none that a configuration names."""
_TOKENS = 64  # of a sequence, as published: 32 of the prompt, and the 32 after them


def choose_device(device: str) -> "torch.device":
    """Return the device for `auto`, `cpu` or `cuda` (or `cuda:N`).

    Raises:
        ModelError: CUDA was asked for and is not there.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("device cuda asked for, but torch sees no CUDA device; use --device cpu")
    return torch.device(device)


def visible_devices(device: str) -> list[str]:
    """Return the devices to use for `auto`, `cpu` or `cuda`: every GPU, or the CPU.

    Raises:
        ModelError: CUDA was asked for and is not there.
    """
    import torch

    if choose_device(device).type == "cpu":
        return ["cpu"]
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def describe_device(device: "torch.device") -> str:
    """Return the device's name for the record."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def load_model(
    weights: Weights,
    device: "torch.device",
    tokens: int = _TOKENS,
    as_stored: Callable[[Any, int], bool] | None = None,
    *,
    copied: int = 0,
    spread: bool = False,
) -> "PreTrainedModel":
    """Load a causal LM, ready for inference, in float32: the type of the canonical result.

    Half-precision weights are widened exactly, or left as they are for who widens them himself.

    Args:
        weights: The files, as `fetch_weights` found and hashed them.
        device: Where the model is to be.
        tokens: Length of the sequences that it is to decide, prompt and continuation together.
        as_stored: Of a configuration and that length: are weights that are all of one half type
            left in it? Who says so reads from left to right by himself: Transformers' own reading
            is not probed.
        copied: Bytes a weight of a copy that is made of weights which are left as they are.
        spread: Divide it among all CUDA devices; Transformers reads it then, in float32.

    Raises:
        ModelError: The model does not fit; the files are not a causal LM that Transformers can
            load, do not hold exactly its weights, are not those that were hashed; or the model does
            not decode sequences of that length from left to right.
    """
    import torch

    weights.check_unchanged()
    dtype, widest, places, more = torch.float32, torch.float64, None, 0
    if spread:
        places = divide(weights.folder)
    else:
        if as_stored is not None and as_stored(read_config(weights.folder), tokens):
            dtype = widest = stored_type(weights.folder, weights.files)
            more = copied
        check_memory(weights, widest, device, more)
    model, info = _from_pretrained(weights, dtype, places)
    check_completeness(info, weights.folder)
    # Through the base class: Transformers' own overrides are not typed.
    module: torch.nn.Module = model
    if places is None:
        module.to(device)
    module.eval().requires_grad_(False)
    if device.type == "cpu":
        _read_into_memory(module)
    weights.check_unchanged()
    if dtype == torch.float32:
        check_causality(model, tokens)
    return model


def _from_pretrained(
    weights: Weights, dtype: "torch.dtype", places: Mapping[str, str] | None
) -> tuple["PreTrainedModel", Mapping[str, Any]]:
    """Return a model and what Transformers tells of its loading."""
    from transformers import AutoModelForCausalLM

    def load(attention: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(
            weights.folder,
            dtype=dtype,
            attn_implementation=attention,
            device_map=places,
            local_files_only=True,
            weights_only=True,
            use_safetensors=any(name.endswith(".safetensors") for name in weights.files),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told in the loading info, with their names
            trust_remote_code=False,  # nor ask, which a batch job could not answer
        )

    try:
        with _ONE_AT_A_TIME, quiet_transformers():
            try:
                model, info = load(_ATTENTION[0])
            except ValueError as error:
                if "attention implementation" not in str(error):
                    raise
                model, info = load(_ATTENTION[1])
    except Exception as error:  # Transformers raises whatever its parsers raise
        raise ModelError(
            f"cannot load the model in {weights.folder}: {first_line(error)}"
        ) from error
    return model, info


def _read_into_memory(module: "torch.nn.Module") -> None:
    """Copy every weight: those stored in float32 are pages of the file, which others can change."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
