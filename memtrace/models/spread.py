"""Divide a model among the CUDA devices of a machine, by Accelerate: each holds some layers.

One device computes at a time, so that this is for models that one device cannot hold.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtrace.errors import ModelError
from memtrace.models.limits import read_config
from memtrace.models.memory import free_memory
from memtrace.models.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch

WEIGHTS_SHARE = 0.4
"""Of a device's free memory, for float32: in float64 weights take twice that, batches the rest."""


def budgets() -> dict[int, int]:
    """Return the bytes of float32 weights that each CUDA device may hold."""
    import torch

    devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    return {each.index: int(WEIGHTS_SHARE * (free_memory(each) or 0)) for each in devices}


def divide(folder: Path) -> dict[str, str]:
    """Return the device of each part of the model in a folder; no weights are read.

    The first devices are filled first: fewer devices are fewer copies between them.

    Raises:
        ModelError: Accelerate is not installed, or the devices cannot hold the model.
    """
    try:
        from accelerate import infer_auto_device_map
    except ImportError as error:
        raise ModelError(
            "--spread needs Accelerate: pip install 'memtrace-llm[spread]', or take a larger device"
        ) from error
    import torch

    model, rooms = _without_weights(folder), budgets()
    found = infer_auto_device_map(
        model,
        max_memory=dict(rooms),
        no_split_module_classes=getattr(model, "_no_split_modules", None),
        dtype=torch.float32,
    )
    if not all(place in rooms for place in found.values()):
        needed = 4 * sum(each.numel() for each in model.parameters())
        raise ModelError(
            f"the weights in {folder} take {needed:,} bytes in float32, which {len(rooms)} CUDA "
            f"devices cannot hold: they have room for {sum(rooms.values()):,} bytes, whole layers "
            f"on each, as float64 and batches need the rest; take more devices, or larger ones"
        )
    return {name: f"cuda:{place}" for name, place in found.items()}


def _without_weights(folder: Path) -> "torch.nn.Module":
    import torch
    from transformers import AutoModelForCausalLM

    with quiet_transformers(), torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            read_config(folder), trust_remote_code=False
        )
    module: torch.nn.Module = model
    return module
