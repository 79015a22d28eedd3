"""The kernels of decide.cu, launched by CuPy on torch's own memory, device and stream."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memtrace.errors import ModelError

SOURCE = Path(__file__).with_name("decide.cu")
OPTIONS = ("-std=c++17", "--ftz=false")
THREADS = 256  # a block; a row's block reads a tile in 2 (half types) or 4 loads a thread

Argument = torch.Tensor | np.integer | np.floating


def import_cupy() -> Any:
    """CuPy itself; ModelError naming the extra to install where it cannot be imported."""
    try:
        import cupy
    except ImportError as error:
        built_for = torch.version.cuda or "12"
        extra = "gpu-cuda12" if int(built_for.split(".")[0]) < 13 else "gpu-cuda13"
        raise ModelError(
            f"decisions on a CUDA device (torch is built for CUDA {built_for}) need CuPy: "
            f"pip install 'memtrace-llm[{extra}]', or use the CPU"
        ) from error
    return cupy


def decide(
    logits: torch.Tensor, targets: torch.Tensor, tolerance: torch.Tensor | float, *, mask_eos: bool
) -> torch.Tensor:
    """Outcomes `(rows,)` as `memtrace.engine.kernels.decide`; the logits are read in place."""
    rows = logits.shape[0]
    outcomes = torch.empty(rows, dtype=torch.uint8, device=logits.device)
    arguments = (*_questions(logits, targets, tolerance), np.int32(mask_eos), outcomes)
    _launch(f"decide_{_type_name(logits)}", rows, arguments, logits.device)
    return outcomes


def score(
    logits: torch.Tensor,
    targets: torch.Tensor,
    tolerance: torch.Tensor | float,
    *,
    temperature: float,
    mask_eos: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outcomes and log probabilities `(rows,)` as `memtrace.engine.kernels.score`, in one pass."""
    rows = logits.shape[0]
    outcomes = torch.empty(rows, dtype=torch.uint8, device=logits.device)
    log_p = torch.empty(rows, dtype=torch.float32, device=logits.device)
    asked = _questions(logits, targets, tolerance)
    arguments = (*asked, np.float32(1 / temperature), np.int32(mask_eos), outcomes, log_p)
    _launch(f"score_{_type_name(logits)}", rows, arguments, logits.device)
    return outcomes, log_p


def matched_tokens(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Leading tokens `(rows,)` that agree, as `memtrace.engine.kernels.matched_tokens`."""
    rows, length = predicted.shape
    matched = torch.empty(rows, dtype=torch.uint8, device=predicted.device)
    arguments = (
        predicted.to(torch.int64).contiguous(),
        truth.to(torch.int64).contiguous(),
        np.int32(rows),
        np.int32(length),
        matched,
    )
    _launch("matched_tokens", -(-rows // THREADS), arguments, predicted.device)
    return matched


def _questions(
    logits: torch.Tensor, targets: torch.Tensor, tolerance: torch.Tensor | float
) -> tuple[Argument, ...]:
    """The first arguments of a kernel that reads rows of logits."""
    rows, vocabulary = logits.shape
    if logits.stride(1) != 1 and vocabulary > 1:
        raise ValueError(f"logits have strides {logits.stride()}: the last must be 1")
    if not isinstance(tolerance, torch.Tensor):
        tolerance = torch.full((rows,), tolerance, device=logits.device)
    # As integers of the same size: CuPy has no bfloat16, and the kernel reads bits.
    bits = logits.detach().view(torch.int32 if logits.itemsize == 4 else torch.int16)
    return (
        bits,
        np.int64(logits.stride(0)),
        np.int32(vocabulary),
        targets.to(torch.int64).contiguous(),
        tolerance.to(torch.float32).contiguous(),
    )


def _type_name(logits: torch.Tensor) -> str:
    return str(logits.dtype).removeprefix("torch.")


def _launch(name: str, blocks: int, arguments: tuple[Argument, ...], device: torch.device) -> None:
    if blocks == 0:
        return
    cupy = import_cupy()
    with cupy.cuda.Device(device.index), _cupy_stream(cupy, torch.cuda.current_stream(device)):
        shared = [cupy.from_dlpack(a) if isinstance(a, torch.Tensor) else a for a in arguments]
        kernel = _module(device.index).get_function(name)
        kernel((blocks,), (THREADS,), tuple(shared))


@cache
def _module(device_index: int) -> Any:
    """The kernels, compiled for a device.

    CuPy's RawModule always adds -ftz=true: subnormal numbers become zero, and a margin or a
    tolerance that is one is a tie. Its compiler alone adds nothing.
    """
    cupy = import_cupy()
    from cupy.cuda.compiler import compile_using_nvrtc
    from cupy.cuda.function import Module

    with cupy.cuda.Device(device_index):
        compiled, _ = compile_using_nvrtc(SOURCE.read_text(encoding="utf-8"), OPTIONS)
        module = Module()
        module.load(compiled)
    return module


def _cupy_stream(cupy: Any, stream: torch.cuda.Stream) -> Any:
    # CuPy 14 deprecates ExternalStream for a protocol that torch 2.6 does not have yet.
    if hasattr(cupy.cuda.Stream, "from_external") and hasattr(stream, "__cuda_stream__"):
        return cupy.cuda.Stream.from_external(stream)
    return cupy.cuda.ExternalStream(stream.cuda_stream, stream.device_index)
