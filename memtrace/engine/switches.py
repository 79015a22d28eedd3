"""Torch's own switches that let products be less exact than their type says: off around the engine.

`TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1`, which some container images set, and
`torch.set_float32_matmul_precision` turn products in float32 into ones of 10 or 7 bits, on CUDA
and on CPUs. Sums of half precision may be kept in half precision.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

_BACKENDS: tuple[Any, ...] = (
    torch.backends.cuda.matmul,
    torch.backends.cudnn,
    getattr(torch.backends.mkldnn, "matmul", None),
)
_SUMS = (
    "allow_fp16_reduced_precision_reduction",
    "allow_bf16_reduced_precision_reduction",
    "allow_fp16_accumulation",
)


@contextmanager
def full_precision() -> Iterator[None]:
    """Products in float32 are float32, and sums too; afterwards the switches are as they were."""
    products, cudnn = _product_precision(), _cudnn_tf32()
    by_backend = [
        (each, each.fp32_precision) for each in _BACKENDS if hasattr(each, "fp32_precision")
    ]
    matmul: Any = torch.backends.cuda.matmul
    sums = {name: getattr(matmul, name) for name in _SUMS if hasattr(matmul, name)}
    try:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        for name in sums:
            setattr(matmul, name, False)
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        if cudnn is not None:
            torch.backends.cudnn.allow_tf32 = cudnn
        for backend, precision in by_backend:
            backend.fp32_precision = precision
        for name, allowed in sums.items():
            setattr(matmul, name, allowed)


def _product_precision() -> str:
    with suppress(RuntimeError):  # the older and the newer switches contradict each other
        return torch.get_float32_matmul_precision()
    return "highest"


def _cudnn_tf32() -> bool | None:
    with suppress(RuntimeError):
        return bool(torch.backends.cudnn.allow_tf32)
    return None
