"""What the weights of a checkpoint take: their type in the files, and whether they fit."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from memtrace.errors import ModelError
from memtrace.models.memory import free_memory
from memtrace.models.spread import budgets
from memtrace.models.weights import Weights

if TYPE_CHECKING:
    import torch

_BUFFERS = ("inv_freq", "masked_bias", "attention.bias")
"""Ends of names of what older versions of Transformers stored with the weights."""
_SAFETENSORS = {"F16": "float16", "BF16": "bfloat16"}


def stored_type(folder: Path, files: Iterable[str]) -> "torch.dtype":
    """Return float16 or bfloat16 where all weights are stored in it, else float32."""
    import torch

    found = {kind for name in files for key, kind in _types(folder / name) if not _is_buffer(key)}
    if len(found) == 1 and found <= {"float16", "bfloat16"}:
        dtype: torch.dtype = getattr(torch, found.pop())
        return dtype
    return torch.float32


def check_memory(
    weights: Weights, dtype: "torch.dtype", device: "torch.device", copied: int = 0
) -> None:
    """Refuse weights that do not fit, before they are read.

    Args:
        weights: The files.
        dtype: The widest type that all of them are in at once.
        device: Where they are to be.
        copied: Bytes a weight of a copy beside them.

    Raises:
        ModelError: They take more bytes than the device, or this machine, has free.
    """
    needed, free = _bytes_in(weights, dtype), free_memory(device)
    needed += needed * copied // dtype.itemsize
    if free is not None and needed > free:
        place = "this machine" if device.type == "cpu" else str(device)
        precision = str(dtype).removeprefix("torch.")
        if precision == "float64":
            precision += ", in which near ties of this model are decided"
        copy = " with a copy in half precision" if copied else ""
        without = "leave out the copy by --dtype float32, " if copied else ""
        raise ModelError(
            f"the weights in {weights.folder} take {_gigabytes(needed)} in {precision}{copy}, and "
            f"{place} has {_gigabytes(free)} of memory free: take a larger device, "
            f"{_spreading(weights, device)}{without}or end what else runs on it"
        )


def _spreading(weights: Weights, device: "torch.device") -> str:
    """Name `--spread` where several devices can hold what one cannot."""
    import torch

    if device.type != "cuda" or torch.cuda.device_count() < 2:
        return ""
    rooms = budgets()
    if _bytes_in(weights, torch.float32) > sum(rooms.values()):
        return ""
    return f"divide them among all {len(rooms)} CUDA devices with --spread, "


def _bytes_in(weights: Weights, dtype: "torch.dtype") -> int:
    """What the files take once they are read in a type; the header of a file is nothing to it."""
    size = sum((weights.folder / name).stat().st_size for name in weights.files)
    return size * dtype.itemsize // stored_type(weights.folder, weights.files).itemsize


def _types(path: Path) -> Iterator[tuple[str, str]]:
    """Name and type of each floating-point tensor of a file."""
    import torch
    from safetensors import safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 (no mapping)
                    kind = file.get_slice(key).get_dtype()
                    if "F" in kind:
                        yield key, _SAFETENSORS.get(kind, kind)
            return
        tensors = torch.load(path, map_location="meta", mmap=True, weights_only=True)
    except Exception:  # told, with its reason, when it is loaded
        yield path.name, "unreadable"
        return
    for key, tensor in tensors.items() if isinstance(tensors, dict) else ():
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            yield key, str(tensor.dtype).removeprefix("torch.")


def _is_buffer(key: str) -> bool:
    return key.endswith(_BUFFERS)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB ({size:,} bytes)"
