"""Split products: float32 inputs as sums of half-precision parts, multiplied on tensor cores.

    x W = x_high W_high + x_low W_high + x_high W_low,    summed in float32;

x_low W_low is below the error of the others. (Markidis et al., IPDPS Workshops 2018; Henry, Tang
and Heinecke, ARITH 2019; Ootomo and Yokota, IJHPCA 36, 2022, whose scaling of the low parts is
used: in float16 they would be subnormal.) Weights that lie in half precision are their own high
part, exactly: two products are enough.

A product of half-precision numbers whose result is not rounded to them exists on CUDA alone. On a
CPU torch rounds what oneDNN gives, so there the parts are multiplied in float32: the same numbers,
for tests, and nothing gained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor, nn

_Linear = Callable[[Tensor], Tensor]


class _Layer(Protocol):
    @property
    def weight(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor | None: ...


@dataclass(frozen=True, slots=True)
class Split:
    """Precision of split products: what is read and what is given are in float32."""

    parts: torch.dtype
    """float16 parts err like 22 bits and overflow above 65504; bfloat16 parts like 16 bits."""

    def __str__(self) -> str:
        """`split float16`."""
        return f"split {str(self.parts).removeprefix('torch.')}"

    @property
    def scale(self) -> float:
        """What low parts are multiplied by, to be of the size of the high ones."""
        return 2.0**11 if self.parts == torch.float16 else 1.0

    def cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The high part, and what it leaves, scaled."""
        high = x.to(self.parts)
        return high, ((x - high) * self.scale).to(self.parts)

    def fits(self, weight: Tensor) -> bool:
        """Is a weight one part, so that two products are enough?"""
        return weight.dtype == self.parts

    def linear(self, layer: _Layer, activation: nn.Module | None = None) -> _Linear:
        """A function that maps `(..., in)` to `(..., out)` in float32; the weight may be shared."""
        weight = layer.weight.detach()
        high, low = (weight, None) if self.fits(weight) else self.cut(weight.float())
        bias = None if layer.bias is None else layer.bias.detach().float()

        def apply(x: Tensor) -> Tensor:
            x_high, x_low = self.cut(x.reshape(-1, x.shape[-1]).float())
            small = _product(x_low, high)
            if low is not None:
                small += _product(x_high, low)
            out = _product(x_high, high).add_(small, alpha=1 / self.scale)
            if bias is not None:
                out += bias
            out = out.view(*x.shape[:-1], len(weight))
            return out if activation is None else activation(out)

        return apply


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T` of half-precision numbers, in float32."""
    if x.device.type == "cuda":
        return torch.mm(x, weight.t(), out_dtype=torch.float32)
    return x.float() @ weight.float().t()


@cache
def has_split_products(device: torch.device) -> bool:
    """Does the device multiply half-precision numbers into float32 ones, to float32's precision?"""
    if device.type != "cuda":
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 64, 64, generator=generator).to(device, torch.float16)
    try:
        found = _product(x, weight)
    except (RuntimeError, TypeError):  # a version or a device that has none
        return False
    true = x.double() @ weight.double().t()
    return found.dtype == torch.float32 and bool((found - true).abs().max() < 1e-3)
