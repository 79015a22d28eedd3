"""Linear layers of a model, in one precision, by the fastest routine of the device."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own abbreviation)
from torch import Tensor, nn
from transformers.activations import ACT2FN, GELUActivation

from memtrace.engine.forward.split import Split

Linear = Callable[[Tensor], Tensor]
Precision = torch.dtype | Split

_SILU = (nn.SiLU, type(ACT2FN["silu"]))
"""Torch's own, and the class that Transformers has for it in some versions."""


def residual_type(precision: Precision) -> torch.dtype:
    """Of what lies between the linear layers: float32, or float64 where they are in float64."""
    if isinstance(precision, Split):
        return torch.float32
    return torch.promote_types(precision, torch.float32)


def linear(
    layer: "nn.Linear | _Rows", dtype: Precision, activation: nn.Module | None = None
) -> Linear:
    """A function that maps `(..., in)` to `(..., out)`, in `dtype` whatever it is given.

    Args:
        layer: Weight and bias; shared if they are of that type already, else copied.
        dtype: Of what is multiplied and of the result; sums are kept in float32 or better.
        activation: Applied to the result.
    """
    if isinstance(dtype, Split):
        return dtype.linear(layer, activation)
    weight = layer.weight.detach().to(dtype)
    bias = None if layer.bias is None else layer.bias.detach().to(dtype)
    if not _onednn_has(weight):
        after = activation or nn.Identity()
        return lambda x: after(F.linear(x.to(dtype), weight, bias))
    if activation is None:
        return _onednn_linear(weight, bias, "none")
    if isinstance(activation, GELUActivation):
        return _onednn_linear(weight, bias, "gelu")
    inner = _onednn_linear(weight, bias, "none")
    return lambda x: activation(inner(x))


PART_BYTES = {"cpu": 16 << 20, "cuda": 256 << 20}
"""Of a matrix that is converted part by part: what stays in a cache; what fills a device."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows of a linear layer."""

    weight: Tensor
    bias: Tensor | None


def in_parts(layer: nn.Linear, dtype: Precision, x: Tensor) -> Tensor:
    """What `linear` gives for `(..., in)`; its weights are converted for this once, in parts.

    An output layer as a whole takes as much in float64 as a small model.
    """
    weight, bias = layer.weight.detach(), layer.bias
    row = weight.shape[1] * residual_type(dtype).itemsize
    rows = max(1, PART_BYTES[weight.device.type] // row)
    parts = [
        _Rows(weight[i : i + rows], None if bias is None else bias.detach()[i : i + rows])
        for i in range(0, len(weight), rows)
    ]
    return torch.cat([linear(part, dtype)(x) for part in parts], dim=-1)


def side_by_side(layers: list[nn.Linear], dtype: Precision) -> Linear:
    """Layers that read the same as one: `(..., in)` to all their results, one after the other."""
    first = layers[0].weight
    if isinstance(dtype, Split) or (
        first.dtype == dtype and not (dtype == torch.bfloat16 and _onednn_has(first))
    ):
        # Weights are shared: one matrix of all would be a copy.
        apart = [linear(layer, dtype) for layer in layers]
        return lambda x: torch.cat([each(x) for each in apart], dim=-1)
    weight = torch.cat([layer.weight.detach().to(dtype) for layer in layers])
    bias = None
    if any(layer.bias is not None for layer in layers):
        bias = torch.cat([_bias(layer).to(dtype) for layer in layers])
    if _onednn_has(weight):
        return _onednn_linear(weight, bias, "none")
    return lambda x: F.linear(x.to(dtype), weight, bias)


def gated(
    gate: nn.Linear, up: nn.Linear, down: nn.Linear, activation: nn.Module, dtype: Precision
) -> Linear:
    """`down(activation(gate(x)) * up(x))`, rounded to `dtype` after each product."""
    last = linear(down, dtype)
    if isinstance(dtype, Split):
        inner, outer = dtype.linear(gate, activation), dtype.linear(up)
        return lambda x: last(inner(x) * outer(x))
    first, second = (layer.weight.detach().to(dtype) for layer in (gate, up))
    biases = [None if each.bias is None else each.bias.detach().to(dtype) for each in (gate, up)]
    if not (_onednn_has(first) and isinstance(activation, _SILU)):

        def apart(x: Tensor) -> Tensor:
            x = x.to(dtype)
            inner = activation(F.linear(x, first, biases[0]))
            return last(inner * F.linear(x, second, biases[1]))

        return apart
    operations = torch.ops.mkldnn
    if dtype == torch.bfloat16:
        first, second = (operations._reorder_linear_weight(w, None) for w in (first, second))

    def fused(x: Tensor) -> Tensor:
        x = x.to(dtype)
        inner = operations._linear_pointwise(x, first, biases[0], "swish", [], "none")
        return last(operations._linear_pointwise.binary(x, inner, second, biases[1], "mul"))

    return fused


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach()


def _onednn_has(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _onednn_linear(weight: Tensor, bias: Tensor | None, after: str) -> Linear:
    """What torch.compile emits: bias and GELU are applied while the sums are in registers.

    A tenth faster than `F.linear`, which takes MKL in float32 and adds a bias in a pass of its own.
    """
    operations, dtype = torch.ops.mkldnn, weight.dtype
    if dtype == torch.bfloat16:  # a copy already, so it may as well lie as the kernel reads it
        weight = operations._reorder_linear_weight(weight, None)
    return lambda x: operations._linear_pointwise(x.to(dtype), weight, bias, after, [], "none")
