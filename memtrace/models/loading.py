"""Load a causal language model from its weight files, onto a device."""

import platform
from typing import TYPE_CHECKING

from memtrace.errors import ModelError
from memtrace.models.weights import Weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


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


def load_model(weights: Weights, device: "torch.device") -> "PreTrainedModel":
    """Load a causal LM in float32, the type of the canonical answer, ready for inference.

    Half-precision weights are widened exactly.

    Raises:
        ModelError: The files are not a causal LM that Transformers can load.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    # Transformers draws a progress bar for each load; ours is the only one that a scan shows.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            weights.folder,
            dtype=torch.float32,
            local_files_only=True,
            weights_only=True,
            trust_remote_code=False,  # nor ask, which a batch job could not answer
        )
    except (
        Exception
    ) as error:  # Transformers raises whatever its parsers raise; the user needs one line
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"cannot load the model in {weights.folder}: {reason}") from error
    # Through the base class: Transformers' own overrides are not typed.
    module: torch.nn.Module = model
    module.to(device).eval().requires_grad_(False)
    return model
